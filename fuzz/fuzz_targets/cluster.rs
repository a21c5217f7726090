//! cargo-fuzz shim of `timed_fuzz::cluster`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::cluster::body(input));
