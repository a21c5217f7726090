//! cargo-fuzz shim of `timed_fuzz::dialer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed_fuzz::dialer::body(input));
