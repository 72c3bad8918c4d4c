//! Each path learns for itself.

use super::*;

const OLD: PathId = PathId(0);
const NEW: PathId = PathId(1);

#[test]
fn what_is_acked_counts_where_it_was_sent() {
    let mut recovery = recovery();
    send(&mut recovery, at(0), OLD);
    recovery.add_path(at(1), NEW, 1400);
    send(&mut recovery, at(1), NEW);
    assert_eq!(recovery.bytes_in_flight(), SIZE.into());
    assert!(recovery.activate(NEW));
    assert_eq!(recovery.active().id(), NEW);
    assert_eq!(recovery.bytes_in_flight(), SIZE.into());
    assert_eq!(recovery.active().max_datagram_size(), 1400);

    ack(&mut recovery, at(50), vec![0..=0]);
    let old = recovery.path(OLD).unwrap();
    assert_eq!(old.bytes_in_flight(), 0);
    assert_eq!(old.rtt().latest(), Duration::from_millis(50));
    assert_eq!(recovery.rtt().first_sample(), None);
    ack(&mut recovery, at(81), vec![1..=1]);
    assert_eq!(recovery.rtt().latest(), Duration::from_millis(80));
    assert_eq!(recovery.bytes_in_flight(), 0);
}

#[test]
fn losses_count_where_they_were_sent() {
    let mut recovery = recovery();
    ack_one(&mut recovery);
    recovery.add_path(at(100), NEW, SIZE);
    send(&mut recovery, at(100), OLD);
    recovery.activate(NEW);
    for _ in 0..4 {
        send(&mut recovery, at(100), NEW);
    }
    let outcome = ack(&mut recovery, at(150), vec![2..=5]);
    assert!(outcome.lost.is_empty(), "the new path is only faster");
    // 9/8 of the old path's 100 ms; then of the new one's if that is slower.
    assert_eq!(
        recovery.timeout(),
        Some(at(212) + Duration::from_micros(500))
    );
    let mut outcome = Outcome::default();
    recovery.on_timeout(at(213), &mut outcome);
    assert_eq!(outcome.lost, [SentFrame::Ping]);
    let old = recovery.path(OLD).unwrap();
    assert_eq!(old.bytes_in_flight(), 0);
    assert!(old.congestion_window() < initial_window(SIZE));
    assert!(recovery.congestion_window() >= initial_window(SIZE));
    assert_eq!(outcome.lost_min, None, "that is of the active path");
}

#[test]
fn a_removed_path_is_forgotten() {
    let mut recovery = recovery();
    send(&mut recovery, at(0), OLD);
    recovery.add_path(at(0), NEW, SIZE);
    recovery.activate(NEW);
    recovery.remove_path(OLD);
    assert!(recovery.path(OLD).is_none());
    assert!(!recovery.activate(OLD));
    let outcome = ack(&mut recovery, at(50), vec![0..=0]);
    assert_eq!(outcome.acked, [SentFrame::Ping]);
    assert_eq!(recovery.rtt().first_sample(), None);
    assert_eq!(recovery.congestion_window(), initial_window(SIZE));
}

#[test]
fn paths_come_back_as_they_were() {
    let mut recovery = recovery();
    ack_one(&mut recovery);
    let window = recovery.congestion_window();
    recovery.add_path(at(100), NEW, SIZE);
    recovery.activate(NEW);
    assert_eq!(recovery.rtt().smoothed(), Duration::from_millis(100));
    recovery.activate(OLD);
    assert_eq!(recovery.congestion_window(), window);
    assert!(recovery.rtt().first_sample().is_some());
}

#[test]
fn a_lost_mtu_probe_is_no_congestion() {
    let mut recovery = recovery();
    let frames = SentFrames::default();
    let probe = PacketSent {
        size: 1400,
        mtu_probe: true,
        ..packet(OLD, &frames)
    };
    recovery.on_packet_sent(at(0), SpaceId::Data, &probe);
    for _ in 0..3 {
        send(&mut recovery, at(0), OLD);
    }
    let outcome = ack(&mut recovery, at(50), vec![1..=3]);
    let probe = MtuProbe {
        path: OLD,
        size: 1400,
    };
    assert_eq!(outcome.lost_mtu_probe, Some(probe));
    assert_eq!((outcome.lost_min, outcome.acked_max), (None, Some(SIZE)));
    assert!(recovery.congestion_window() >= initial_window(SIZE));
    assert_eq!(recovery.bytes_in_flight(), 0);
}

#[test]
fn an_acked_mtu_probe_is_told() {
    let mut recovery = recovery();
    let frames = SentFrames::default();
    let probe = PacketSent {
        size: 1400,
        mtu_probe: true,
        ..packet(OLD, &frames)
    };
    recovery.on_packet_sent(at(0), SpaceId::Data, &probe);
    let outcome = ack(&mut recovery, at(50), vec![0..=0]);
    let probe = MtuProbe {
        path: OLD,
        size: 1400,
    };
    assert_eq!(outcome.acked_mtu_probe, Some(probe));
    assert_eq!(outcome.acked_max, None);
}

/// A first sample on the first path: 100 ms.
fn ack_one(recovery: &mut Recovery) {
    send(recovery, at(0), OLD);
    ack(recovery, at(100), vec![0..=0]);
}
