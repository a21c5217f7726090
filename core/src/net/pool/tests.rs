//! Who is known, and who is forgotten.

use super::*;
use crate::config::fixture;
use crate::registry::Masternode;
use crate::time::Wall;

const ME: NodeId = NodeId([1; 32]);

fn id(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn addr(number: u8) -> CanonicalAddr {
    CanonicalAddr::new(([10, 0, 0, number], 24_100).into()).unwrap()
}

fn registry(numbers: &[u8]) -> Registry {
    let entry = |number: &u8| Masternode { id: id(*number), addr: addr(*number) };
    Registry::new(numbers.iter().map(entry).collect()).unwrap()
}

/// After so many seconds.
fn at(secs: u64) -> Now {
    Now { mono: Mono(secs * 1_000_000_000), wall: Wall(secs * 1_000) }
}

/// A pool, the registry in force, and randomness.
struct Stand {
    pool: Pool,
    registry: Registry,
    rng: Rng,
}

impl Stand {
    fn new(numbers: &[u8], edit: impl FnOnce(&mut Config)) -> Self {
        let mut config = fixture::config(registry(numbers));
        config.advertised = Some(addr(1));
        edit(&mut config);
        let mut rng = Rng::new([7; 32]);
        let pool = Pool::new(&config, ME, at(0), &mut rng);
        Self { pool, registry: config.registry, rng }
    }

    /// Somebody proves a key.
    fn meets(&mut self, now: Now, number: u8) -> &mut Peer {
        self.pool.ensure(id(number), &self.registry, now, &mut self.rng).unwrap()
    }
}

/// A wall clock that is set back makes nobody the oldest.
#[test]
fn p_1_who_was_met_first_is_forgotten_first_whatever_the_wall_clock_does() {
    let mut stand = Stand::new(&[2], |config| config.limits.known_peers = 3);
    stand.meets(at(1), 11);
    stand.meets(at(2), 12);
    let set_back = |secs| Now { wall: Wall(0), ..at(secs) };
    stand.meets(set_back(3), 13);
    assert!(stand.pool.get(&id(11)).is_none() && stand.pool.get(&id(12)).is_some());
    stand.meets(set_back(4), 14);
    assert!(stand.pool.get(&id(12)).is_none() && stand.pool.get(&id(13)).is_some());
}
