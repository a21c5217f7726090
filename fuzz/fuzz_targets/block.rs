//! cargo-fuzz shim of `timed_fuzz::block`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::block::body(input));
