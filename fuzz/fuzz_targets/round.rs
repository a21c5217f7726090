//! cargo-fuzz shim of `timed_fuzz::round`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::round::body(input));
