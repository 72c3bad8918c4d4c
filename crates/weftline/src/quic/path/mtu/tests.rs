use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const ROUND: Duration = Duration::from_millis(100);

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn started(initial: u16, max: u16) -> Mtu {
    let mut mtu = Mtu::new(initial, max);
    mtu.start();
    mtu
}

/// Searches a path that carries `path` bytes; gives the sizes tried.
fn search(mtu: &mut Mtu, now: Instant, path: u16) -> Vec<u16> {
    let mut tried = Vec::new();
    while let Some(size) = mtu.poll_probe(now, 65_535) {
        tried.push(size);
        mtu.on_probe_sent(size);
        assert_eq!(mtu.poll_probe(now, 65_535), None, "one at a time");
        if size <= path {
            assert!(mtu.on_probe_acked(size));
            assert_eq!(mtu.current(), size);
        } else {
            mtu.on_probe_lost(size);
        }
        assert!(tried.len() < 100, "a search without end");
    }
    tried
}

#[test]
fn nothing_before_the_path_is_validated() {
    let mut mtu = Mtu::new(1200, 1452);
    assert_eq!(mtu.poll_probe(at(0), 2000), None);
    mtu.start();
    assert_eq!(mtu.poll_probe(at(0), 2000), Some(1452));
}

#[test]
fn a_good_path_takes_one_probe() {
    let mut mtu = started(1200, 1452);
    assert_eq!(search(&mut mtu, at(0), 1472), [1452]);
    assert_eq!(mtu.current(), 1452);
}

#[test]
fn a_narrow_path_is_searched_by_halves() {
    let mut mtu = started(1200, 1452);
    let mut tried = search(&mut mtu, at(0), 1392);
    assert_eq!(tried[..4], [1452, 1452, 1452, 1326]);
    assert!((1392 - 15..=1392).contains(&mtu.current()), "{mtu:?}");
    // Nothing before the raise timer; then from the top again.
    assert_eq!(mtu.poll_probe(at(599), 2000), None);
    tried = search(&mut mtu, at(600), 1500);
    assert_eq!(tried, [1452]);
}

#[test]
fn there_may_be_nothing_to_look_for() {
    for max in [0, 1200, 1452] {
        let mut mtu = started(1452, max);
        assert_eq!(mtu.poll_probe(at(0), 2000), None);
        assert_eq!(mtu.current(), 1452);
    }
}

#[test]
fn the_peer_sets_a_limit() {
    let mut mtu = Mtu::new(1400, 9000);
    assert!(!mtu.limit(1472));
    assert!(mtu.limit(1300));
    // Parameters below this are illegal and never get here.
    assert!(mtu.limit(600));
    assert_eq!(mtu.current(), BASE);
    mtu.start();
    assert_eq!(mtu.poll_probe(at(0), 2000), None);
}

#[test]
fn a_short_buffer_is_a_limit_for_now() {
    let mut mtu = started(1200, 1452);
    assert_eq!(mtu.poll_probe(at(0), 1300), Some(1250));
    mtu.on_probe_sent(1250);
    assert!(mtu.on_probe_acked(1250));
    let mut mtu = started(1200, 1452);
    assert_eq!(mtu.poll_probe(at(0), 1200), None);
    assert_eq!(mtu.poll_probe(at(600), 1500), Some(1452));
}

#[test]
fn chance_losses_do_not_stop_the_search() {
    let mut mtu = started(1200, 1452);
    for _ in 1..MAX_PROBES {
        assert_eq!(mtu.poll_probe(at(0), 2000), Some(1452));
        mtu.on_probe_sent(1452);
        mtu.on_probe_lost(1452);
    }
    assert_eq!(search(&mut mtu, at(0), 1452), [1452]);
}

#[test]
fn a_black_hole_takes_rounds_not_packets() {
    let mut mtu = started(1200, 1452);
    search(&mut mtu, at(0), 1452);
    // One bad round trip, however much is lost in it.
    for _ in 0..100 {
        assert!(!mtu.on_lost(at(1), 1452, ROUND));
    }
    assert!(!mtu.on_lost(at(2), 1452, ROUND));
    // A large one arrives: all is well.
    mtu.on_acked(1452);
    // Small ones say nothing of large ones, neither way.
    assert!(!mtu.on_lost(at(3), 1452, ROUND));
    mtu.on_acked(1200);
    assert!(!mtu.on_lost(at(4), 1000, ROUND));
    assert!(!mtu.on_lost(at(5), 1452, ROUND));
    assert!(mtu.on_lost(at(6), 1452, ROUND));
    assert_eq!(mtu.current(), BASE);
    // What is lost later was sent before.
    assert!(!mtu.on_lost(at(7), 1452, ROUND));
}

#[test]
fn a_black_hole_is_left_alone_then_searched() {
    let mut mtu = started(1200, 1452);
    search(&mut mtu, at(0), 1452);
    for second in 1..=3 {
        mtu.on_lost(at(second), 1452, ROUND);
    }
    assert_eq!(mtu.poll_probe(at(62), 2000), None);
    search(&mut mtu, at(63), 1300);
    assert!((1285..=1300).contains(&mtu.current()), "{mtu:?}");
    // The configured size counts for no more than one found.
    let mut mtu = started(1452, 1452);
    for second in 1..=3 {
        mtu.on_lost(at(second), 1452, ROUND);
    }
    assert_eq!(mtu.current(), BASE);
    assert_eq!(search(&mut mtu, at(63), 1452), [1452]);
}

#[test]
fn late_news_of_probes_changes_nothing() {
    let mut mtu = started(1200, 9000);
    assert_eq!(mtu.poll_probe(at(0), 9000), Some(9000));
    mtu.on_probe_sent(9000);
    mtu.limit(1452);
    assert!(!mtu.on_probe_acked(9000), "it may not be used");
    search(&mut mtu, at(0), 1452);
    mtu.on_probe_lost(1452);
    assert!(!mtu.on_probe_acked(1452));
    assert_eq!(mtu.current(), 1452);
}

proptest! {
    #[test]
    fn it_finds_what_the_path_carries(
        initial in 1200_u16..1400,
        max in 1200_u16..=65_527,
        path in 1400_u16..=65_527,
    ) {
        let mut mtu = started(initial, max);
        search(&mut mtu, at(0), path);
        let best = path.min(max.max(initial));
        prop_assert!(mtu.current() <= best);
        prop_assert!(best - mtu.current() < WORTHWHILE, "{} of {best}", mtu.current());
    }
}
