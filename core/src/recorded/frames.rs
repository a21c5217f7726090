//! Frames that wait on a link.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One frame as it is written.
#[derive(Serialize, Deserialize)]
struct Waiting(#[serde(with = "super::buffer")] Vec<u8>);

#[derive(Serialize)]
struct Shown<'a>(#[serde(with = "super::buffer")] &'a Vec<u8>);

pub(crate) fn serialize<S: Serializer>(frames: &VecDeque<Arc<Vec<u8>>>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(frames.iter().map(|frame| Shown(frame)))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<VecDeque<Arc<Vec<u8>>>, D::Error> {
    let frames = Vec::<Waiting>::deserialize(from)?;
    Ok(frames.into_iter().map(|Waiting(frame)| Arc::new(frame)).collect())
}
