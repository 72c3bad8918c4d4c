//! How packets are spread.

use core::time::Duration;

use super::*;
use crate::quic::recovery::pacer::{Pace, Pacer};

const RTT: Duration = Duration::from_millis(100);

/// Sends for `duration` as the pacer lets; gives the bytes, and how often it made wait.
fn run(pacer: &mut Pacer, from: Instant, duration: Duration) -> (u64, u64) {
    let (mut now, end) = (from, from + duration);
    let (mut bytes, mut waits) = (0, 0);
    while now < end {
        match pacer.delay(now) {
            None => {
                pacer.on_sent(now, SIZE);
                bytes += u64::from(SIZE);
            }
            Some(at) => {
                assert!(at > now);
                now = at;
                waits += 1;
            }
        }
    }
    (bytes, waits)
}

fn pacer(window: u64, rtt: Duration) -> Pacer {
    let mut pacer = Pacer::new(Instant::ZERO);
    pacer.set_pace(Pace::new(window, rtt, (5, 4)), SIZE, rtt, None);
    pacer
}

#[test]
fn the_rate_is_kept_and_wakeups_are_few() {
    for (window, rtt) in [(120_000, RTT), (12_000_000, RTT), (1_000_000, RTT * 10)] {
        let mut pacer = pacer(window, rtt);
        let (bytes, waits) = run(&mut pacer, at(5), Duration::from_secs(2));
        let rate = window * 5 / 4 * 1000 / rtt.as_millis() as u64;
        let burst = (rate / 500).max(10 * u64::from(SIZE)) + u64::from(SIZE);
        let expected = rate * 2 + burst;
        assert!(
            bytes.abs_diff(expected) < expected / 50,
            "{bytes}, {expected}"
        );
        assert!(waits <= 2000, "one for each millisecond at most: {waits}");
    }
}

#[test]
fn what_is_owed_is_owed_at_the_new_pace() {
    let mut pacer = pacer(12_000, Duration::from_millis(333));
    for _ in 0..11 {
        pacer.on_sent(at(0), SIZE);
    }
    assert!(pacer.delay(at(0)).unwrap() > at(20));
    let rtt = Duration::from_micros(2);
    pacer.set_pace(Pace::new(12_000, rtt, (5, 4)), SIZE, rtt, None);
    assert_eq!(pacer.delay(at(0)), None);
    // And the other way round.
    pacer.set_pace(Pace::new(12_000, RTT, (5, 4)), SIZE, RTT, None);
    assert!(pacer.delay(at(0)).unwrap() > at(5));
}

#[test]
fn a_burst_is_ten_datagrams_or_two_milliseconds() {
    let burst = |pacer: &mut Pacer, now| {
        let mut count = 0;
        while pacer.delay(now).is_none() {
            pacer.on_sent(now, SIZE);
            count += 1;
        }
        count
    };
    assert_eq!(burst(&mut pacer(120_000, RTT), at(0)), 11);
    // 150 MB/s: 300,000 bytes.
    let mut fast = pacer(12_000_000, RTT);
    let first = burst(&mut fast, at(0));
    assert!((250..252).contains(&first), "{first}");
    // Idleness saves up no more.
    assert_eq!(burst(&mut fast, at(60_000)), first);
}

#[test]
fn a_quantum_is_gathered_whole() {
    let mut pacer = Pacer::new(Instant::ZERO);
    let pace = Pace::per_second(1_200_000);
    pacer.set_pace(pace, SIZE, RTT, Some(6000));
    while pacer.delay(at(0)).is_none() {
        pacer.on_sent(at(0), SIZE);
    }
    let ready = pacer.delay(at(0)).unwrap();
    // One packet is owed, and five more wait: a millisecond each.
    assert_eq!(ready, at(6));
}

#[test]
fn nothing_overflows() {
    for (bytes, duration) in [
        (0, Duration::MAX),
        (u64::MAX, Duration::ZERO),
        (1, Duration::MAX),
    ] {
        let mut pacer = Pacer::new(Instant::from_micros(u64::MAX));
        let pace = Pace::new(bytes, duration, (5, 4));
        pacer.set_pace(pace, u16::MAX, duration, Some(u64::MAX));
        for _ in 0..3 {
            pacer.on_sent(Instant::from_micros(u64::MAX), u16::MAX);
            pacer.delay(Instant::ZERO);
        }
    }
}

#[test]
fn slow_start_is_paced_at_twice_the_window() {
    let mut recovery = recovery();
    let path = PathId(0);
    send(&mut recovery, at(0), path);
    ack(&mut recovery, at(100), vec![0..=0]);
    let mut now = at(200);
    let mut sent = 0;
    while now < at(250) {
        match recovery.pacing_delay(now) {
            None => {
                send(&mut recovery, now, path);
                sent += u64::from(SIZE);
            }
            Some(at) => now = at,
        }
    }
    let expected = recovery.congestion_window() + 11 * u64::from(SIZE);
    assert!(
        sent.abs_diff(expected) <= u64::from(SIZE),
        "{sent}, {expected}"
    );
}
