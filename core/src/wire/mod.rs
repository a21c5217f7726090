//! What goes over the wire: preambles, records, frames, messages, and the bytes that are signed.

pub mod codec;
pub mod frame;
pub mod message;
pub mod preamble;
pub mod record;
pub mod signing;
