//! cargo-fuzz shim of `timed_fuzz::noise`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::noise::body(input));
