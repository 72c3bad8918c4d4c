//! Frames of streams that are sent, acknowledged and lost.

use super::{StreamChange, Streams, URGENT};
use crate::{
    quic::sent::{SentFrame, SentFrames},
    wire::{
        Dir, Writer,
        frame::{DataBlocked, MaxData, MaxStreams, StreamsBlocked},
    },
};

impl Streams {
    /// Whether there are frames that control streams and their credit.
    pub(crate) fn has_control(&self) -> bool {
        !self.control.is_empty()
            || self.shared.credit.is_due()
            || self.wants_data_blocked()
            || DIRS.into_iter().any(|dir| {
                self.accepted.get(dir).is_due() || self.opened.get(dir).blocked().is_some()
            })
    }

    /// Writes as many of them as fit.
    pub(crate) fn write_control(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        if !self.write_connection_control(w, sent) {
            return;
        }
        while let Some((_, slot)) = self.control.first() {
            let fits = self.write_stream_control(slot, w, sent);
            self.settle(slot);
            if !fits {
                return;
            }
        }
    }

    /// Whether there is stream data that can be sent now.
    pub(crate) fn has_data(&self) -> bool {
        self.next_to_send().is_some()
    }

    /// Writes as much stream data as fits.
    pub(crate) fn write_data(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        while let Some((slot, fresh)) = self.next_to_send() {
            let Some(stream) = self.table.get_mut(slot) else {
                return;
            };
            let rank = stream.rank;
            let credit = match rank.priority {
                URGENT => self.send_credit.available(),
                _ => self.send_credit.ordinary(),
            };
            let id = stream.id;
            let Some(send) = &mut stream.send else {
                return;
            };
            let fits = if fresh {
                let len = send.write_fresh(id, credit, w, sent);
                self.send_credit.consume(len.unwrap_or(0));
                len.is_some()
            } else {
                let fits = send.write_resend(id, w, sent);
                if let Some(SentFrame::Stream { len, .. }) = sent.as_slice().last().filter(|_| fits)
                {
                    self.resent += u64::from(*len);
                }
                fits
            };
            if fits && fresh {
                self.fresh.end_turn(slot, rank);
            } else if fits {
                self.resend.end_turn(slot, rank);
            }
            self.settle(slot);
            if !fits {
                return;
            }
        }
    }

    /// The peer has this frame. Frames of others are ignored.
    pub(crate) fn on_acked(&mut self, frame: &SentFrame) {
        let (SentFrame::Stream { id, .. }
        | SentFrame::ResetStream(id)
        | SentFrame::StopSending(id)) = *frame
        else {
            return;
        };
        let Some(slot) = self.table.find_mut(id) else {
            return;
        };
        match *frame {
            SentFrame::Stream {
                offset, len, fin, ..
            } => {
                let finished = self
                    .send_mut(slot)
                    .is_some_and(|(send, spare)| send.on_acked(offset, len, fin, spare));
                if finished {
                    self.changes.push_back(StreamChange::Finished(id));
                }
            }
            SentFrame::ResetStream(_) => {
                if let Some((send, _)) = self.send_mut(slot) {
                    send.on_reset_acked();
                }
            }
            _ => {
                if let Some((recv, _)) = self.recv_mut(slot) {
                    recv.on_stop_acked();
                }
            }
        }
        self.settle(slot);
        self.wake_waiting();
    }

    /// The packet with this frame was lost. Frames of others are ignored.
    pub(crate) fn on_lost(&mut self, frame: &SentFrame) {
        match *frame {
            SentFrame::MaxData(limit) => self.shared.credit.on_lost(limit),
            SentFrame::MaxStreams(dir, limit) => self.accepted.get_mut(dir).on_lost(limit),
            SentFrame::DataBlocked(limit) => self.send_credit.blocked_notice().on_lost(limit),
            SentFrame::StreamsBlocked(dir, limit) => {
                self.opened.get_mut(dir).blocked_notice().on_lost(limit);
            }
            SentFrame::Stream { id, .. }
            | SentFrame::ResetStream(id)
            | SentFrame::StopSending(id)
            | SentFrame::MaxStreamData(id, _)
            | SentFrame::StreamDataBlocked(id, _) => {
                if let Some(slot) = self.table.find_mut(id) {
                    self.on_stream_lost(slot, frame);
                    self.settle(slot);
                }
            }
            _ => {}
        }
    }

