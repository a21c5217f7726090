//! cargo-fuzz shim of `timed_fuzz::ballot`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::ballot::body(input));
