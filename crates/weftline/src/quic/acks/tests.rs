//! When acknowledgements are due.

use alloc::vec::Vec;

use super::*;

const DELAY: Duration = Duration::from_millis(25);

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn acks() -> Acks {
    Acks::new(SpaceId::Data, DELAY, 64)
}

fn receive(acks: &mut Acks, number: u64) -> bool {
    acks.on_packet(at(0), number, true, None);
    acks.should_ack_now(at(0))
}

fn tell(acks: &mut Acks) {
    let mut out = [0; 1200];
    let mut sent = SentFrames::default();
    assert!(acks.write(at(0), 3, &mut Writer::new(&mut out), &mut sent));
}

fn wish(acks: &mut Acks, sequence: u64, threshold: u64, reordering: u64) {
    let frame = AckFrequency {
        sequence,
        ack_eliciting_threshold: threshold,
        max_ack_delay_us: 40_000,
        reordering_threshold: reordering,
    };
    acks.on_ack_frequency(&frame, Duration::from_millis(1))
        .unwrap();
}

/// Receives packets, and acknowledges when that is due: after which.
fn acknowledged_after(acks: &mut Acks, packets: &[u64]) -> Vec<u64> {
    let due = |acks: &mut Acks, number| {
        let due = receive(acks, number);
        if due {
            tell(acks);
        }
        due
    };
    let packets = packets.iter().copied();
    packets.filter(|number| due(acks, *number)).collect()
}

#[test]
fn every_second_or_a_delay() {
    let mut acks = acks();
    assert!(!receive(&mut acks, 0));
    assert_eq!(acks.deadline(), Some(at(25)));
    assert!(receive(&mut acks, 1));
    tell(&mut acks);
    assert_eq!(acks.deadline(), None);
    assert_eq!(acknowledged_after(&mut acks, &[2, 3, 4, 5]), [3, 5]);
}

#[test]
fn out_of_order_at_once() {
    let mut acks = acks();
    assert_eq!(acknowledged_after(&mut acks, &[0, 2, 1]), [2, 1]);
}

#[test]
fn as_many_as_the_peer_wishes() {
    let mut acks = acks();
    wish(&mut acks, 0, 4, 1);
    let packets: Vec<u64> = (0..15).collect();
    assert_eq!(acknowledged_after(&mut acks, &packets), [4, 9, 14]);
    assert!(!receive(&mut acks, 15));
    assert_eq!(acks.deadline(), Some(at(40)), "the delay it asked for");
    wish(&mut acks, 1, 0, 1);
    tell(&mut acks);
    assert_eq!(acknowledged_after(&mut acks, &[16, 17]), [16, 17]);
}

#[test]
fn an_older_wish_is_ignored() {
    let mut acks = acks();
    wish(&mut acks, 5, 2, 1);
    wish(&mut acks, 5, 0, 1);
    wish(&mut acks, 4, 0, 1);
    assert_eq!(acknowledged_after(&mut acks, &[0, 1, 2]), [2]);
}

#[test]
fn delays_out_of_bounds() {
    let mut acks = acks();
    let mut ask = |max_ack_delay_us| {
        let frame = AckFrequency {
            sequence: 1,
            ack_eliciting_threshold: 1,
            max_ack_delay_us,
            reordering_threshold: 1,
        };
        acks.on_ack_frequency(&frame, Duration::from_millis(1))
            .is_ok()
    };
    assert!(ask(1000) && ask(16_383_999));
    assert!(!ask(999) && !ask(16_384_000) && !ask(u64::MAX >> 2));
}

#[test]
fn at_once_when_the_peer_says_so() {
    let mut acks = acks();
    wish(&mut acks, 0, 100, 0);
    acks.on_immediate_ack();
    assert!(receive(&mut acks, 0));
    tell(&mut acks);
    assert!(!receive(&mut acks, 1));
}

/// The two examples of the draft, section 6.2.1.
#[test]
fn reordering_thresholds() {
    let mut three = acks();
    wish(&mut three, 0, 100, 3);
    let packets = [0, 1, 3, 4, 5, 8, 9, 10];
    assert_eq!(acknowledged_after(&mut three, &packets), [5, 9, 10]);
    let mut five = acks();
    wish(&mut five, 0, 100, 5);
    let packets = [0, 1, 3, 5, 6, 7, 8, 9];
    assert_eq!(acknowledged_after(&mut five, &packets), [7, 9]);
}

#[test]
fn what_was_declared_lost_is_told_when_it_comes() {
    let mut acks = acks();
    wish(&mut acks, 0, 100, 3);
    assert_eq!(acknowledged_after(&mut acks, &[0, 2, 3, 4, 1]), [4, 1]);
    let mut never = self::acks();
    wish(&mut never, 0, 100, 0);
    assert!(acknowledged_after(&mut never, &[0, 9, 20, 8, 1]).is_empty());
}

#[test]
fn marks_are_told_when_they_begin() {
    let mut acks = acks();
    let mut mark = |number, ecn| {
        acks.on_packet(at(0), number, true, Some(ecn));
        let due = acks.should_ack_now(at(0));
        if due {
            tell(&mut acks);
        }
        due
    };
    assert!(mark(0, Ecn::Ce) && mark(1, Ecn::Ce), "each by default");
    let mut acks = self::acks();
    wish(&mut acks, 0, 100, 1);
    let mut mark = |number, ecn| {
        acks.on_packet(at(0), number, true, Some(ecn));
        let due = acks.should_ack_now(at(0));
        if due {
            tell(&mut acks);
        }
        due
    };
    assert!(!mark(0, Ecn::Ect0) && mark(1, Ecn::Ce) && !mark(2, Ecn::Ce));
    assert!(!mark(3, Ecn::Ect0) && mark(4, Ecn::Ce));
}

#[test]
fn no_wish_makes_ranges_pile_up_untold() {
    let mut acks = acks();
    wish(&mut acks, 0, u64::MAX >> 2, 0);
    let told = (0..200_u64).map(|n| n * 2).find(|n| receive(&mut acks, *n));
    assert_eq!(told, Some(62), "half of the ranges remembered");
}
