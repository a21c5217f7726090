//! cargo-fuzz shim of `timed_fuzz::msg`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::msg::body(input));
