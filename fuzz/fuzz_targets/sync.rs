//! cargo-fuzz shim of `timed_fuzz::sync`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::sync::body(input));
