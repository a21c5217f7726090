//! For whose sake this node seeks a link: whoever stops seeking it takes it from nobody else.

use crate::addr::CanonicalAddr;
use crate::net::dialer::Wanted;

/// Who seeks a link to a peer, or to whoever is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The registry in force.
    Registry,
    /// The configuration's lists of peers.
    Configured,
    /// The operator, by an order.
    Ordered,
    /// A name that leads there at present (rule P-8).
    Named,
}

impl Wish {
    const ALL: [Self; 4] = [Self::Registry, Self::Configured, Self::Ordered, Self::Named];

    /// The stable name.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Configured => "configured",
            Self::Ordered => "ordered",
            Self::Named => "named",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Registry => 1,
            Self::Configured => 2,
            Self::Ordered => 4,
            Self::Named => 8,
        }
    }
}

/// All who seek the same link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Wishes(u8);

impl From<Wish> for Wishes {
    fn from(wish: Wish) -> Self {
        Self(wish.bit())
    }
}

impl Wishes {
    /// These seek it too.
    pub(crate) const fn join(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// This one seeks it no more.
    pub(crate) const fn remove(&mut self, wish: Wish) {
        self.0 &= !wish.bit();
    }

    /// Whether this one seeks it.
    pub(crate) const fn has(self, wish: Wish) -> bool {
        self.0 & wish.bit() != 0
    }

    /// The stable names of all who seek it.
    pub(crate) fn names(self) -> Vec<&'static str> {
        Wish::ALL.into_iter().filter(|wish| self.has(*wish)).map(Wish::as_str).collect()
    }

    /// Whether anybody does.
    pub(crate) const fn wanted(self) -> Wanted {
        if self.0 == 0 { Wanted::No } else { Wanted::Yes }
    }
}

/// The address that led to a peer, sought for its own sake and not for the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Found {
    /// Where whoever is there is sought.
    pub(crate) addr: CanonicalAddr,
    /// By whom.
    pub(crate) wishes: Wishes,
}
