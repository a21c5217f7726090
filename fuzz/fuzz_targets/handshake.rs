//! cargo-fuzz shim of `timed_fuzz::handshake`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::handshake::body(input));
