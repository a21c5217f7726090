//! The active set (rule M-4): this node itself, whoever has a live session, and whoever's valid heartbeat is
//! younger than 35 s. Local information: never an input to leader, quorum or validity.

use std::time::Duration;

use crate::event::Activity;
use crate::ids::LinkTag;
use crate::registry::MasternodeIndex;
use crate::seats::SeatSet;
use crate::time::Mono;

/// What keeps one masternode active.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Presence {
    session: Option<LinkTag>,
    heard: Option<Mono>,
    active_since: Option<Mono>,
}

/// The active set of one node.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct ActiveSet {
    own: Option<MasternodeIndex>,
    lasts: Duration,
    seats: Vec<Presence>,
    /// No masternode expires before this. Heartbeats move expiries only forward, so it may lie early: then
    /// the look at that time sets it right.
    expiry: Option<Mono>,
}

impl ActiveSet {
    /// Everybody is inactive but `own`, the seat on which this node acts. `lasts` is how long one valid
    /// heartbeat keeps its signer active.
    pub(crate) fn new(now: Mono, size: usize, own: Option<MasternodeIndex>, lasts: Duration) -> Self {
        let mut seats = vec![Presence::default(); size];
        if let Some(seat) = own.and_then(|own| seats.get_mut(usize::from(own.0))) {
            seat.active_since = Some(now);
        }
        Self { own, lasts, seats, expiry: None }
    }

    /// Another registry is in force: `from` names the former position of each one. Answers the new state of
    /// this node itself, if that has changed.
    pub(crate) fn reseat(
        &mut self,
        now: Mono,
        from: &[Option<MasternodeIndex>],
        own: Option<MasternodeIndex>,
    ) -> Option<Activity> {
        self.seats = from
            .iter()
            .map(|former| (*former).and_then(|f| self.seat(f)).copied().unwrap_or_default())
            .collect();
        self.own = own;
        self.update(now, own?, |_| ())
    }

    /// A session with a masternode is live; a later one replaces it.
    pub(crate) fn session_up(&mut self, now: Mono, seat: MasternodeIndex, link: LinkTag) -> Option<Activity> {
        self.update(now, seat, |presence| presence.session = Some(link))
    }

    /// The live session with a masternode.
    pub(crate) fn session(&self, seat: MasternodeIndex) -> Option<LinkTag> {
        self.seat(seat)?.session
    }

    /// A session ended. Nothing happens unless it is the one that is live.
    pub(crate) fn session_down(
        &mut self,
        now: Mono,
        seat: MasternodeIndex,
        link: LinkTag,
    ) -> Option<Activity> {
        self.update(now, seat, |presence| presence.session = presence.session.filter(|live| *live != link))
    }

    /// A valid heartbeat was verified for the first time.
    pub(crate) fn heard(&mut self, now: Mono, seat: MasternodeIndex) -> Option<Activity> {
        self.update(now, seat, |presence| presence.heard = Some(now))
    }

    /// Whether a masternode is active.
    pub(crate) fn activity(&self, seat: MasternodeIndex) -> Activity {
        match self.seat(seat).and_then(|presence| presence.active_since) {
            Some(_) => Activity::Active,
            None => Activity::Inactive,
        }
    }

    /// Since when a masternode has been active without a break.
    pub(crate) fn active_since(&self, seat: MasternodeIndex) -> Option<Mono> {
        self.seat(seat)?.active_since
    }

    /// How many masternodes are active.
    pub(crate) fn count(&self) -> usize {
        self.seats.iter().filter(|presence| presence.active_since.is_some()).count()
    }

    /// When [`ActiveSet::expire`] is to be called.
    pub(crate) const fn deadline(&self) -> Option<Mono> {
        self.expiry
    }

    /// Takes out whose time has come, and names them.
    pub(crate) fn expire(&mut self, now: Mono) -> SeatSet {
        let mut expired = SeatSet::EMPTY;
        if self.expiry.is_none_or(|at| at > now) {
            return expired;
        }
        self.expiry = None;
        for index in (0..self.seats.len()).filter_map(|at| u8::try_from(at).ok()).map(MasternodeIndex) {
            if self.update(now, index, |_| ()) == Some(Activity::Inactive) {
                expired.insert(index);
            }
        }
        expired
    }

