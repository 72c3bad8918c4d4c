//! The keys of 1-RTT packets and their updates (RFC 9001, section 6).
//!
//! ```text
//!            we update              a packet opens with current keys
//!  Opened -------------> Waiting --------------------------------------> Opened
//!     |                                                                     ^
//!     +------- a packet opens with next keys: the peer updated ------------+
//! ```
//! Both directions turn together. Three receive keys exist at a time: the previous, so that late
//! packets still open; the current; and the next, made ahead, so that a packet with a forged key
//! phase costs the same as any other. Every packet is tried with one key only.

use alloc::boxed::Box;
use core::mem;

use super::{CryptoError, HeaderKey, Keys, NextKeys, PacketKey, PacketKeys};
use crate::{
    Instant,
    error::{Fault, TransportCode},
};

/// The 1-RTT keys of a connection.
pub(crate) struct KeyPhases {
    local_header: Box<dyn HeaderKey>,
    remote_header: Box<dyn HeaderKey>,
    previous: Option<Previous>,
    current: PacketKeys,
    next: PacketKeys,
    after_next: Box<dyn NextKeys>,
    /// Updates so far; the key phase bit is its lowest.
    generation: u64,
    confirmed: bool,
    sending: Sending,
    receiving: Receiving,
    /// The highest packet number that opened with keys older than the current.
    highest_before: Option<u64>,
    /// Packets sealed with the current key.
    sealed: u64,
    /// Packets that did not open, over the whole connection.
    failed: u64,
}

/// A packet that opened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Length of the payload at the front of the buffer.
    pub(crate) len: usize,
    /// Which keys it took.
    pub(crate) keys: Slot,
}

/// Which of the three receive keys.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Previous,
    Current,
    /// The packet turned the phase: these keys are the current ones now.
    Next,
}

/// A packet that did not open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// Forged, damaged, or sealed with keys that are gone: drop it.
    Drop,
    /// The connection must close.
    Fault(Fault),
}

struct Previous {
    remote: Box<dyn PacketKey>,
    /// Not known before a packet opened with the current keys.
    discard_at: Option<Instant>,
}

/// What the peer knows of the current phase.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Sending {
    /// Nothing was sealed yet.
    Unsent,
    /// Nothing was acknowledged yet; `first` was the first packet number sealed.
    Unacked { first: u64 },
    /// We may start an update from this time on.
    Acked { update_from: Instant },
}

/// What we got of the current phase.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Receiving {
    /// Nothing: we started the update and the peer has not answered (or this is the first phase).
    Waiting,
    /// These packet numbers, at least; `answered` once we sent an acknowledgement, upon which the
    /// peer may update again.
    Opened {
        lowest: u64,
        highest: u64,
        answered: bool,
    },
}

impl KeyPhases {
    /// The first phase, with `keys` from the handshake.
    pub(crate) fn new(keys: Keys, mut after: Box<dyn NextKeys>) -> Self {
        Self {
            local_header: keys.local.header,
            remote_header: keys.remote.header,
            previous: None,
            current: PacketKeys {
                local: keys.local.packet,
                remote: keys.remote.packet,
            },
            next: after.next(),
            after_next: after,
            generation: 0,
            confirmed: false,
            sending: Sending::Unsent,
            receiving: Receiving::Waiting,
            highest_before: None,
            sealed: 0,
            failed: 0,
        }
    }

    /// Protects the headers of what we send.
    pub(crate) fn local_header(&self) -> &dyn HeaderKey {
        &*self.local_header
    }

    /// Protects the headers of what we receive.
    pub(crate) fn remote_header(&self) -> &dyn HeaderKey {
        &*self.remote_header
    }

    /// The key phase bit of what is sealed now.
    pub(crate) const fn phase(&self) -> bool {
        self.generation & 1 == 1
    }

    /// Updates so far, of either side's making.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// The handshake is confirmed: updates are allowed.
    pub(crate) const fn on_confirmed(&mut self) {
        self.confirmed = true;
    }

