//! A day of a node that many come to for a while: what it holds in the evening is what it held in the morning.

use super::*;

const HOURS: u64 = 24;
/// Peers of one hour, and of the whole day a thousand.
const AN_HOUR: u64 = 42;
const WARM_UP: u64 = 6;

/// The link that lasts, and its peer's end.
struct Lasting {
    conn: ConnId,
    line: Line,
    actor: Actor,
    sequence: u64,
}

impl Host {
    /// Time passes, with every wake-up in time; dials are refused, and the peer that lasts answers its pings and
    /// beats.
    fn live(&mut self, time: Duration, lasting: &mut Lasting) {
        let until = self.now.mono + time;
        let mut beat = self.now.mono;
        loop {
            let due = self.node.deadline().filter(|due| *due <= until).unwrap_or(until);
            let step = due.since(self.now.mono);
            self.now = Now { mono: self.now.mono + step, wall: self.now.wall + step };
            self.handle(Input::Tick);
            self.written();
            for (conn, _) in std::mem::take(&mut self.dials) {
                self.handle(Input::Closed { conn, cause: TransportCause::Refused });
            }
            let bytes = self.sent(lasting.conn);
            for message in lasting.line.hear(&bytes).unwrap() {
                if let Message::Ping(Ping { token }) = message {
                    let pong = lasting.line.say(&Message::Pong(Pong { token }));
                    self.data(lasting.conn, &pong);
                }
            }
            if self.now.mono >= beat {
                beat = self.now.mono + Duration::from_secs(10);
                lasting.sequence += 1;
                let heartbeat = lasting.actor.heartbeat(lasting.sequence, self.now.wall);
                let bytes = lasting.line.say(&Message::Heartbeat(Box::new(heartbeat)));
                self.data(lasting.conn, &bytes);
            }
            if due == until {
                return;
            }
        }
    }

    /// A stranger comes, says a hundred things of which one is wrong, and goes.
    fn visit(&mut self, number: u64) {
        let number = u32::try_from(number).unwrap();
        let mut actor = stranger(&self.config, 10_000 + number);
        let (conn, mut line, answer) = self.hello(&mut actor, source(10_000 + number), CANONICAL);
        for said in 0..100u64 {
            if answer != Some(Answer::Accepted) {
                break;
            }
            let bytes = if said == 99 {
                let mut frame = Vec::new();
                append_encoded(Kind::Ping, &[1, 2, 3], &mut frame);
                line.seal(Lane::Control, &frame)
            } else {
                line.say(&Message::Datagram(Bytes::from(vec![7; 50])))
            };
            self.data(conn, &bytes);
            self.sent(conn);
        }
        self.handle(Input::Closed { conn, cause: TransportCause::Eof });
    }
}

#[test]
fn ops_02_a_thousand_peers_of_a_day_leave_nothing_behind() {
    // Tables that a part of the morning's peers fill.
    let limits = Limits { known_peers: 100, bans: 40, scores: 40, ..Limits::for_registry(4) };
    let mut host = Host::new(limits, None);
    let mut actor = Actor::new(Crypto::Null.provider(1), &host.config, Some(addr(1)), START.wall);
    let (conn, line, answer) = host.hello(&mut actor, addr(1).socket(), CANONICAL);
    assert_eq!(answer, Some(Answer::Accepted));
    let mut lasting = Lasting { conn, line, actor, sequence: 0 };
    let mut held_by_hour = Vec::new();
    for hour in 0..HOURS {
        for visit in 0..AN_HOUR {
            host.visit(hour * AN_HOUR + visit);
            host.live(Duration::from_secs(3_600 / AN_HOUR), &mut lasting);
        }
        held_by_hour.push(held());
    }
    println!("held at the end of each hour: {held_by_hour:?}");
    let (morning, day) = held_by_hour.split_at(usize::try_from(WARM_UP).unwrap());
    let (warm, most) = (morning.iter().max().unwrap(), day.iter().max().unwrap());
    assert!(*most <= warm + warm / 20, "{most} held after the warm-up, {warm} in it: {held_by_hour:?}");
}
