//! Live screens: what a person watches on a terminal, for `timed devnet` and `timed watch` alike.
//!
//! | file | mechanism |
//! |---|---|
//! | `view` | what is shown, as a value |
//! | `frame` | where it goes on a screen of any size: a pure function |
//! | `links` | the link matrix as a column beside the nodes |
//! | `blocks` | the newest blocks |
//! | `newest` | as much of the past as a screen remembers |
//! | `terminal` | the terminal, taken and given back |
//! | `orders` | signals and keys |
//! | `rate` | totals that grow, as rates |

mod blocks;
mod frame;
mod links;
mod newest;
mod orders;
mod rate;
mod terminal;
mod view;

pub(crate) use blocks::{BlockCells, blocks_grid};
pub(crate) use links::{links_cell, links_column};
pub(crate) use newest::Newest;
pub(crate) use orders::{Order, Orders};
pub(crate) use rate::Rate;
pub(crate) use terminal::Terminal;
pub(crate) use view::{Cell, Column, Figure, Grid, Happening, Row, Tone, View};
