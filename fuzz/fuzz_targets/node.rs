//! cargo-fuzz shim of `timed_fuzz::node`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::node::body(input));
