//! A machine whose clock is wrong (field failure HB-07). Needs libfaketime, and says so where it is missing; the
//! same is tried in virtual time.

use crate::network::{Network, SECOND, with_clock, without};

#[test]
fn hb_07_a_clock_a_day_off_is_told_and_harms_nobody() {
    let hosts = [1, 2, 3, 9];
    let mut network = Network::standing(&hosts);
    let kept = without(&network.links(), 9);
    assert_eq!(network.terminate(9), 0);
    // What the node that is wrong is told, and whether the others take it in.
    for (offset, told, welcome) in [
        ("+25h", "check this machine's clock", false),
        ("-25h", "check this one's", false),
        ("+23h", "set this machine's clock", true),
        ("-10m", "set this machine's clock", true),
    ] {
        let before = network.log(9).len();
        let mut command = network.command(9, &network.path(9));
        if !with_clock(&mut command, offset) {
            return;
        }
        network.adopt(9, &mut command);
        let said = |what: &str| network.log(9)[before..].contains(what);
        network.eventually(offset, 20 * SECOND, || said(told));
        if welcome {
            network.eventually("its links stand", 3 * SECOND, || network.is_meshed(&hosts));
        } else {
            assert!([1, 2, 3].iter().all(|host| network.info(*host)["links"]["up"] == 2));
        }
        let health = network.verb(9, &["health"]);
        assert_eq!(health.code, 2, "{offset}: {health:?}");
        assert_eq!(without(&network.links(), 9), kept, "{offset}: the others' links moved");
        assert!([1, 2, 3].iter().all(|host| network.verb(*host, &["health"]).code < 2));
        network.kill(9);
    }
    network.start(9);
    network.eventually("with the right clock it is welcome", 3 * SECOND, || network.is_meshed(&hosts));
    network.eventually("and healthy", 20 * SECOND, || network.verb(9, &["health"]).code == 0);
    network.assert_canonical(&hosts);
}
