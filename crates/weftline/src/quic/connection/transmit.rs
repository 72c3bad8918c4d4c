//! Datagrams out: how many, how large, and with packets of which spaces.

use super::{
    Connection,
    content::Fill,
    packet::{Dispatch, Drafts},
    phase::Phase,
    timers::TimerId,
};
use crate::{
    error::Fault,
    quic::{
        path::{self, Place},
        recovery::SpaceId,
    },
    time::Instant,
    udp::{Ecn, Transmit},
    wire::Side,
};

impl Connection {
    /// Writes datagrams into `out`: one, or several of equal size for the same receiver. `None`
    /// when there is nothing to send now. `out` must hold 1200 bytes at least, and should hold
    /// several datagrams of the largest size.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        let now = self.tick(now);
        if out.len() < MIN_DATAGRAM {
            return None;
        }
        let transmit = self.transmit(now, out);
        self.observe();
        transmit
    }

    fn transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        if self.phase.is_open() {
            match self.transmit_open(now, out) {
                Ok(transmit) => return transmit,
                Err(fault) => {
                    self.fail(fault);
                    self.start_close_timer(now);
                }
            }
        }
        if self.phase == Phase::Closing {
            return self.transmit_close(now, out);
        }
        None
    }

    fn transmit_open(&mut self, now: Instant, out: &mut [u8]) -> Result<Option<Transmit>, Fault> {
        if let Some(transmit) = self.transmit_path_probe(now, out)? {
            return Ok(Some(transmit));
        }
        if let Some(transmit) = self.transmit_mtu_probe(now, out)? {
            return Ok(Some(transmit));
        }
        self.timers.clear(TimerId::Pacing);
        let ect = self.recovery.may_mark_ect();
        let size = usize::from(self.paths.datagram_size());
        let mut len = 0;
        let mut segment = None;
        while let Some(rest) = out.get_mut(len..) {
            // All are as long as the first; the last may be shorter.
            let max = segment.unwrap_or(size);
            if rest.len() < max && segment.is_some() {
                break;
            }
            let written = self.write_datagram(now, rest, max, ect)?;
            len += written;
            let is_full = written == *segment.get_or_insert(written);
            if written == 0 || !is_full || written < size {
                break;
            }
        }
        if len == 0 {
            return Ok(None);
        }
        Ok(Some(self.transmit_to(
            self.paths.route(),
            len,
            segment,
            ect,
        )))
    }

    /// Writes one datagram for the active path; gives its length, 0 for none.
    fn write_datagram(
        &mut self,
        now: Instant,
        out: &mut [u8],
        max: usize,
        ect: bool,
    ) -> Result<usize, Fault> {
        let mut max = max.min(self.path_budget()).min(out.len());
        if self.is_probing_for_loss() {
            // Should the path swallow large datagrams, these come through and tell.
            max = max.min(MIN_DATAGRAM);
        }
        let Some(datagram) = out.get_mut(..max) else {
            return Ok(0);
        };
        let contents =
            SpaceId::ALL.map(|id| self.space(id).keys.are_installed() && self.has_content(id));
        let has_content = contents.contains(&true) || self.has_early_content();
        let may_send = self.may_send(now, has_content);
        let mut drafts = Drafts::default();
        for (id, has_content) in SpaceId::ALL.into_iter().zip(contents) {
            if let Some(fill) = self.choose_fill(now, id, may_send, has_content) {
                // Each of several probes carries the handshake on by itself, and a client's first
                // packet to arrive has its ClientHello (RFC 9000, section 17.2.2).
                if fill == Fill::Probe && id != SpaceId::Data && !has_content {
                    self.repeat_oldest(id);
                }
                self.draft(now, id, fill, &mut drafts, datagram)?;
            }
        }
        if drafts.len == 0 {
            return Ok(0);
        }
        if drafts.must_expand(self.side) {
            Self::pad(&mut drafts, datagram, MIN_DATAGRAM);
        }
        let path = self.paths.id();
        let dispatch = Dispatch {
            ect,
            ..Dispatch::plain(path)
        };
        self.seal(now, &drafts, datagram, dispatch)?;
        self.on_datagram_sent(drafts.len);
        Ok(drafts.len)
    }

    /// Whether the next packets are to tell what became of those before (RFC 9002, section 6.2.4).
    fn is_probing_for_loss(&self) -> bool {
        let mut spaces = SpaceId::ALL.into_iter();
        spaces.any(|id| self.recovery.probes_pending(id) > 0)
    }

    /// What a packet of `id` would be for now; `None` for no packet.
    fn choose_fill(
        &self,
        now: Instant,
        id: SpaceId,
        may_send: bool,
        has_content: bool,
    ) -> Option<Fill> {
        let space = self.space(id);
        if !space.keys.are_installed() {
            let may_send = may_send && !self.recovery.is_full(id);
            let is_early = self.drafts_early(id) && may_send && self.has_early_content();
            return is_early.then_some(Fill::Early);
        }
        if self.recovery.probes_pending(id) > 0 {
            return Some(Fill::Probe);
        }
        if may_send && has_content && !self.recovery.is_full(id) {
            return Some(Fill::Everything);
        }
        if space.acks.should_ack_now(now) {
            let ping = may_send && self.recovery.wants_ping(id);
            return Some(Fill::Ack { ping });
        }
        None
    }

    /// Whether window and pacer let a datagram go.
    fn may_send(&mut self, now: Instant, has_content: bool) -> bool {
        let size = self.paths.datagram_size();
        if self.recovery.send_budget() < u64::from(size) {
            self.stats.blocked_by_congestion += u64::from(has_content);
            return false;
        }
        if !has_content {
            self.recovery.on_app_limited();
            return true;
        }
        match self.recovery.pacing_delay(now) {
            Some(at) => {
                self.timers.set(TimerId::Pacing, Some(at));
                self.stats.blocked_by_pacer += 1;
                false
            }
            None => true,
        }
    }

    /// Bytes that the active path takes. An address that is not validated gets whole datagrams
    /// only while Initial packets, which must be padded, may have to go there.
    fn path_budget(&self) -> usize {
        let budget = self.paths.budget();
        if !self.paths.is_limited() {
            return budget;
        }
        if budget < self.min_budget() {
            return 0;
        }
        budget.min(MIN_DATAGRAM)
    }

    pub(super) fn min_budget(&self) -> usize {
        match self.phase {
            Phase::Handshaking => MIN_DATAGRAM,
            _ => MIN_USEFUL,
        }
    }

    /// Tells loss recovery whether anything can be sent at all: no probe timeout runs otherwise
    /// (RFC 9002, section 6.2.2.1).
    pub(super) fn update_amplification(&mut self) {
        if self.side == Side::Server {
            let blocked = self.paths.budget() < self.min_budget();
            self.recovery.set_amplification_blocked(blocked);
        }
    }

    /// A datagram larger than those in use, to find out whether the path carries it (RFC 9000,
    /// section 14.4).
    fn transmit_mtu_probe(
        &mut self,
        now: Instant,
        out: &mut [u8],
    ) -> Result<Option<Transmit>, Fault> {
        // Not before the peer is sure to acknowledge it, nor while it is silent.
        if self.phase != Phase::Confirmed || self.recovery.pto_count() > 0 {
            return Ok(None);
        }
        let Some(size) = self.paths.poll_mtu_probe(now, out.len()) else {
            return Ok(None);
        };
        let Some(datagram) = out.get_mut(..usize::from(size)) else {
            return Ok(None);
        };
        if self.recovery.send_budget() < size.into() || self.recovery.is_full(SpaceId::Data) {
            return Ok(None);
        }
        let mut drafts = Drafts::default();
        self.draft(now, SpaceId::Data, Fill::MtuProbe, &mut drafts, datagram)?;
        if drafts.len == 0 {
            return Ok(None);
        }
        Self::pad(&mut drafts, datagram, size.into());
        let dispatch = Dispatch {
            mtu_probe: true,
            ..Dispatch::plain(self.paths.id())
        };
        self.seal(now, &drafts, datagram, dispatch)?;
        self.paths.mtu().on_probe_sent(size);
        self.on_datagram_sent(drafts.len);
        Ok(Some(self.transmit_to(
            self.paths.route(),
            drafts.len,
            None,
            false,
        )))
    }

    /// A PATH_CHALLENGE or PATH_RESPONSE to an address other than the active one.
    fn transmit_path_probe(
        &mut self,
        now: Instant,
        out: &mut [u8],
    ) -> Result<Option<Transmit>, Fault> {
        if !self.space(SpaceId::Data).keys.are_installed() {
            return Ok(None);
        }
        let pto = self.recovery.pto(SpaceId::Data);
        let Some(probe) = self.paths.take_probe(now, pto) else {
            return Ok(None);
        };
        let Some(to) = self.probe_cid(probe.place) else {
            self.abandon_trial(now);
            return Ok(None);
        };
        let max = probe.budget.min(MIN_DATAGRAM);
        let Some(datagram) = out.get_mut(..max) else {
            return Ok(None);
        };
        let mut drafts = Drafts::default();
        let fill = Fill::PathProbe {
            frame: probe.frame,
            to,
        };
        self.draft(now, SpaceId::Data, fill, &mut drafts, datagram)?;
        if drafts.len == 0 {
            return Ok(None);
        }
        Self::pad(&mut drafts, datagram, MIN_DATAGRAM);
        let path = match probe.place {
            Place::Active => Some(self.paths.id()),
            // Where the peer was before its port changed is not where the window counts.
            Place::Other => self.paths.other_id().filter(|id| *id != self.paths.id()),
            Place::Elsewhere => None,
        };
        let path = path.unwrap_or_else(|| self.paths.unused_id());
        self.seal(now, &drafts, datagram, Dispatch::plain(path))?;
        self.paths.on_probe_sent(probe.place, drafts.len);
        self.stats.bytes_sent += drafts.len as u64;
        self.stats.udp_sent += 1;
        Ok(Some(self.transmit_to(probe.route, drafts.len, None, false)))
    }

    /// CONNECTION_CLOSE, in every space that the peer may be able to read (RFC 9000, section
    /// 10.2.3).
    fn transmit_close(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        let max = self.paths.budget().min(MIN_DATAGRAM);
        if max < MIN_USEFUL || !self.take_unsent_close() {
            return None;
        }
        let datagram = out.get_mut(..max)?;
        let mut drafts = Drafts::default();
        for id in SpaceId::ALL {
            if self.space(id).keys.are_installed() {
                self.draft(now, id, Fill::Close, &mut drafts, datagram)
                    .ok()?;
            }
        }
        if drafts.len == 0 {
            return None;
        }
        if drafts.must_expand(self.side) {
            Self::pad(&mut drafts, datagram, MIN_DATAGRAM);
        }
        let dispatch = Dispatch::plain(self.paths.id());
        self.seal(now, &drafts, datagram, dispatch).ok()?;
        self.on_datagram_sent(drafts.len);
        Some(self.transmit_to(self.paths.route(), drafts.len, None, false))
    }

    fn on_datagram_sent(&mut self, len: usize) {
        self.paths.on_sent(len);
        self.stats.bytes_sent += len as u64;
        self.stats.udp_sent += 1;
        self.update_amplification();
    }

    fn transmit_to(
        &self,
        route: path::Route,
        len: usize,
        segment: Option<usize>,
        ect: bool,
    ) -> Transmit {
        Transmit {
            to: route.remote,
            from: route.local,
            ecn: ect.then_some(Ecn::Ect0),
            len,
            segment: segment.filter(|segment| *segment < len),
        }
    }
}

/// What every path must carry, and what a datagram with an Initial packet must have (RFC 9000,
/// section 14.1).
pub(super) const MIN_DATAGRAM: usize = 1200;

/// Below this, nothing useful fits a datagram.
const MIN_USEFUL: usize = 64;
