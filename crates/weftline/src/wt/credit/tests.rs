use proptest::prelude::*;

use super::*;
use crate::wt::Dialect;

const BIDI: Kind = Kind::Streams(Dir::Bi);
const UNI: Kind = Kind::Streams(Dir::Uni);

const RTT: Duration = Duration::from_millis(50);

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn credit(dialect: Dialect) -> Credit {
    let limits = Limits {
        session_window: 100,
        session_streams: 4,
        ..Limits::default()
    };
    let mut peer = Settings::new();
    peer.set(0x2b61, 10);
    peer.set(0x2b65, 1);
    Credit::new(dialect.rules(), &limits, &peer)
}

#[test]
fn starts_with_the_settings() {
    let credit = credit(Dialect::Draft16);
    assert_eq!(credit.available(Kind::Data), 10);
    assert_eq!(credit.available(BIDI), 1);
    assert_eq!(credit.available(UNI), 0);
    assert!(
        Kind::ALL
            .iter()
            .all(|&kind| credit.limit_to_say(kind).is_none())
    );
}

#[test]
fn a_limit_raises_what_is_available() {
    let mut credit = credit(Dialect::Draft16);
    credit.spend(Kind::Data, 10);
    assert_eq!(credit.available(Kind::Data), 0);
    assert_eq!(credit.on_limit(Kind::Data, 15), Ok(true));
    assert_eq!(credit.available(Kind::Data), 5);
    assert_eq!(credit.on_limit(UNI, 2), Ok(true));
    assert_eq!(credit.available(UNI), 2);
    assert_eq!(credit.available(BIDI), 1);
}

#[test]
fn limits_that_do_not_rise() {
    let mut newest = credit(Dialect::Draft16);
    assert_eq!(
        newest.on_limit(Kind::Data, 10),
        Ok(false),
        "repeats only the setting"
    );
    assert!(newest.on_limit(Kind::Data, 10).is_err());
    assert!(newest.on_limit(Kind::Data, 9).is_err());

    let mut older = credit(Dialect::Draft13);
    assert_eq!(older.on_limit(Kind::Data, 12), Ok(true));
    assert_eq!(older.on_limit(Kind::Data, 12), Ok(false));
    assert!(older.on_limit(Kind::Data, 11).is_err());
}

#[test]
fn stream_limits_end_at_2_to_the_60() {
    let mut credit = credit(Dialect::Draft16);
    assert_eq!(credit.on_limit(BIDI, 1 << 60), Ok(true));
    assert!(credit.on_limit(UNI, (1 << 60) + 1).is_err());
    assert_eq!(credit.on_limit(Kind::Data, (1 << 60) + 1), Ok(true));
    assert!(check_range(BIDI, (1 << 60) + 1).is_err());
}

#[test]
fn blocked_is_said_once_for_each_limit() {
    let mut credit = credit(Dialect::Draft16);
    credit.on_blocked(UNI);
    assert_eq!(credit.blocked_to_say(UNI), Some(0));
    credit.on_blocked_said(UNI);
    credit.on_blocked(UNI);
    assert_eq!(credit.blocked_to_say(UNI), None);
    credit.on_limit(UNI, 1).unwrap();
    credit.spend(UNI, 1);
    credit.on_blocked(UNI);
    assert_eq!(credit.blocked_to_say(UNI), Some(1));
    // A limit that comes before it was said makes it void.
    credit.on_limit(UNI, 2).unwrap();
    assert_eq!(credit.blocked_to_say(UNI), None);
}

#[test]
fn the_peer_may_use_what_was_granted() {
    let mut credit = credit(Dialect::Draft16);
    assert_eq!(credit.on_used(Kind::Data, 100), Ok(()));
    assert!(credit.on_used(Kind::Data, 1).is_err());
    for _ in 0..4 {
        assert_eq!(credit.on_used(BIDI, 1), Ok(()));
    }
    assert!(credit.on_used(BIDI, 1).is_err());
    assert_eq!(credit.on_used(UNI, 1), Ok(()));
}

#[test]
fn limits_are_announced_by_half_windows() {
    let mut credit = credit(Dialect::Draft16);
    credit.on_used(Kind::Data, 60).unwrap();
    credit.on_freed(Kind::Data, 49);
    assert_eq!(credit.limit_to_say(Kind::Data), None);
    credit.on_freed(Kind::Data, 11);
    assert_eq!(credit.limit_to_say(Kind::Data), Some(160));
    credit.on_limit_said(Kind::Data, 160, at(0), RTT);
    assert_eq!(credit.limit_to_say(Kind::Data), None);
    assert_eq!(credit.on_used(Kind::Data, 100), Ok(()));
}

#[test]
fn a_window_that_holds_the_peer_back_grows() {
    let mut credit = credit(Dialect::Draft16);
    let mut limits = alloc::vec::Vec::new();
    for ms in [0, 50, 130, 500, 590] {
        let used = credit.granted[0].limit - credit.granted[0].used;
        credit.on_used(Kind::Data, used).unwrap();
        credit.on_freed(Kind::Data, used);
        let limit = credit.limit_to_say(Kind::Data).unwrap();
        credit.on_limit_said(Kind::Data, limit, at(ms), RTT);
        limits.push(limit - credit.granted[0].used);
    }
    // Quick at 50, 130 and 590.
    assert_eq!(limits, [100, 100, 200, 400, 400]);
    // Streams keep their number.
    for ms in [0, 1, 2] {
        credit.on_used(UNI, 4).unwrap();
        credit.on_freed(UNI, 4);
        let limit = credit.limit_to_say(UNI).unwrap();
        assert_eq!(limit, credit.granted[2].used + 4);
        credit.on_limit_said(UNI, limit, at(ms), RTT);
    }
}

proptest! {
    /// Two ends that keep the rules never see a violation, and what is announced rises strictly.
    #[test]
    fn honest_ends_agree(ops in proptest::collection::vec((0..4u8, 1..60u64), 1..200)) {
        let limits = Limits { session_window: 100, ..Limits::default() };
        let mut peer = Settings::new();
        peer.set(0x2b61, 100);
        let mut sender = Credit::new(Dialect::Draft16.rules(), &Limits::default(), &peer);
        let mut receiver = Credit::new(Dialect::Draft16.rules(), &limits, &Settings::new());
        let (mut in_flight, mut held, mut said) = (0, 0, 100);
        for (op, n) in ops {
            match op {
                0 => {
                    let n = n.min(sender.available(Kind::Data));
                    sender.spend(Kind::Data, n);
                    in_flight += n;
                }
                1 => {
                    let n = n.min(in_flight);
                    prop_assert_eq!(receiver.on_used(Kind::Data, n), Ok(()));
                    in_flight -= n;
                    held += n;
                }
                2 => {
                    let n = n.min(held);
                    receiver.on_freed(Kind::Data, n);
                    held -= n;
                }
                _ => {
                    if let Some(limit) = receiver.limit_to_say(Kind::Data) {
                        prop_assert!(limit > said);
                        said = limit;
                        receiver.on_limit_said(Kind::Data, limit, at(1000 * said), Duration::ZERO);
                        prop_assert_eq!(sender.on_limit(Kind::Data, limit), Ok(true));
                    }
                }
            }
            prop_assert!(in_flight + held <= 100);
        }
    }
}
