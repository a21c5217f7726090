//! cargo-fuzz shim of `timed_fuzz::duplicates`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::duplicates::body(input));