    fn seat(&self, seat: MasternodeIndex) -> Option<&Presence> {
        self.seats.get(usize::from(seat.0))
    }

    /// Applies a change to one seat and names its new state if that differs.
    fn update(
        &mut self,
        now: Mono,
        seat: MasternodeIndex,
        change: impl FnOnce(&mut Presence),
    ) -> Option<Activity> {
        let presence = self.seats.get_mut(usize::from(seat.0))?;
        change(presence);
        let until = presence.heard.map(|at| at + self.lasts).filter(|until| *until > now);
        let held = self.own == Some(seat) || presence.session.is_some();
        if let (false, Some(until)) = (held, until) {
            self.expiry = Some(self.expiry.map_or(until, |earliest| earliest.min(until)));
        }
        match (presence.active_since, held || until.is_some()) {
            (None, true) => {
                presence.active_since = Some(now);
                Some(Activity::Active)
            }
            (Some(_), false) => {
                presence.active_since = None;
                Some(Activity::Inactive)
            }
            (Some(_), true) | (None, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(35);
    const A: MasternodeIndex = MasternodeIndex(0);
    const B: MasternodeIndex = MasternodeIndex(1);

    fn at(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    fn set() -> ActiveSet {
        ActiveSet::new(at(0), 3, Some(A), T)
    }

    #[test]
    fn hb_03_self_is_active_from_the_start_and_nobody_else() {
        let set = set();
        assert_eq!(
            (set.count(), set.activity(A), set.activity(B)),
            (1, Activity::Active, Activity::Inactive)
        );
        assert_eq!(set.deadline(), None);
    }

    #[test]
    fn hb_05a_expiry_is_an_event_at_last_plus_t() {
        let mut set = set();
        assert_eq!(set.heard(at(1000), B), Some(Activity::Active));
        assert_eq!(set.deadline(), Some(at(36_000)));
        assert_eq!(set.heard(at(11_000), B), None);
        assert_eq!(set.expire(at(36_000)).len(), 0);
        assert_eq!(set.deadline(), Some(at(46_000)));
        assert_eq!(set.expire(at(45_999)).len(), 0);
        assert!(set.expire(at(46_000)).iter().eq([B]));
        assert_eq!((set.activity(B), set.deadline()), (Activity::Inactive, None));
        assert_eq!(set.expire(at(99_000)).len(), 0, "told once");
    }

    #[test]
    fn hb_05b_a_live_session_holds_and_an_old_ones_end_changes_nothing() {
        let (old, new) = (LinkTag([1; 8]), LinkTag([2; 8]));
        let mut set = set();
        assert_eq!(set.session_up(at(0), B, old), Some(Activity::Active));
        assert_eq!(set.session_up(at(1), B, new), None);
        assert_eq!(set.session_down(at(2), B, old), None);
        assert_eq!(set.activity(B), Activity::Active);
        assert_eq!(set.expire(at(500_000)).len(), 0);
        assert_eq!(set.session_down(at(500_001), B, new), Some(Activity::Inactive));
    }

    #[test]
    fn hb_05b_a_short_break_of_a_link_is_bridged_by_the_heartbeat() {
        let link = LinkTag([1; 8]);
        let mut set = set();
        set.session_up(at(0), B, link);
        set.heard(at(20_000), B);
        assert_eq!(set.session_down(at(21_000), B, link), None);
        assert_eq!(set.deadline(), Some(at(55_000)));
        assert_eq!(set.session_up(at(21_200), B, LinkTag([9; 8])), None);
        assert_eq!(set.expire(at(55_000)).len(), 0);
        assert_eq!((set.active_since(B), set.deadline()), (Some(at(0)), None));
    }

    #[test]
    fn who_is_not_registered_has_no_seat() {
        let mut set = set();
        assert_eq!(set.heard(at(1), MasternodeIndex(200)), None);
        assert_eq!((set.count(), set.deadline()), (1, None));
    }
}
