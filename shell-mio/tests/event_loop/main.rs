//! The event loop on real sockets, around a scripted core and around real nodes.

#![allow(clippy::unwrap_used)] // A test fails where it cannot go on.

mod blocks;
mod chaos;
mod connections;
mod control;
mod kinds;
mod messages;
mod names;
mod network;
mod processes;
mod scripted;
