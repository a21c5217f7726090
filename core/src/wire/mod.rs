//! What goes over the wire: preambles, records, frames, messages, and the bytes that are signed.

#[cfg(test)]
mod arbitrary;
pub mod block;
pub mod codec;
pub mod frame;
pub mod identity;
pub mod lane;
pub mod message;
mod partial;
pub mod peers;
pub mod preamble;
pub mod record;
pub mod signing;