    /// Makes ready to seal a packet and gives its key phase bit. Starts an update when the key is
    /// nearly used up; when that is not possible in time the connection must close, for which
    /// [`phase`](Self::phase) and [`seal`](Self::seal) still work for a few packets.
    pub(crate) fn prepare(&mut self, now: Instant) -> Result<bool, Fault> {
        let limit = self.current.local.confidentiality_limit();
        if self.sealed >= limit - UPDATE_MARGIN.min(limit / 4)
            && !self.try_update(now)
            && self.sealed >= limit - CLOSE_MARGIN.min(limit / 8)
        {
            return Err(aead_limit_reached());
        }
        Ok(self.phase())
    }

    /// Seals a packet whose header carries [`phase`](Self::phase). Fails past the key's
    /// confidentiality limit.
    pub(crate) fn seal(
        &mut self,
        packet_number: u64,
        header: &[u8],
        buf: &mut [u8],
    ) -> Result<(), CryptoError> {
        if self.sealed >= self.current.local.confidentiality_limit() {
            return Err(CryptoError);
        }
        self.current.local.seal(packet_number, header, buf)?;
        self.sealed += 1;
        if self.sending == Sending::Unsent {
            self.sending = Sending::Unacked {
                first: packet_number,
            };
        }
        Ok(())
    }

    /// Opens a packet. Should it be the first of a phase, the previous keys go at `discard_at`:
    /// three PTOs from now (RFC 9001, section 6.5).
    pub(crate) fn open(
        &mut self,
        phase: bool,
        packet_number: u64,
        header: &[u8],
        buf: &mut [u8],
        discard_at: impl FnOnce() -> Instant,
    ) -> Result<Opened, OpenError> {
        let keys = self.select(phase, packet_number);
        let key = match (keys, &self.previous) {
            (Slot::Previous, Some(previous)) => &previous.remote,
            (Slot::Next, _) => &self.next.remote,
            (Slot::Current | Slot::Previous, _) => &self.current.remote,
        };
        let Ok(len) = key.open(packet_number, header, buf) else {
            self.on_failed_open().map_err(OpenError::Fault)?;
            return Err(OpenError::Drop);
        };
        match keys {
            Slot::Previous => self.on_opened_with_previous(packet_number),
            Slot::Current => self.on_opened_with_current(packet_number, discard_at),
            Slot::Next => self.on_opened_with_next(packet_number, discard_at()),
        }
        .map_err(OpenError::Fault)?;
        Ok(Opened { len, keys })
    }

    /// A packet of any level did not open. Too many over a connection are an attack on its keys
    /// (RFC 9001, section 6.6).
    pub(crate) fn on_failed_open(&mut self) -> Result<(), Fault> {
        self.failed = self.failed.saturating_add(1);
        if self.failed > self.current.remote.integrity_limit() {
            return Err(aead_limit_reached());
        }
        Ok(())
    }

    /// A packet with an ACK frame was sealed: the peer may update after it.
    pub(crate) const fn on_ack_sent(&mut self) {
        if let Receiving::Opened { answered, .. } = &mut self.receiving {
            *answered = true;
        }
    }

    /// An ACK frame arrived in a packet that took `keys`. Should it confirm an update, the next
    /// one may start at `update_from`: three PTOs from now (RFC 9001, section 6.5).
    pub(crate) fn on_ack(
        &mut self,
        largest_acked: u64,
        keys: Slot,
        update_from: impl FnOnce() -> Instant,
    ) -> Result<(), Fault> {
        let Sending::Unacked { first } = self.sending else {
            return Ok(());
        };
        if largest_acked < first {
            return Ok(());
        }
        if keys == Slot::Previous {
            // RFC 9001, section 6.2.
            return Err(key_update_error("new keys acknowledged with old keys"));
        }
        self.sending = Sending::Acked {
            // The first phase is nobody's update: nothing to wait for.
            update_from: if self.generation == 0 {
                Instant::ZERO
            } else {
                update_from()
            },
        };
        Ok(())
    }

    /// Starts an update if the protocol allows one now: the handshake is confirmed, the peer
    /// acknowledged a packet of this phase, and three PTOs went by since (RFC 9001, section 6.1).
    pub(crate) fn try_update(&mut self, now: Instant) -> bool {
        let Sending::Acked { update_from } = self.sending else {
            return false;
        };
        if !self.confirmed || now < update_from {
            return false;
        }
        self.turn(None);
        self.receiving = Receiving::Waiting;
        true
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.previous.as_ref()?.discard_at
    }

