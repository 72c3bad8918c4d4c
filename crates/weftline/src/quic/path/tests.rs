use core::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{Change, Expiry, Mtu, Paths, Place, Probe, ProbeFrame, Role, Route};
use crate::{time::Instant, wire::Side};

const PTO: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(300);

fn route(host: u8, port: u16) -> Route {
    Route {
        remote: SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), port)),
        local: None,
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn server(max_responses: usize) -> Paths {
    Paths::new(
        Side::Server,
        route(1, 1),
        Mtu::new(1200, 1452),
        max_responses,
    )
}

fn validated(max_responses: usize) -> Paths {
    let mut paths = server(max_responses);
    paths.set_validated();
    paths
}

/// A validated path to host 1, and a packet from `new`.
fn migrated(new: Route) -> (Paths, Change) {
    let mut paths = validated(4);
    let change = paths.migrate(at(0), new, 100, [[1; 8], [2; 8]], PATIENCE);
    (paths, change)
}

#[test]
fn three_times_what_came() {
    let mut paths = server(4);
    assert_eq!(paths.budget(), 0);
    paths.on_datagram(&route(1, 1), 1200);
    assert_eq!(paths.budget(), 3600);
    paths.on_sent(3000);
    assert_eq!(paths.budget(), 600);
    // Of somebody else: no credit.
    paths.on_datagram(&route(2, 1), 1200);
    assert_eq!(paths.budget(), 600);
    paths.set_validated();
    assert_eq!(paths.budget(), usize::MAX);
}

#[test]
fn a_new_address_is_on_trial() {
    let (mut paths, change) = migrated(route(2, 1));
    assert_eq!(change, Change::Address);
    assert!(!paths.is_validated());
    assert_eq!(paths.budget(), 300);
    assert_eq!(paths.active_challenge(), Some([1; 8]));
    paths.on_active_challenge_sent(at(0), true, PTO);
    assert_eq!(paths.active_challenge(), None);
    // The old path is asked as well.
    let probe = paths.take_probe(at(0), PTO);
    assert_eq!(
        probe,
        Some(Probe {
            route: route(1, 1),
            place: Place::Other,
            frame: ProbeFrame::Challenge([2; 8]),
            budget: usize::MAX,
        })
    );
    assert_eq!(paths.take_probe(at(0), PTO), None);
    paths.on_response([9; 8]);
    assert!(!paths.is_validated());
    // The old path answers: somebody is there, but it stays the second choice.
    paths.on_response([2; 8]);
    assert_eq!(paths.role(), Some(Role::Fallback));
    paths.on_response([1; 8]);
    assert!(paths.is_validated());
    assert_eq!((paths.poll_timeout(), paths.role()), (None, None));
}

#[test]
fn a_challenge_is_repeated_then_given_up() {
    let (mut paths, change) = migrated(route(1, 2));
    assert_eq!(change, Change::Port);
    paths.take_probe(at(0), PTO);
    let mut sent = 0;
    let mut now = at(0);
    let end = loop {
        if paths.active_challenge().is_some() {
            paths.on_active_challenge_sent(now, true, PTO);
            sent += 1;
        }
        now = paths.poll_timeout().unwrap().max(now);
        match paths.handle_timeout(now) {
            Expiry::None => {}
            end => break end,
        }
    };
    assert_eq!((sent, end, now), (3, Expiry::Reverted, at(300)));
    assert_eq!(paths.place(&route(1, 1)), Place::Active);
    assert!(paths.is_validated());
}

#[test]
fn without_a_validated_path_there_is_none() {
    let mut paths = server(4);
    paths.migrate(at(0), route(2, 1), 100, [[1; 8], [2; 8]], PATIENCE);
    assert_eq!(paths.handle_timeout(at(299)), Expiry::None);
    assert_eq!(paths.handle_timeout(at(300)), Expiry::NoPath);
}

#[test]
fn the_old_path_comes_back_by_itself() {
    let (mut paths, _) = migrated(route(2, 1));
    let change = paths.migrate(at(1), route(1, 1), 50, [[3; 8], [4; 8]], PATIENCE);
    assert_eq!(change, Change::Fallback);
    assert!(paths.is_validated());
}

#[test]
fn many_ports_keep_the_validated_path() {
    let (mut paths, _) = migrated(route(2, 1));
    for port in 2..10_000 {
        let change = paths.migrate(at(1), route(2, port), 50, [[3; 8], [4; 8]], PATIENCE);
        assert_eq!(change, Change::Port);
        assert_eq!(paths.budget(), 150);
    }
    assert_eq!(paths.handle_timeout(at(400)), Expiry::Reverted);
    assert_eq!(paths.place(&route(1, 1)), Place::Active);
}

#[test]
fn a_small_challenge_is_followed_by_a_full_one() {
    let (mut paths, _) = migrated(route(2, 1));
    paths.on_active_challenge_sent(at(0), false, PTO);
    paths.on_response([1; 8]);
    assert!(paths.is_validated());
    assert_eq!(paths.active_challenge(), Some([1; 8]));
    paths.on_active_challenge_sent(at(1), true, PTO);
    paths.on_response([1; 8]);
    assert_eq!(paths.active_challenge(), None);
    assert_eq!(paths.handle_timeout(at(1000)), Expiry::None);
}

