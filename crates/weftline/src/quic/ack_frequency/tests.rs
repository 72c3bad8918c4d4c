use alloc::{boxed::Box, sync::Arc};

use super::*;
use crate::quic::{
    congestion::{Acked, Congestion, CongestionEvent, Controller, ControllerFactory, Start},
    recovery::{Recovery, RecoveryConfig},
};
use crate::wire::Side;

/// A controller of a fixed window, in datagrams.
#[derive(Copy, Clone, Debug)]
struct Fixed(u64);

impl Controller for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn window(&self) -> u64 {
        self.0 * 1200
    }

    fn in_slow_start(&self) -> bool {
        self.0 < 10
    }

    fn on_ack(&mut self, _: &Acked) {}

    fn on_congestion_event(&mut self, _: &CongestionEvent) {}

    fn on_mtu_update(&mut self, _: u16) {}
}

impl ControllerFactory for Fixed {
    fn build(&self, _: &Start) -> Box<dyn Controller> {
        Box::new(*self)
    }
}

/// Recovery with a window of so many datagrams and a round trip of 80 ms.
fn recovery(window: u64) -> Recovery {
    Recovery::new(
        Instant::ZERO,
        RecoveryConfig {
            side: Side::Server,
            initial_rtt: Duration::from_millis(80),
            max_datagram_size: 1200,
            max_sent_packets: 100,
            congestion: Congestion::Custom(Arc::new(Fixed(window))),
            seed: 0,
        },
    )
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn wishes() -> AckWishes {
    let mut wishes = AckWishes::default();
    wishes.on_peer_params(Some(1000), ms(25));
    wishes
}

/// Looks at a window and sends what it wishes for.
fn look(wishes: &mut AckWishes, now: Instant, window: u64) -> Option<AckFrequency> {
    wishes.update(now, recovery(window).active());
    let frame = wishes.unsent()?;
    wishes.on_sent(&frame);
    Some(frame)
}

#[test]
fn an_eighth_of_a_window_and_a_quarter_of_a_round_trip() {
    let frame = look(&mut wishes(), at(100), 80).unwrap();
    let expected = AckFrequency {
        sequence: 0,
        ack_eliciting_threshold: 10,
        max_ack_delay_us: 20_000,
        reordering_threshold: 3,
    };
    assert_eq!(frame, expected);
    let frame = look(&mut wishes(), at(100), 100_000).unwrap();
    assert_eq!(frame.ack_eliciting_threshold, THRESHOLD_MAX);
    let frame = look(&mut wishes(), at(100), 10).unwrap();
    assert_eq!(frame.ack_eliciting_threshold, 1);
}

#[test]
fn nothing_for_a_peer_that_takes_none_and_in_slow_start() {
    let mut none = AckWishes::default();
    none.on_peer_params(None, ms(25));
    assert!(!none.are_taken());
    assert_eq!(look(&mut none, at(100), 80), None);
    assert_eq!(look(&mut wishes(), at(100), 9), None);
}

#[test]
fn the_peers_bounds_are_kept() {
    let mut slow = AckWishes::default();
    slow.on_peer_params(Some(24_000), ms(25));
    assert_eq!(
        look(&mut slow, at(100), 80).unwrap().max_ack_delay_us,
        24_000
    );
    let mut quick = AckWishes::default();
    quick.on_peer_params(Some(0), ms(5));
    assert_eq!(
        look(&mut quick, at(100), 80).unwrap().max_ack_delay_us,
        5000
    );
}

#[test]
fn one_at_a_time_and_only_for_a_reason() {
    let mut wishes = wishes();
    assert!(look(&mut wishes, at(100), 80).is_some());
    assert_eq!(look(&mut wishes, at(1000), 8000), None, "one is in flight");
    wishes.on_acked(0);
    assert_eq!(look(&mut wishes, at(2000), 90), None, "nearly the same");
    let next = look(&mut wishes, at(3000), 8000).unwrap();
    assert_eq!((next.sequence, next.ack_eliciting_threshold), (1, 25));
    wishes.on_acked(1);
    assert_eq!(look(&mut wishes, at(3050), 80), None, "once a round trip");
    assert!(look(&mut wishes, at(3080), 80).is_some());
}

#[test]
fn a_lost_one_goes_again_under_a_new_number() {
    let mut wishes = wishes();
    look(&mut wishes, at(100), 80);
    wishes.on_lost(0);
    let again = wishes.unsent().unwrap();
    assert_eq!((again.sequence, again.ack_eliciting_threshold), (1, 10));
    wishes.on_sent(&again);
    // What became of the first is of no interest any more.
    wishes.on_lost(0);
    assert_eq!(wishes.unsent(), None);
}

#[test]
fn timeouts_allow_for_both_delays_while_one_is_in_flight() {
    let mut wishes = wishes();
    assert_eq!(wishes.max_delay(), ms(25));
    look(&mut wishes, at(100), 80);
    assert_eq!(wishes.max_delay(), ms(25));
    wishes.on_acked(0);
    assert_eq!(wishes.max_delay(), ms(20));
}
