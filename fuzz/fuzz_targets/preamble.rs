//! cargo-fuzz shim of `timed_fuzz::preamble`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::preamble::body(input));
