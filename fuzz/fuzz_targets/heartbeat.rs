//! cargo-fuzz shim of `timed_fuzz::heartbeat`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::heartbeat::body(input));
