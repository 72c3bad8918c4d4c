//! HyStart++ (RFC 9406).

use super::*;

fn rounds(flow: &mut Flow<Cubic>, count: usize) {
    for _ in 0..count {
        flow.round();
    }
}

fn flow() -> Flow<Cubic> {
    let mut flow = Flow::new(Cubic::new, Duration::from_millis(80));
    rounds(&mut flow, 3);
    assert_close(flow.segments(), 80.0, 0.01);
    flow
}

#[test]
fn a_steady_round_trip_keeps_doubling() {
    let mut flow = flow();
    rounds(&mut flow, 3);
    assert_close(flow.segments(), 640.0, 0.01);
    assert!(flow.controller.in_slow_start());
}

#[test]
fn a_longer_round_trip_ends_it_after_five_slower_rounds() {
    let mut flow = flow();
    // An eighth more than 80 ms is just enough.
    flow.rtt = Duration::from_millis(90);
    // The round with the shorter samples ends, and in the next some samples go by.
    rounds(&mut flow, 2);
    for _ in 0..3 {
        let before = flow.segments();
        rounds(&mut flow, 1);
        assert_close(flow.segments(), before * 1.25, 0.02);
        assert!(flow.controller.in_slow_start());
    }
    rounds(&mut flow, 3);
    assert!(!flow.controller.in_slow_start());
    assert!(flow.controller.ssthresh().is_some());
    let window = flow.segments();
    rounds(&mut flow, 1);
    assert!(flow.segments() < window + 2.0, "on a plateau");
}

#[test]
fn a_little_longer_is_nothing() {
    let mut flow = flow();
    flow.rtt = Duration::from_micros(89_900);
    rounds(&mut flow, 3);
    assert_close(flow.segments(), 640.0, 0.01);
}

#[test]
fn a_false_alarm_is_taken_back() {
    let mut flow = flow();
    flow.rtt = Duration::from_millis(100);
    rounds(&mut flow, 2);
    flow.rtt = Duration::from_millis(80);
    rounds(&mut flow, 2);
    let before = flow.segments();
    rounds(&mut flow, 1);
    assert_close(flow.segments(), before * 2.0, 0.02);
}

#[test]
fn eight_samples_are_needed() {
    let mut flow = flow();
    flow.rtt = Duration::from_millis(200);
    for _ in 0..10 {
        flow.now += flow.rtt;
        let acked = flow.acked(1200);
        flow.controller.on_ack(&acked);
    }
    assert!(flow.controller.in_slow_start(), "one sample a round");
    assert_close(flow.segments(), 90.0, 0.01);
}