    fn on_stream_lost(&mut self, slot: u32, frame: &SentFrame) {
        let Some(stream) = self.table.get_mut(slot) else {
            return;
        };
        if let Some(send) = &mut stream.send {
            match *frame {
                SentFrame::Stream {
                    offset, len, fin, ..
                } => send.on_lost(offset, len, fin),
                SentFrame::ResetStream(_) => send.on_reset_lost(),
                SentFrame::StreamDataBlocked(_, limit) => send.on_blocked_lost(limit),
                _ => {}
            }
        }
        if let Some(recv) = &mut stream.recv {
            match *frame {
                SentFrame::StopSending(_) => recv.on_stop_lost(),
                SentFrame::MaxStreamData(_, limit) => recv.on_max_data_lost(limit),
                _ => {}
            }
        }
    }

    /// The stream whose data goes next, and whether it goes for the first time. What was lost goes
    /// first (RFC 9000, section 13.3), but before no data of a higher priority, or of a higher
    /// order in its group.
    fn next_to_send(&self) -> Option<(u32, bool)> {
        let fresh = self.fresh.first().filter(|(rank, _)| match rank.priority {
            URGENT => self.send_credit.available() > 0,
            _ => self.send_credit.ordinary() > 0,
        });
        match (self.resend.first(), fresh) {
            (Some((lost, _)), Some((new, slot))) if new.precedes(&lost) => Some((slot, true)),
            (Some((_, slot)), _) => Some((slot, false)),
            (None, Some((_, slot))) => Some((slot, true)),
            (None, None) => None,
        }
    }

    fn wants_data_blocked(&self) -> bool {
        self.send_credit.is_blocked_due() && !self.fresh.is_empty()
    }

    /// Writes the control frames that name no stream; `false` when one does not fit.
    fn write_connection_control(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) -> bool {
        if self.shared.credit.is_due() {
            let maximum = self.shared.credit.next_limit();
            if (MaxData { maximum }).encode(w).is_err() {
                return false;
            }
            self.shared.credit.on_sent();
            sent.push(SentFrame::MaxData(maximum));
        }
        if self.wants_data_blocked() {
            let limit = self.send_credit.limit();
            if (DataBlocked { limit }).encode(w).is_err() {
                return false;
            }
            self.send_credit.blocked_notice().on_sent(limit);
            sent.push(SentFrame::DataBlocked(limit));
        }
        DIRS.into_iter()
            .all(|dir| self.write_stream_counts(dir, w, sent))
    }

    fn write_stream_counts(&mut self, dir: Dir, w: &mut Writer<'_>, sent: &mut SentFrames) -> bool {
        let accepted = self.accepted.get_mut(dir);
        if accepted.is_due() {
            let maximum = accepted.next_limit();
            if (MaxStreams { dir, maximum }).encode(w).is_err() {
                return false;
            }
            accepted.on_sent();
            sent.push(SentFrame::MaxStreams(dir, maximum));
        }
        let opened = self.opened.get_mut(dir);
        if let Some(limit) = opened.blocked() {
            if (StreamsBlocked { dir, limit }).encode(w).is_err() {
                return false;
            }
            opened.blocked_notice().on_sent(limit);
            sent.push(SentFrame::StreamsBlocked(dir, limit));
        }
        true
    }

    fn write_stream_control(
        &mut self,
        slot: u32,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
    ) -> bool {
        let Some(stream) = self.table.get_mut(slot) else {
            return false;
        };
        let id = stream.id;
        stream
            .send
            .as_mut()
            .is_none_or(|send| send.write_control(id, w, sent))
            && stream
                .recv
                .as_mut()
                .is_none_or(|recv| recv.write_control(id, w, sent))
    }
}

const DIRS: [Dir; 2] = [Dir::Bi, Dir::Uni];
