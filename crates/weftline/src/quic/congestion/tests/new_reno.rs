//! RFC 9002, section 7 and appendix B.

use super::*;

fn flow() -> Flow<NewReno> {
    Flow::new(NewReno::new, Duration::from_millis(50))
}

#[test]
fn doubles_then_halves_then_adds_one_a_round() {
    let mut flow = flow();
    assert_eq!(flow.window(), 12_000);
    flow.round();
    assert_eq!(flow.window(), 24_000);
    flow.lose_at(100);
    assert_eq!(flow.window(), 60_000);
    assert_eq!(flow.controller.ssthresh(), Some(60_000));
    assert!(!flow.controller.in_slow_start());
    for _ in 0..20 {
        flow.round();
    }
    assert_close(flow.segments(), 70.0, 0.02);
}

#[test]
fn one_reduction_a_round_trip() {
    let mut flow = flow();
    flow.lose_at(100);
    let again = CongestionEvent {
        now: flow.now,
        sent: flow.now - flow.rtt * 2,
        cause: Cause::Ecn,
        lost: 0,
        bytes_in_flight: 0,
    };
    flow.controller.on_congestion_event(&again);
    assert_eq!(flow.window(), 60_000);
    flow.event(Cause::Ecn);
    assert_eq!(flow.window(), 30_000);
}

#[test]
fn persistent_congestion_leaves_two_datagrams() {
    let mut flow = flow();
    flow.lose_at(100);
    flow.event(Cause::Persistent);
    assert_eq!(flow.window(), 2 * u64::from(MSS));
    assert!(flow.controller.in_slow_start());
    assert_eq!(flow.controller.ssthresh(), Some(60_000));
}

#[test]
fn late_packets_undo_the_reduction_once() {
    let mut flow = flow();
    flow.lose_at(100);
    flow.controller.on_spurious_loss(flow.now);
    assert_eq!(flow.window(), 120_000);
    assert_eq!(flow.controller.ssthresh(), None);
    flow.controller.on_spurious_loss(flow.now);
    assert_eq!(flow.window(), 120_000);
}

#[test]
fn marks_are_not_undone() {
    let mut flow = flow();
    flow.lose_at(100);
    flow.event(Cause::Ecn);
    flow.controller.on_spurious_loss(flow.now);
    assert_eq!(flow.window(), 30_000);
}

#[test]
fn too_little_data_does_not_grow_the_window() {
    let mut flow = flow();
    let acked = Acked {
        app_limited: true,
        ..flow.acked(12_000)
    };
    flow.controller.on_ack(&acked);
    assert_eq!(flow.window(), 12_000);
}

#[test]
fn larger_datagrams() {
    let mut flow = flow();
    flow.controller.on_mtu_update(1400);
    assert_eq!(flow.window(), 14_000);
    flow.lose_at(100);
    flow.event(Cause::Persistent);
    flow.controller.on_mtu_update(9000);
    assert_eq!(flow.window(), 18_000);
}
