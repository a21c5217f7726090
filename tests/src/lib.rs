//! Simulator, null cryptography and scripted peers: what the tests that cross the crates of timed stand on.

pub mod chain_auditor;
pub mod chain_generator;
#[cfg(feature = "shells")]
pub mod chain_stores;
mod checksum;
pub mod conformance;
pub mod driver;
pub mod explore;
pub mod null_crypto;
pub mod overheard;
pub mod rounds;
pub mod samples;
pub mod scripted;
pub mod sim;
pub mod stage;
