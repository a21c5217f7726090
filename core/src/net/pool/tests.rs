//! Who is sought, for whose sake, and who is forgotten.

use super::*;
use crate::config::{Bootstrap, NewSeed, PeerList, Reconfiguration, Seed, fixture};
use crate::registry::Masternode;
use crate::time::Wall;

const ME: NodeId = NodeId([1; 32]);

fn id(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn addr(number: u8) -> CanonicalAddr {
    CanonicalAddr::new(([10, 0, 0, number], 24_100).into()).unwrap()
}

fn masternode(number: u8) -> Masternode {
    Masternode { id: id(number), addr: addr(number) }
}

fn registry(entries: impl IntoIterator<Item = Masternode>) -> Registry {
    Registry::new(entries.into_iter().collect()).unwrap()
}

fn at_addr(number: u8) -> Bootstrap {
    Bootstrap { addr: addr(number), id: None }
}

fn with_key(number: u8) -> Bootstrap {
    Bootstrap { addr: addr(number), id: Some(id(number)) }
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
        let mut config = fixture::config(registry(numbers.iter().copied().map(masternode)));
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

    /// Whoever is at an address is sought.
    fn wants(&mut self, number: u8, wish: Wish) -> Destination {
        let wanted = self.pool.want(addr(number), None, wish.into(), &self.registry, at(9), &mut self.rng);
        wanted.unwrap()
    }

    fn changes_to(&mut self, registry: Registry) {
        self.registry = registry;
        self.pool.registry_changed(&self.registry, MasternodeMode::Auto, at(9), &mut self.rng);
    }

    fn relist(&mut self, new: &Reconfiguration) {
        self.pool.relisted(new, &self.registry, MasternodeMode::Auto, at(9), &mut self.rng);
    }

    fn seeks(&self, number: u8) -> bool {
        self.pool.seeks(Destination::Peer(id(number)))
    }

    fn seeks_at(&self, number: u8) -> bool {
        self.pool.seeks(Destination::Addr(addr(number)))
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

/// A stranger says first that it listens where somebody else is sought.
#[test]
fn p_8_whoever_only_says_that_it_listens_at_an_address_is_not_who_is_sought_there() {
    let mut stand = Stand::new(&[2], |_| {});
    let registry = stand.registry.clone();
    stand.meets(at(1), 11).advertises(Some(addr(20)), &registry);
    for wish in [Wish::Named, Wish::Ordered] {
        assert_eq!(stand.wants(20, wish), Destination::Addr(addr(20)));
        assert!(!stand.seeks(11));
    }
    stand.meets(at(2), 12);
    stand.pool.resolve(addr(20), id(12));
    assert!(stand.seeks(12) && !stand.seeks(11) && !stand.seeks_at(20));
}

/// Who has proven its key there is sought by it, until another one answers.
#[test]
fn p_8_an_address_is_sought_again_when_another_node_answers_there() {
    let mut stand = Stand::new(&[2], |_| {});
    let peer = stand.meets(at(1), 12);
    peer.addr = Some(addr(20));
    peer.reached = Some((addr(20), at(1).mono));
    assert_eq!(stand.wants(20, Wish::Named), Destination::Peer(id(12)));
    assert!(stand.seeks(12));
    let bare = stand.pool.unresolve(&id(12), at(2), &mut stand.rng);
    assert_eq!(bare, Some(Destination::Addr(addr(20))));
    assert!(!stand.seeks(12) && stand.seeks_at(20));
    stand.pool.unnamed(&addr(20));
    assert!(!stand.seeks_at(20), "it is still the name's alone");
}

#[test]
fn p_8_a_name_that_moves_takes_its_own_share_alone() {
    // An address whose node is known, and one whose node is not.
    for others in [None, Some(Wish::Configured), Some(Wish::Ordered)] {
        let mut stand = Stand::new(&[2], |config| {
            config.bootstrap =
                others.filter(|wish| *wish == Wish::Configured).map(|_| at_addr(20)).into_iter().collect();
        });
        for wish in others.into_iter().chain([Wish::Named]) {
            stand.wants(20, wish);
            stand.wants(21, wish);
        }
        stand.meets(at(1), 12);
        stand.pool.resolve(addr(20), id(12));
        let changed = stand.pool.unnamed(&addr(20));
        assert!(changed.contains(&Destination::Peer(id(12))));
        stand.pool.unnamed(&addr(21));
        assert_eq!((stand.seeks(12), stand.seeks_at(21)), (others.is_some(), others.is_some()), "{others:?}");
    }
    // Nor from the registry, or from an order for the key.
    let mut stand = Stand::new(&[2], |_| {});
    stand.meets(at(1), 12).ordered();
    stand.wants(2, Wish::Named);
    stand.wants(20, Wish::Named);
    stand.pool.resolve(addr(20), id(12));
    stand.pool.unnamed(&addr(2));
    stand.pool.unnamed(&addr(20));
    assert!(stand.seeks(2) && stand.seeks(12));
}

#[test]
fn c_7_whoever_leaves_the_registry_is_still_sought_by_those_who_seek_it_otherwise() {
    let mut stand = Stand::new(&[2, 3, 4, 5, 6, 7], |config| {
        config.bootstrap = vec![at_addr(2), with_key(3)];
        config.reserved = vec![at_addr(4), with_key(5)];
        config.seeds = vec![Seed { id: Some(id(6)), ..Seed::default() }];
    });
    stand.changes_to(registry([masternode(8)]));
    let sought: Vec<u8> = (2..=8).filter(|number| stand.seeks(*number)).collect();
    assert_eq!(sought, [2, 3, 4, 5, 6, 8]);
    let class = |number| stand.pool.class(stand.pool.get(&id(number)).unwrap());
    assert_eq!(
        [2, 3, 4, 5].map(class),
        [SlotClass::Observer, SlotClass::Observer, SlotClass::Reserved, SlotClass::Reserved]
    );
    // Another node may be there meanwhile.
    assert_eq!(stand.pool.unresolve(&id(2), at(10), &mut stand.rng), Some(Destination::Addr(addr(2))));
}

#[test]
fn c_7_an_address_is_sought_wherever_the_registry_moves_its_node() {
    let mut stand = Stand::new(&[2], |config| config.bootstrap = vec![at_addr(2), at_addr(9)]);
    assert!(stand.seeks_at(9) && !stand.seeks_at(2));
    // 2 moves, and 9 is registered where it was sought.
    stand.changes_to(registry([Masternode { id: id(2), addr: addr(22) }, masternode(9)]));
    assert!(stand.seeks(2) && stand.seeks_at(2) && stand.seeks(9) && !stand.seeks_at(9));
    assert_eq!(stand.pool.addr_of(Destination::Peer(id(2))), Some(addr(22)));
    // Both leave: 9 is where it was configured, and whoever is at 2 has nothing to do with the one that was.
    stand.changes_to(registry([masternode(8)]));
    assert!(!stand.seeks(2) && stand.seeks_at(2) && stand.seeks(9));
}

/// Whoever answers a dial at a reserved address stays the reserved peer when another address leads to it too.
#[test]
fn s_3_another_address_takes_no_reserved_place_away() {
    let mut stand = Stand::new(&[2], |config| {
        config.reserved = vec![at_addr(20)];
        config.bootstrap = vec![at_addr(21)];
    });
    stand.meets(at(1), 12);
    stand.pool.resolve(addr(20), id(12));
    stand.pool.resolve(addr(21), id(12));
    assert!(stand.pool.is_reserved(&id(12)) && !stand.seeks_at(21));
}

fn sought(stand: &Stand) -> Vec<Destination> {
    stand.pool.destinations().filter(|destination| stand.pool.seeks(*destination)).collect()
}

#[test]
fn d_6_what_a_list_names_no_more_is_sought_by_nobody_else_and_what_is_new_is() {
    let mut stand = Stand::new(&[2], |config| {
        config.bootstrap = vec![at_addr(2), at_addr(20), with_key(12)];
        config.reserved = vec![at_addr(21)];
    });
    assert_eq!(sought(&stand).len(), 4, "the masternode, two addresses and a key");
    stand.relist(&Reconfiguration {
        bootstrap: vec![at_addr(21), with_key(13)],
        reserved: vec![at_addr(22)],
        ..Reconfiguration::default()
    });
    let expected = [
        Destination::Peer(id(2)),
        Destination::Peer(id(13)),
        Destination::Addr(addr(21)),
        Destination::Addr(addr(22)),
    ];
    assert_eq!(sought(&stand), expected);
    assert!(!stand.pool.reserved.has_addr(&addr(21)) && stand.pool.reserved.has_addr(&addr(22)));
}

#[test]
fn s_3_a_reserved_name_that_stays_keeps_its_addresses_under_its_new_number() {
    let seed = Seed { id: None, list: PeerList::Reserved };
    let mut stand = Stand::new(&[2], |config| config.seeds = vec![seed]);
    stand.pool.resolved(SeedId(0), &[addr(30)]);
    let again = NewSeed { number: SeedId(7), seed, before: Some(SeedId(0)) };
    stand.relist(&Reconfiguration { seeds: vec![again], ..Reconfiguration::default() });
    assert!(stand.pool.reserved.has_addr(&addr(30)));
    stand.pool.resolved(SeedId(0), &[addr(31)]);
    assert!(!stand.pool.reserved.has_addr(&addr(31)), "a late answer for a number that is gone");
    stand.relist(&Reconfiguration::default());
    assert!(!stand.pool.reserved.has_addr(&addr(30)));
}
