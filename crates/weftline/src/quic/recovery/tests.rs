//! Recovery as the connection uses it.

use alloc::{vec, vec::Vec};
use core::{ops::RangeInclusive, time::Duration};

use super::*;
use crate::quic::congestion::initial_window;

const SIZE: u16 = 1200;

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

/// A client's recovery past the handshake.
fn recovery() -> Recovery {
    recovery_with(Congestion::NewReno)
}

fn recovery_with(congestion: Congestion) -> Recovery {
    let mut recovery = Recovery::new(
        Instant::ZERO,
        RecoveryConfig {
            side: Side::Client,
            initial_rtt: Duration::from_millis(100),
            max_datagram_size: SIZE,
            max_sent_packets: 10_000,
            congestion,
            seed: 1,
        },
    );
    recovery.set_handshake_keys();
    recovery.set_handshake_confirmed();
    recovery
}

fn packet(path: PathId, frames: &SentFrames) -> PacketSent<'_> {
    PacketSent {
        size: SIZE,
        ack_eliciting: true,
        in_flight: true,
        ect: false,
        path,
        mtu_probe: false,
        frames,
    }
}

/// Sends an ack-eliciting packet; gives its number.
fn send(recovery: &mut Recovery, now: Instant, path: PathId) -> u64 {
    let number = recovery.next_packet_number(SpaceId::Data);
    let mut frames = SentFrames::default();
    frames.push(SentFrame::Ping);
    recovery.on_packet_sent(now, SpaceId::Data, &packet(path, &frames));
    number
}

fn ack(recovery: &mut Recovery, now: Instant, ranges: Vec<RangeInclusive<u64>>) -> Outcome {
    let mut outcome = Outcome::default();
    let ack = Ack {
        largest: ranges.first().map_or(0, |range| *range.end()),
        delay: Duration::ZERO,
        ranges: ranges.into_iter(),
        ecn: None,
    };
    recovery
        .on_ack(now, SpaceId::Data, ack, &mut outcome)
        .unwrap();
    outcome
}

mod bottleneck;
mod losses;
mod pacing;
mod paths;
