//! cargo-fuzz shim of `timed_fuzz::gate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::gate::body(input));
