//! The packets received, and when and how to acknowledge them (RFC 9000, section 13.2;
//! draft-ietf-quic-ack-frequency, section 6).

use core::{ops::RangeInclusive, time::Duration};

use super::{
    ranges::Ranges,
    recovery::SpaceId,
    sent::{SentFrame, SentFrames},
};
use crate::{
    error::{Fault, TransportCode},
    time::Instant,
    udp::Ecn,
    wire::{
        Writer,
        frame::{AckFrequency, EcnCounts, encode_ack},
    },
};

#[cfg(test)]
mod tests;

/// The packets received in one packet number space.
#[derive(Debug)]
pub(crate) struct Acks {
    delay: Delay,
    /// Packets received, in `ranges_max` ranges at most.
    received: Ranges,
    ranges_max: usize,
    /// Packets below it are taken for duplicates: whether they are is forgotten.
    floor: u64,
    /// The peer knows that we have what is below, and need not be told.
    report_from: u64,
    largest: Option<Received>,
    largest_eliciting: Option<u64>,
    ecn: EcnCounts,
    urgency: Urgency,
    wish: Wish,
    /// The last packet was marked ECN-CE.
    was_ce: bool,
    /// The largest number that an ACK frame told of.
    largest_told: Option<u64>,
    /// Ack-eliciting packets that no ACK frame has told of.
    untold_eliciting: u32,
    /// Packets of any kind that no ACK frame has told of, and the lowest of their numbers.
    untold: u32,
    untold_from: Option<u64>,
}

/// How long an acknowledgement may wait.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Delay {
    /// Not at all: in a handshake everyone waits for it.
    Never,
    /// For a second ack-eliciting packet, but no longer than this.
    UpTo(Duration),
}

/// What an acknowledgement waits for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Urgency {
    /// Something else to go with, if there is anything to tell at all.
    None,
    /// This time.
    By(Instant),
    /// Nothing.
    Now,
}

/// What the peer wishes of acknowledgements, by its latest ACK_FREQUENCY frame.
#[derive(Copy, Clone, Debug)]
struct Wish {
    /// Of that frame.
    sequence: Option<u64>,
    /// Ack-eliciting packets that need no acknowledgement yet.
    threshold: u64,
    /// Packets by which one may be overtaken; 0 for any number.
    reordering: u64,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            sequence: None,
            // RFC 9000, section 13.2.2: every second.
            threshold: 1,
            reordering: 1,
        }
    }
}

#[derive(Copy, Clone, Debug)]
struct Received {
    number: u64,
    at: Instant,
}

impl Acks {
    /// `max_ack_delay` is what we advertise; `ranges_max` is `Limits::ack_ranges`.
    pub(crate) fn new(space: SpaceId, max_ack_delay: Duration, ranges_max: usize) -> Self {
        Self {
            delay: match space {
                SpaceId::Initial | SpaceId::Handshake => Delay::Never,
                SpaceId::Data => Delay::UpTo(max_ack_delay),
            },
            received: Ranges::new(),
            ranges_max: ranges_max.max(1),
            floor: 0,
            report_from: 0,
            largest: None,
            largest_eliciting: None,
            ecn: EcnCounts::default(),
            urgency: Urgency::None,
            wish: Wish::default(),
            was_ce: false,
            largest_told: None,
            untold_eliciting: 0,
            untold: 0,
            untold_from: None,
        }
    }

    /// The largest packet number received: packet numbers are decoded by it.
    pub(crate) fn largest(&self) -> Option<u64> {
        self.largest.map(|packet| packet.number)
    }

    /// Whether a packet was received before, or is so old that this is no longer known. Ask once
    /// its protection is removed; such a packet must not be processed.
    pub(crate) fn is_duplicate(&self, number: u64) -> bool {
        number < self.floor || self.received.contains(number)
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.received.accounted_bytes()
    }

