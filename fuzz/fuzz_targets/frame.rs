//! cargo-fuzz shim of `timed_fuzz::frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::frame::body(input));
