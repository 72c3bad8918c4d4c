//! What counts as lost, and what was only late.

use super::*;

const PATH: PathId = PathId(0);

/// A first sample of 100 ms, and ten packets sent 10 ms apart from then on: numbers 1 to 10.
fn ten_sent() -> Recovery {
    let mut recovery = recovery();
    send(&mut recovery, at(0), PATH);
    ack(&mut recovery, at(100), vec![0..=0]);
    for i in 0..10 {
        send(&mut recovery, at(100 + i * 10), PATH);
    }
    recovery
}

#[test]
fn three_later_ones() {
    let mut recovery = ten_sent();
    assert!(ack(&mut recovery, at(205), vec![3..=3]).lost.is_empty());
    let outcome = ack(&mut recovery, at(206), vec![4..=4]);
    assert_eq!(outcome.lost.len(), 1);
    assert_eq!(recovery.lost_packets(), 1);
}

#[test]
fn time() {
    let mut recovery = ten_sent();
    ack(&mut recovery, at(210), vec![2..=2]);
    // 9/8 of the 100 ms since number 1 was sent.
    assert_eq!(
        recovery.timeout(),
        Some(at(212) + Duration::from_micros(500))
    );
    let mut outcome = Outcome::default();
    assert_eq!(recovery.on_timeout(at(212), &mut outcome), None);
    assert_eq!(
        recovery.on_timeout(at(213), &mut outcome),
        Some(SpaceId::Data)
    );
    assert_eq!(outcome.lost.len(), 1);
}

#[test]
fn a_late_packet_undoes_and_teaches() {
    let mut recovery = ten_sent();
    let window = recovery.congestion_window();
    let outcome = ack(&mut recovery, at(205), vec![2..=6]);
    assert_eq!(outcome.lost.len(), 1);
    assert!(recovery.congestion_window() < window);
    let outcome = ack(&mut recovery, at(206), vec![1..=6]);
    assert!(outcome.acked.is_empty(), "its frames were sent again");
    assert_eq!(recovery.late_packets(), 1);
    assert!(recovery.congestion_window() >= window);
    // It was overtaken by five: from now on six are needed.
    for _ in 0..7 {
        send(&mut recovery, at(207), PATH);
    }
    ack(&mut recovery, at(300), vec![7..=10]);
    assert!(ack(&mut recovery, at(302), vec![16..=16]).lost.is_empty());
    assert_eq!(ack(&mut recovery, at(303), vec![17..=17]).lost.len(), 1);
}

#[test]
fn late_by_time_makes_patient() {
    let mut recovery = ten_sent();
    ack(&mut recovery, at(209), vec![2..=2]);
    let mut outcome = Outcome::default();
    recovery.on_timeout(at(213), &mut outcome);
    assert_eq!(outcome.lost.len(), 1);
    ack(&mut recovery, at(225), vec![1..=2]);
    assert_eq!(recovery.late_packets(), 1);
    // A quarter now, not an eighth.
    send(&mut recovery, at(226), PATH);
    let number = send(&mut recovery, at(227), PATH);
    ack(&mut recovery, at(230), vec![3..=10]);
    ack(&mut recovery, at(327), vec![number..=number]);
    let rtt = recovery.rtt();
    let longest = rtt.smoothed().max(rtt.latest());
    let delay = at(226) + longest + longest / 4;
    assert_eq!(recovery.timeout(), Some(delay));
}

#[test]
fn nothing_is_undone_while_one_is_missing() {
    let mut recovery = ten_sent();
    let outcome = ack(&mut recovery, at(205), vec![3..=7]);
    assert_eq!(outcome.lost.len(), 2);
    let window = recovery.congestion_window();
    ack(&mut recovery, at(206), vec![2..=7]);
    assert_eq!(recovery.congestion_window(), window);
    ack(&mut recovery, at(207), vec![1..=7]);
    assert!(recovery.congestion_window() > window);
}

#[test]
fn a_skipped_number_is_not_late() {
    let mut recovery = ten_sent();
    ack(&mut recovery, at(205), vec![2..=6]);
    // What was never lost and never sent is a fault, whatever is remembered of losses.
    let mut outcome = Outcome::default();
    let ack = Ack {
        largest: 11,
        delay: Duration::ZERO,
        ranges: [0..=11].into_iter(),
        ecn: None,
    };
    let result = recovery.on_ack(at(206), SpaceId::Data, ack, &mut outcome);
    assert!(result.is_err());
}

#[test]
fn losses_far_apart_are_persistent_congestion() {
    let mut recovery = ten_sent();
    let before = recovery.pto(SpaceId::Data) * 3;
    let last = send(&mut recovery, at(190) + before, PATH);
    send(&mut recovery, at(191) + before, PATH);
    let largest = send(&mut recovery, at(192) + before, PATH);
    let newest = send(&mut recovery, at(193) + before, PATH);
    assert!(largest - last == 2);
    let outcome = ack(&mut recovery, at(300) + before, vec![newest..=newest]);
    assert!(outcome.lost.len() >= 11);
    // Two datagrams, and one for the packet that arrived.
    assert_eq!(recovery.congestion_window(), 3 * u64::from(SIZE));
}
