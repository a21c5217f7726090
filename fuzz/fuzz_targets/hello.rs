//! cargo-fuzz shim of `timed_fuzz::hello`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::hello::body(input));