    /// A packet was received and its frames were processed. A duplicate changes nothing.
    pub(crate) fn on_packet(
        &mut self,
        now: Instant,
        number: u64,
        ack_eliciting: bool,
        ecn: Option<Ecn>,
    ) {
        let ranges = self.received.len();
        if number < self.floor || !self.received.insert_one(number) {
            return;
        }
        let is_new_range = self.received.len() > ranges;
        while self.received.len() > self.ranges_max {
            let forgotten = self.received.pop_front().map_or(0, |range| range.end);
            self.floor = self.floor.max(forgotten);
        }
        if number < self.floor {
            // Older than all we have room for: forgotten at once. The peer will send it again.
            return;
        }
        if self.largest.is_none_or(|largest| number > largest.number) {
            self.largest = Some(Received { number, at: now });
        }
        // What arrives late is told even when everything around it was.
        self.report_from = self.report_from.min(number);
        match ecn {
            Some(Ecn::Ect0) => self.ecn.ect0 += 1,
            Some(Ecn::Ect1) => self.ecn.ect1 += 1,
            Some(Ecn::Ce) => self.ecn.ce += 1,
            None => {}
        }
        self.untold = self.untold.saturating_add(1);
        self.untold_from = Some(self.untold_from.map_or(number, |from| from.min(number)));
        if ack_eliciting {
            self.untold_eliciting = self.untold_eliciting.saturating_add(1);
            self.raise_urgency(now, number, ecn, is_new_range);
            self.largest_eliciting = self.largest_eliciting.max(Some(number));
        }
        self.was_ce = ecn == Some(Ecn::Ce);
    }

    /// The peer wishes the packet that comes to be acknowledged at once.
    pub(crate) fn on_immediate_ack(&mut self) {
        self.urgency = Urgency::Now;
    }

    /// The peer's wish for all that comes after. `min_delay` is what we advertised.
    pub(crate) fn on_ack_frequency(
        &mut self,
        frame: &AckFrequency,
        min_delay: Duration,
    ) -> Result<(), Fault> {
        let delay = Duration::from_micros(frame.max_ack_delay_us);
        if delay >= MAX_ACK_DELAY_END || delay < min_delay {
            return Err(Fault::transport(
                TransportCode::ProtocolViolation,
                "a delay of acknowledgements out of bounds",
            ));
        }
        if self
            .wish
            .sequence
            .is_some_and(|last| frame.sequence <= last)
        {
            return Ok(());
        }
        self.wish = Wish {
            sequence: Some(frame.sequence),
            threshold: frame.ack_eliciting_threshold,
            reordering: frame.reordering_threshold,
        };
        if let Delay::UpTo(longest) = &mut self.delay {
            *longest = delay;
        }
        Ok(())
    }

    fn raise_urgency(&mut self, now: Instant, number: u64, ecn: Option<Ecn>, is_new_range: bool) {
        let Delay::UpTo(delay) = self.delay else {
            self.urgency = Urgency::Now;
            return;
        };
        let enough = u64::from(self.untold_eliciting) > self.wish.threshold
            || is_new_range && self.received.len() >= self.ranges_max / 2;
        if enough || self.is_news_of_congestion(ecn) || self.is_reordered(number) {
            self.urgency = Urgency::Now;
        } else if self.urgency == Urgency::None {
            self.urgency = Urgency::By(now + delay);
        }
    }

    /// Whether a mark is to be told at once: each, but the first of a row where the peer wishes
    /// fewer acknowledgements.
    fn is_news_of_congestion(&self, ecn: Option<Ecn>) -> bool {
        ecn == Some(Ecn::Ce) && (self.wish.threshold <= 1 || !self.was_ce)
    }

    fn is_reordered(&self, number: u64) -> bool {
        match self.wish.reordering {
            0 => false,
            1 => self.is_out_of_order(number),
            threshold => self.is_beyond_reordering(number, threshold),
        }
    }

    /// Whether an ack-eliciting packet helps the peer to detect reordering or loss (RFC 9000,
    /// section 13.2.1): it comes after a later one, or there is a gap between the one before and
    /// it.
    fn is_out_of_order(&self, number: u64) -> bool {
        let Some(before) = self.largest_eliciting else {
            return false;
        };
        let run = self.received.range_of(number);
        let run_start = run.map_or(number, |run| run.start);
        number < before || run_start > self.floor.max(before.saturating_add(1))
    }

