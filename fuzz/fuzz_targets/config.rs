//! cargo-fuzz shim of `timed_fuzz::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::config::body(input));