#[test]
fn answers_are_bounded_and_the_newest_counts() {
    let mut paths = validated(2);
    paths.on_challenge(route(1, 1), [1; 8], 100);
    paths.on_challenge(route(1, 1), [2; 8], 100);
    assert!(paths.has_active_response());
    paths.on_challenge(route(2, 1), [3; 8], 100);
    // The third address pushes out the oldest.
    paths.on_challenge(route(3, 1), [4; 8], 500);
    assert_eq!(paths.take_active_response(), None);
    let probe = paths.take_probe(at(0), PTO).unwrap();
    assert_eq!((probe.route, probe.budget), (route(2, 1), 300));
    assert_eq!(probe.frame, ProbeFrame::Response([3; 8]));
    let probe = paths.take_probe(at(0), PTO).unwrap();
    assert_eq!((probe.route, probe.budget), (route(3, 1), 1500));
    assert_eq!(paths.take_probe(at(0), PTO), None);
}

#[test]
fn a_port_is_the_same_path_and_an_address_another() {
    let (paths, _) = migrated(route(1, 2));
    assert_eq!(paths.other_id(), Some(paths.id()));
    let (paths, _) = migrated(route(2, 1));
    assert_ne!(paths.other_id(), Some(paths.id()));
    // Names wrap around and never clash with that of the fallback.
    let (mut paths, _) = migrated(route(2, 1));
    for n in 0..1000 {
        let address = route(3 + (n % 200) as u8, 1);
        paths.migrate(at(1), address, 50, [[3; 8], [4; 8]], PATIENCE);
        assert_ne!(paths.other_id(), Some(paths.id()));
        let unused = paths.unused_id();
        assert!(unused != paths.id() && Some(unused) != paths.other_id());
    }
}

#[test]
fn another_local_address_is_another_path() {
    let here = |host| Route {
        local: Some(Ipv4Addr::new(192, 0, 2, host).into()),
        ..route(1, 1)
    };
    let mut paths = validated(4);
    // The first that is told counts.
    paths.on_datagram(&here(1), 100);
    assert_eq!(paths.route(), here(1));
    assert_eq!(paths.place(&here(2)), Place::Elsewhere);
    assert_eq!(paths.place(&route(1, 1)), Place::Active);
    let change = paths.migrate(at(0), here(2), 100, [[1; 8], [2; 8]], PATIENCE);
    assert_eq!(change, Change::Address);
    assert_eq!(paths.place(&here(1)), Place::Other);
}

#[test]
fn a_probed_path_is_proved_before_the_peer_moves() {
    let mut paths = validated(4);
    assert!(paths.on_probed(at(0), route(2, 1), 1200, [5; 8], PATIENCE));
    let probe = paths.take_probe(at(0), PTO).unwrap();
    assert_eq!(probe.frame, ProbeFrame::Challenge([5; 8]));
    assert_eq!((probe.place, probe.budget), (Place::Other, 3600));
    paths.on_probe_sent(Place::Other, 1200);
    paths.on_challenge(route(2, 1), [6; 8], 1200);
    assert_eq!(paths.take_probe(at(0), PTO).unwrap().budget, 2400);
    paths.on_response([5; 8]);
    assert_eq!(paths.place(&route(1, 1)), Place::Active);
    let change = paths.migrate(at(1), route(2, 1), 100, [[1; 8], [2; 8]], PATIENCE);
    assert_eq!(change, Change::Probed);
    assert!(paths.is_validated());
    assert_eq!((paths.role(), paths.poll_timeout()), (None, None));
}

#[test]
fn a_probed_path_may_come_to_nothing() {
    let mut paths = validated(4);
    assert!(paths.on_probed(at(0), route(2, 1), 1200, [5; 8], PATIENCE));
    // Another takes its place.
    assert!(paths.on_probed(at(0), route(3, 1), 1200, [6; 8], PATIENCE));
    assert_eq!(paths.place(&route(2, 1)), Place::Elsewhere);
    assert_eq!(paths.handle_timeout(at(300)), Expiry::None);
    assert_eq!(paths.role(), None);
    // The peer moves to yet another: the fallback matters more than what was probed.
    assert!(paths.on_probed(at(400), route(2, 1), 1200, [5; 8], PATIENCE));
    paths.migrate(at(400), route(3, 1), 100, [[1; 8], [2; 8]], PATIENCE);
    assert_eq!(paths.role(), Some(Role::Fallback));
    assert!(!paths.on_probed(at(400), route(2, 1), 1200, [5; 8], PATIENCE));
}

#[test]
fn a_trial_succeeds_or_fails() {
    let client = || Paths::new(Side::Client, route(1, 1), Mtu::new(1200, 1452), 4);
    let mut paths = client();
    let before = paths.id();
    assert!(paths.try_route(at(0), route(2, 1), [5; 8], PATIENCE));
    assert!(!paths.try_route(at(0), route(3, 1), [6; 8], PATIENCE));
    assert!(paths.leads_to(route(2, 1).remote));
    let probe = paths.take_probe(at(0), PTO).unwrap();
    assert_eq!((probe.route, probe.budget), (route(2, 1), usize::MAX));
    paths.on_response([5; 8]);
    assert_eq!(paths.route(), route(2, 1));
    assert!(paths.is_validated() && paths.id() != before);
    assert!(!paths.leads_to(route(1, 1).remote));

    let mut paths = client();
    assert!(paths.try_route(at(0), route(2, 1), [5; 8], PATIENCE));
    let mut sent = 0;
    let mut now = at(0);
    let end = loop {
        sent += usize::from(paths.take_probe(now, PTO).is_some());
        now = paths.poll_timeout().unwrap().max(now);
        match paths.handle_timeout(now) {
            Expiry::None => {}
            end => break end,
        }
    };
    assert_eq!((sent, end), (3, Expiry::TrialFailed(route(2, 1))));
    assert_eq!((paths.route(), paths.role()), (route(1, 1), None));
}
