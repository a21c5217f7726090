//! cargo-fuzz shim of `timed_fuzz::api`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::api::body(input));
