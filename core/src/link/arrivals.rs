//! Messages on their way to the application: cut from one buffer, which is used again once the application has
//! dropped what was cut from it, so that steady traffic allocates nothing.

use bytes::{Bytes, BytesMut};

use crate::limits::ARRIVALS_ROOM as ROOM;

/// A message longer than that gets memory of its own: it must not use the buffer up.
const SHARED_UP_TO: usize = 2 * 1024;

/// The buffer.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(BytesMut);

impl Arrivals {
    /// A copy of `body` for the application.
    pub(crate) fn keep(&mut self, body: &[u8]) -> Bytes {
        if body.len() > SHARED_UP_TO {
            return Bytes::copy_from_slice(body);
        }
        if self.0.capacity() < body.len() {
            // Takes the old buffer again if nobody holds a part of it, and makes a new one otherwise.
            self.0.reserve(ROOM);
        }
        self.0.extend_from_slice(body);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_whose_messages_are_dropped_is_used_again() {
        let mut arrivals = Arrivals::default();
        let mut places = std::collections::BTreeSet::new();
        for round in 0..10_000 {
            let message = arrivals.keep(&[u8::try_from(round % 251).unwrap(); 200]);
            assert!(message.iter().all(|byte| usize::from(*byte) == round % 251));
            places.insert(message.as_ptr() as usize);
        }
        assert!(places.len() <= ROOM / 200 + 1, "{} places", places.len());
    }

    #[test]
    fn what_the_application_holds_stays_as_it_was() {
        let mut arrivals = Arrivals::default();
        let held: Vec<Bytes> = (0..1000_usize).map(|n| arrivals.keep(&n.to_le_bytes().repeat(40))).collect();
        for (n, message) in held.iter().enumerate() {
            assert_eq!(message, &n.to_le_bytes().repeat(40));
        }
        assert_eq!(arrivals.keep(&[9; 40_000]), [9; 40_000].as_slice());
    }
}
