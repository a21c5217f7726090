//! C8: everything that grows has a bound, and a test that fills it.