    /// Discards the previous keys when their time has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.previous = None;
        }
    }

    /// Which key to try. Previous and next keys share a phase bit; packet numbers tell them apart
    /// (RFC 9001, section 6.5).
    fn select(&self, phase: bool, packet_number: u64) -> Slot {
        if phase == self.phase() {
            return Slot::Current;
        }
        if self.previous.is_none() {
            return Slot::Next;
        }
        match self.receiving {
            Receiving::Waiting => Slot::Previous,
            Receiving::Opened { lowest, .. } if packet_number < lowest => Slot::Previous,
            // The peer cannot have updated again: at most it fell back, which is an error.
            Receiving::Opened {
                answered: false, ..
            } => Slot::Previous,
            Receiving::Opened { answered: true, .. } => Slot::Next,
        }
    }

    fn on_opened_with_previous(&mut self, packet_number: u64) -> Result<(), Fault> {
        match self.receiving {
            // RFC 9001, section 6.4.
            Receiving::Opened { lowest, .. } if packet_number >= lowest => {
                Err(key_update_error("old keys used after new ones"))
            }
            _ => {
                self.highest_before = self.highest_before.max(Some(packet_number));
                Ok(())
            }
        }
    }

    fn on_opened_with_current(
        &mut self,
        packet_number: u64,
        discard_at: impl FnOnce() -> Instant,
    ) -> Result<(), Fault> {
        if self.highest_before >= Some(packet_number) {
            return Err(key_update_error("old keys used after new ones"));
        }
        match &mut self.receiving {
            Receiving::Waiting => {
                self.receiving = Receiving::first(packet_number);
                if let Some(previous) = &mut self.previous {
                    previous.discard_at = Some(discard_at());
                }
            }
            Receiving::Opened {
                lowest, highest, ..
            } => {
                *lowest = packet_number.min(*lowest);
                *highest = packet_number.max(*highest);
            }
        }
        Ok(())
    }

    fn on_opened_with_next(
        &mut self,
        packet_number: u64,
        discard_at: Instant,
    ) -> Result<(), Fault> {
        match self.receiving {
            Receiving::Opened { highest, .. } if packet_number <= highest => {
                return Err(key_update_error("old keys used after new ones"));
            }
            // The first update needs no acknowledgement before it, just a confirmed handshake,
            // and the peer may know of that before we do.
            Receiving::Opened {
                answered: false, ..
            }
            | Receiving::Waiting
                if self.generation > 0 =>
            {
                return Err(key_update_error("keys updated twice at once"));
            }
            Receiving::Opened { .. } | Receiving::Waiting => {}
        }
        self.turn(Some(discard_at));
        self.receiving = Receiving::first(packet_number);
        Ok(())
    }

    /// Turns both directions to the next phase.
    fn turn(&mut self, discard_at: Option<Instant>) {
        if let Receiving::Opened { highest, .. } = self.receiving {
            self.highest_before = self.highest_before.max(Some(highest));
        }
        let after_next = self.after_next.next();
        let next = mem::replace(&mut self.next, after_next);
        let old = mem::replace(&mut self.current, next);
        self.previous = Some(Previous {
            remote: old.remote,
            discard_at,
        });
        self.generation += 1;
        self.sending = Sending::Unsent;
        self.sealed = 0;
    }
}

impl Receiving {
    const fn first(packet_number: u64) -> Self {
        Self::Opened {
            lowest: packet_number,
            highest: packet_number,
            answered: false,
        }
    }
}

const fn aead_limit_reached() -> Fault {
    Fault::transport(TransportCode::AeadLimitReached, "AEAD limit reached")
}

const fn key_update_error(reason: &'static str) -> Fault {
    Fault::transport(TransportCode::KeyUpdateError, reason)
}

/// How many packets before a key's limit its update starts, at most a quarter of the limit.
const UPDATE_MARGIN: u64 = 10_000;

/// How many packets of a key are kept back to close the connection with, at most an eighth of the
/// limit.
const CLOSE_MARGIN: u64 = 16;

#[cfg(test)]
mod tests;
