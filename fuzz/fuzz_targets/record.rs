//! cargo-fuzz shim of `timed_fuzz::record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::record::body(input));
