//! The real binary from outside: its commands, its files, its API, and networks of its processes on addresses of the
//! loopback interface or on hosts of their own, with the kernel's word on their sockets.
//!
//! | module | what is looked at |
//! |---|---|
//! | `cli` | commands, files, `timed devnet`, the live screens |
//! | `links` | every link that should stand does, whatever is killed, frozen, cut, forged or flooded |
//! | `blocks` | a block a slot, one at each height |
//! | `operation` | what an operator asks, changes, records and proves of a running network |
//! | `loopback` | an address for each test |
//! | `operator` | the binary run, asked and signalled |
//! | `network` | a network of daemons |
//! | `siege` | a network that is attacked |
//! | `pty`, `browser` | what a terminal and Chromium show |

#![allow(unreachable_pub)] // There is nothing beyond this binary.
#![allow(clippy::unwrap_used)] // A test fails where it cannot go on.

mod browser;
mod loopback;
mod network;
mod operator;
mod pty;
mod siege;

mod cli {
    mod api;
    mod bad_input;
    mod devnet;
    mod devnet_ends;
    mod files;
    mod screens;
    mod shells;
}

mod links {
    mod addresses;
    mod bans;
    mod clocks;
    mod floods;
    mod hosts;
    mod intruders;
    mod losses;
    mod mesh;
    mod pairs;
    mod refusals;
    mod slots;
    mod strangers;
}

mod blocks {
    mod catch_up;
    mod clocks;
    mod disks;
    mod finality;
    mod long_chain;
    mod losses;
    mod partitions;
}

mod operation {
    mod api;
    mod attest;
    mod dashboard;
    mod doctor;
    mod flight;
    mod hosts_script;
    mod maintenance;
    mod reload;
    mod rpc;
    mod service;
    mod why;
}
