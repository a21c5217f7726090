//! A small network of chains in memory.
