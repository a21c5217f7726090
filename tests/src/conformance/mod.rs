//! The conformance suite: what `core/PROTOCOL.md` promises, rule by rule, as seen by a peer.
//!
//! A [`Case`] is one function about one rule. It plays peers, some of them registered masternodes, against one node
//! through an [`Arm`], and knows nothing but bytes and time. The same cases run on the simulator, on each shell over
//! the loopback interface, and, by `cargo run -p timed-tests --bin conformance`, against any node in any language.
//!
//! | part | what |
//! |---|---|
//! | [`Arm`], [`Stage`] | where a case runs; a shell joins by implementing [`Hosted`] |
//! | [`Exam`] | what cases are written in |
//! | `rules` | the cases, in the order of the document |
//! | [`UNSEEN`] | rules that no peer can see, and what holds them instead |

mod arm;
mod channel;
mod council;
mod exam;
#[cfg(feature = "shells")]
mod genesis;
#[cfg(feature = "shells")]
mod hosted;
mod introductions;
#[cfg(feature = "shells")]
mod loopback;
#[cfg(feature = "shells")]
mod mio;
#[cfg(feature = "shells")]
mod remote;
mod rules;
mod run;
mod simulated;
#[cfg(feature = "shells")]
mod sockets;
mod table;
#[cfg(feature = "shells")]
mod tokio;

pub use arm::{Arm, Ground, Miss, Player, Process, Scene, Stage, Stream, Verdict, Wire, broken};
pub use channel::{Channel, Pings};
pub use council::{Council, Seat, Tip, fetch};
pub use exam::{Exam, Voice};
#[cfg(feature = "shells")]
pub use genesis::Genesis;
#[cfg(feature = "shells")]
pub use hosted::{Hosted, Plan};
#[cfg(feature = "shells")]
pub use loopback::Loopback;
#[cfg(feature = "shells")]
pub use mio::Mio;
#[cfg(feature = "shells")]
pub use remote::Remote;
pub use run::{Outcome, run, run_all};
pub use simulated::Simulated;
#[cfg(feature = "shells")]
pub use sockets::Sockets;
pub use table::{Case, UNSEEN, Unseen, cases, document};
#[cfg(feature = "shells")]
pub use tokio::Tokio;
