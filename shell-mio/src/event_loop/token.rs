//! Names of event sources at the poll. A name is never given to two sources that can be open at once, nor to
//! two connections in a row: an event that outlived its connection finds nobody.

use mio::Token;
use timed_core::ConnId;

const _: () = assert!(usize::BITS == 64, "a token holds the index and the generation of a connection");

/// Low halves that are no index of a connection.
const FIXED: u32 = u32::MAX;
const LINGERING: u32 = u32::MAX - 1;

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Somebody connects.
    Listener,
    /// Another thread left something in the inbox.
    Inbox,
    /// A signal arrived.
    Signals,
    /// A closed connection whose last bytes are under way; numbered by the linger.
    Lingering(u32),
    /// A connection, by the parts of its [`ConnId`].
    Connection {
        /// Its index.
        index: u32,
        /// Its generation.
        generation: u32,
    },
}

impl From<ConnId> for Source {
    fn from(conn: ConnId) -> Self {
        Self::Connection { index: conn.index(), generation: conn.generation() }
    }
}

impl From<Source> for Token {
    fn from(source: Source) -> Self {
        let (high, low) = match source {
            Source::Listener => (0, FIXED),
            Source::Inbox => (1, FIXED),
            Source::Signals => (2, FIXED),
            Source::Lingering(number) => (number, LINGERING),
            Source::Connection { index, generation } => (generation, index),
        };
        Self((high as usize) << 32 | low as usize)
    }
}

impl From<Token> for Source {
    #[allow(clippy::cast_possible_truncation)] // The two halves, as they were put together.
    fn from(Token(token): Token) -> Self {
        match ((token >> 32) as u32, token as u32) {
            (0, FIXED) => Self::Listener,
            (1, FIXED) => Self::Inbox,
            (2, FIXED) => Self::Signals,
            (number, LINGERING) => Self::Lingering(number),
            (generation, index) => Self::Connection { index, generation },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_its_token() {
        for source in [
            Source::Listener,
            Source::Inbox,
            Source::Signals,
            Source::Lingering(0),
            Source::Lingering(u32::MAX),
            Source::Connection { index: 0, generation: 0 },
            Source::Connection { index: u32::MAX - 2, generation: u32::MAX },
        ] {
            assert_eq!(Source::from(Token::from(source)), source);
        }
    }
}