    /// Whether a packet lets the peer declare another lost, or was itself, when it does so after
    /// `threshold` later ones (draft-ietf-quic-ack-frequency, section 6.2).
    fn is_beyond_reordering(&self, number: u64, threshold: u64) -> bool {
        let reported = self
            .largest_told
            .and_then(|largest| largest.checked_sub(threshold));
        if reported.is_some_and(|reported| number <= reported) {
            return true;
        }
        let first = self.received.first().map_or(0, |range| range.start);
        let from = reported.map_or(first, |reported| reported + 1);
        let from = from.max(self.floor);
        let missing = self.received.range_of(from).map_or(from, |run| run.end);
        let largest = self.largest_eliciting.map_or(number, |it| it.max(number));
        largest
            .checked_sub(missing)
            .is_some_and(|by| by >= threshold)
    }

    /// Whether an ACK frame must be sent now, alone if need be.
    pub(crate) fn should_ack_now(&self, now: Instant) -> bool {
        match self.urgency {
            Urgency::None => false,
            Urgency::By(deadline) => deadline <= now,
            Urgency::Now => true,
        }
    }

    /// When [`Acks::should_ack_now`] will become true by itself. `None` also when it already is
    /// because of what was received.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.urgency {
            Urgency::By(deadline) => Some(deadline),
            Urgency::None | Urgency::Now => None,
        }
    }

    /// Whether an ACK frame is worth its bytes in a packet that is sent anyway. Packets that
    /// elicit no acknowledgement are told of only now and then, so that the peer can let go of
    /// what it remembers of them.
    pub(crate) fn should_bundle(&self) -> bool {
        self.untold_eliciting > 0 || self.untold >= UNTOLD_MAX
    }

    /// Writes an ACK frame with as many ranges as there is room for; tells whether it did.
    /// `exponent` is our `ack_delay_exponent`; in Initial and Handshake packets it is the default
    /// of 3, as the peer may not know ours.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        exponent: u8,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
    ) -> bool {
        let Some(largest) = self.largest else {
            return false;
        };
        let waited = now.saturating_since(largest.at).as_micros();
        let waited = u64::try_from(waited).unwrap_or(u64::MAX);
        let delay = waited.checked_shr(exponent.into()).unwrap_or(0);
        let counts = (self.ecn != EcnCounts::default()).then_some(self.ecn);
        let Ok(written) = encode_ack(self.reported(), delay, counts, w) else {
            return false;
        };
        self.urgency = Urgency::None;
        self.untold_eliciting = 0;
        self.untold = 0;
        self.untold_from = None;
        if written > 0 {
            let largest = largest.number;
            self.largest_told = Some(largest);
            sent.push(SentFrame::Ack { largest });
        }
        written > 0
    }

    /// What an ACK frame tells of, largest first.
    fn reported(&self) -> impl Iterator<Item = RangeInclusive<u64>> + Clone + '_ {
        let ranges = self.received.iter().rev();
        ranges
            .take_while(|range| range.end > self.report_from)
            .map(|range| range.start..=range.end - 1)
            .take(RANGES_PER_ACK)
    }

    /// The peer acknowledged a packet with an ACK frame of ours, whose largest packet number was
    /// `largest`: it need not be told again. Everything stays known for finding duplicates.
    pub(crate) fn on_acked(&mut self, largest: u64) {
        let told = largest.saturating_add(1);
        let told = self.untold_from.map_or(told, |from| told.min(from));
        self.report_from = self.report_from.max(told);
    }
}

/// A delay that can no longer be asked for: 2^14 ms.
const MAX_ACK_DELAY_END: Duration = Duration::from_millis(1 << 14);

/// Packets received before an ACK frame goes with other frames although nothing asks for it.
const UNTOLD_MAX: u32 = 16;

const RANGES_PER_ACK: usize = 32;
