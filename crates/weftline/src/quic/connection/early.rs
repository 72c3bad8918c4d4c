//! Sessions to resume, and early data (0-RTT; RFC 9001, sections 4.5 and 4.6; RFC 9000, section
//! 7.4.1).
//!
//! A client sends what it may before the handshake in 0-RTT packets, within the limits it remembers
//! of the server. They share packet numbers with 1-RTT packets, which acknowledge them. Should the
//! server reject them, nothing of their streams counts: the layer above starts over.

use alloc::{boxed::Box, vec::Vec};
use core::mem;

use super::{
    Change, Connection, handshake,
    receive::{OpenedPacket, remove_header_protection, three_ptos_from},
    timers::TimerId,
};
use crate::{
    config::{Limits, TransportConfig},
    crypto::{DirectionalKeys, Ticket, Version},
    error::{Fault, TransportCode},
    quic::{recovery::SpaceId, space::SpaceKeys, streams::Streams},
    time::Instant,
    wire::{
        Side,
        packet::{PacketType, ProtectedHeader},
        params::TransportParameters,
        varint,
    },
};

/// What became of early data (0-RTT) on a connection.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum EarlyData {
    /// There is none: no session is resumed, or it does not allow any.
    #[default]
    NotTried,
    /// Client: what is sent now goes out before the handshake. Somebody may record and replay it.
    Pending,
    /// The server took it.
    Accepted,
    /// The server did not take it. What was sent is sent again behind the handshake.
    Rejected,
}

/// What a client remembers of a connection, to resume its session.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) version: Version,
    pub(crate) alpn: Vec<u8>,
    /// Those that RFC 9000, section 7.4.1, allows to remember are looked at.
    pub(super) params: Box<TransportParameters>,
    ticket: Ticket,
}

impl Remembered {
    /// What is TLS's and what is ours.
    pub(super) fn split(self) -> (Ticket, (Vec<u8>, Box<TransportParameters>)) {
        (self.ticket, (self.alpn, self.params))
    }
}

/// Early data of a connection.
#[derive(Default)]
pub(super) struct Early {
    status: EarlyData,
    state: State,
}

#[derive(Default)]
enum State {
    /// Not begun.
    #[default]
    Idle,
    /// Client: the handshake is going on.
    Sending {
        keys: DirectionalKeys,
        /// In which it is sent, and no other.
        version: Version,
        /// By which it is sent.
        params: Box<TransportParameters>,
    },
    /// Server: what comes is taken.
    Taking { keys: DirectionalKeys },
    /// Client: what was sent will not be taken, whatever the server says: that was in another
    /// version.
    Abandoned,
    /// What comes is of no use.
    Over,
}

impl Early {
    /// Whether 0-RTT packets can be sent.
    pub(super) const fn is_sending(&self) -> bool {
        matches!(self.state, State::Sending { .. })
    }

    /// Protects a packet that goes out: the mask of its header is the caller's matter.
    pub(super) const fn sealing_keys(&self) -> Option<&DirectionalKeys> {
        match &self.state {
            State::Sending { keys, .. } => Some(keys),
            _ => None,
        }
    }

    /// Whether a server has the peer's parameters because it takes early data.
    pub(super) const fn is_taking(&self) -> bool {
        matches!(self.state, State::Taking { .. })
    }
}

/// What a server does with a 0-RTT packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may open once the ClientHello is there.
    Hold,
    Open,
    Drop,
}

impl Connection {
    /// What became of early data.
    pub(crate) fn early_data(&self) -> EarlyData {
        self.early.status
    }

    /// Whether the handshake resumed an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.phase.is_established() && self.session.is_resumed()
    }

    /// The next session that the server gave to resume later.
    pub(crate) fn take_session(&mut self) -> Option<Remembered> {
        if self.tickets.is_empty() {
            return None;
        }
        let params = Box::new(self.peer_params()?.clone());
        Some(Remembered {
            version: self.version,
            alpn: self.session.alpn().unwrap_or_default().to_vec(),
            params,
            ticket: self.tickets.pop_front()?,
        })
    }

    /// Takes over the tickets that TLS received; the newest count.
    pub(super) fn take_tickets(&mut self) {
        while let Some(ticket) = self.session.take_ticket() {
            self.tickets.push_back(ticket);
            if self.tickets.len() > self.limits.session_tickets {
                self.tickets.pop_front();
            }
        }
    }

    /// Client: makes ready to send early data, if the session resumed allows it.
    pub(super) fn begin_early_data(
        &mut self,
        offered: &[&[u8]],
        remembered: Option<(Vec<u8>, Box<TransportParameters>)>,
    ) {
        let Some((alpn, params)) = remembered else {
            return;
        };
        // Early data is of the protocol that the session had (RFC 9001, section 4.6.2).
        let Some(keys) = self
            .session
            .early_keys()
            .filter(|_| offered.contains(&&*alpn))
        else {
            return;
        };
        self.streams
            .on_peer_params(&handshake::stream_params(&params));
        let largest = u16::try_from(params.max_udp_payload_size).unwrap_or(u16::MAX);
        self.limit_datagram_size(largest);
        self.early = Early {
            status: EarlyData::Pending,
            state: State::Sending {
                keys,
                version: self.version,
                params,
            },
        };
    }

    /// Client: the handshake is complete. Either the server's limits hold for what was sent, or
    /// nothing of it counts.
    pub(super) fn end_early_data(
        &mut self,
        now: Instant,
        params: &TransportParameters,
    ) -> Result<(), Fault> {
        if self.side == Side::Server {
            return Ok(());
        }
        match mem::replace(&mut self.early.state, State::Over) {
            State::Sending { params: before, .. } if self.session.is_early_data_accepted() => {
                self.early.status = EarlyData::Accepted;
                return check_kept(&before, params);
            }
            State::Sending { .. } | State::Abandoned => {}
            State::Idle | State::Taking { .. } | State::Over => return Ok(()),
        }
        self.early.status = EarlyData::Rejected;
        self.recovery.discard_space(now, SpaceId::Data);
        self.streams = self.streams.begin_again(&self.limits);
        self.changes.push_back(Change::EarlyDataRejected);
        Ok(())
    }

    /// Server: the ClientHello was read. Early data that TLS takes may open now, and its sender may
    /// be answered: the session that it resumes vouches for it and for its parameters.
    pub(super) fn decide_early_data(&mut self) -> Result<(), Fault> {
        if self.side == Side::Client || !matches!(self.early.state, State::Idle) {
            return Ok(());
        }
        let Some(params) = self.handshake.peer_params.clone() else {
            return Ok(());
        };
        let Some(keys) = self.session.early_keys() else {
            self.early.state = State::Over;
            return Ok(());
        };
        self.early = Early {
            status: EarlyData::Accepted,
            state: State::Taking { keys },
        };
        self.has_new_keys = true;
        self.apply_peer_params(&params)?;
        self.changes.push_back(Change::EarlyData);
        Ok(())
    }

    /// What to do with a 0-RTT packet that came.
    pub(super) fn judge_early_packet(&mut self) -> Verdict {
        match self.early.state {
            State::Idle => Verdict::Hold,
            State::Taking { .. } => Verdict::Open,
            State::Over => {
                if self.early.status == EarlyData::NotTried {
                    self.early.status = EarlyData::Rejected;
                }
                Verdict::Drop
            }
            State::Sending { .. } | State::Abandoned => Verdict::Drop,
        }
    }

    /// Server: a 1-RTT packet came. Early data may be late, but not for long (RFC 9001, section
    /// 4.9.3).
    pub(super) fn start_early_discard(&mut self, now: Instant) {
        if self.early.is_taking() && !self.timers.is_set(TimerId::EarlyKeys) {
            let at = three_ptos_from(now, &self.recovery);
            self.timers.set(TimerId::EarlyKeys, Some(at));
        }
    }

    /// Throws the keys of early data away.
    pub(super) fn discard_early_keys(&mut self) {
        self.early.state = State::Over;
    }

    /// Client: a Retry came. The server has thrown away what was sent with the first Initial (RFC
    /// 9000, section 17.2.5.3).
    pub(super) fn resend_early_data(&mut self, now: Instant) {
        if self.early.is_sending() {
            self.recovery
                .take_back(now, SpaceId::Data, &mut self.outcome);
            self.apply_outcome(SpaceId::Data);
        }
    }

    /// Client: the handshake begins again in another version, without early data.
    pub(super) fn abandon_early_data(&mut self, now: Instant) {
        if self.early.is_sending() {
            self.early.state = State::Abandoned;
            self.recovery.discard_space(now, SpaceId::Data);
        }
    }

    /// Whether 0-RTT packets can be sent: not once the server has chosen another version.
    fn may_send_early(&self) -> bool {
        matches!(self.early.state, State::Sending { version, .. } if version == self.version)
    }

    /// Whether there is anything to send in 0-RTT packets.
    pub(super) fn has_early_content(&self) -> bool {
        self.may_send_early() && (self.streams.has_data() || self.streams.has_control())
    }

    /// Removes the protection of a 0-RTT packet. `None` when it is to be dropped.
    pub(super) fn open_early_packet<'a>(
        &mut self,
        header: &ProtectedHeader,
        packet: &'a mut [u8],
    ) -> Result<Option<(OpenedPacket, &'a [u8])>, Fault> {
        let State::Taking { keys } = &self.early.state else {
            return Ok(None);
        };
        let Some(plain) = remove_header_protection(Some(&*keys.header), header, packet) else {
            return Ok(None);
        };
        let number = plain
            .number
            .expand(self.space(SpaceId::Data).acks.largest());
        let Some((head, body)) = packet.split_at_mut_checked(plain.payload_at) else {
            return Ok(None);
        };
        if number > varint::MAX {
            return Ok(None);
        }
        let Ok(len) = keys.packet.open(number, head, body) else {
            return self.on_failed_open().map(|()| None);
        };
        if plain.reserved_bits_set {
            return Err(Fault::transport(
                TransportCode::ProtocolViolation,
                "reserved bits are set",
            ));
        }
        let opened = OpenedPacket {
            id: SpaceId::Data,
            packet_type: PacketType::ZeroRtt,
            number,
            destination: header.destination,
            keys: None,
        };
        Ok(Some((opened, body.get(..len).unwrap_or_default())))
    }

    /// Whether what is drafted in the space of 1-RTT packets goes out as 0-RTT.
    pub(super) fn drafts_early(&self, id: SpaceId) -> bool {
        id == SpaceId::Data
            && matches!(self.space(id).keys, SpaceKeys::Awaited)
            && self.may_send_early()
    }
}

/// What early data relies on: a session that began under other limits carries none. `above` are the
/// terms of the layers above.
pub(super) fn terms(
    config: &TransportConfig,
    limits: &Limits,
    streams: &Streams,
    above: &[u8],
) -> Vec<u8> {
    let params = streams.local_params();
    let numbers = [
        params.max_data,
        params.bidi_local,
        params.bidi_remote,
        params.uni,
        params.streams_bidi,
        params.streams_uni,
        limits.peer_cids as u64,
        u64::from(config.datagrams),
    ];
    let mut out: Vec<u8> = numbers.into_iter().flat_map(u64::to_be_bytes).collect();
    out.extend_from_slice(above);
    out
}

/// A server that takes early data keeps to the limits it was sent by (RFC 9000, section 7.4.1; RFC
/// 9221, section 3).
fn check_kept(before: &TransportParameters, now: &TransportParameters) -> Result<(), Fault> {
    let limits = |p: &TransportParameters| {
        [
            p.initial_max_data,
            p.initial_max_stream_data_bidi_local,
            p.initial_max_stream_data_bidi_remote,
            p.initial_max_stream_data_uni,
            p.initial_max_streams_bidi,
            p.initial_max_streams_uni,
            p.active_connection_id_limit,
            p.max_datagram_frame_size,
        ]
    };
    let mut pairs = limits(before).into_iter().zip(limits(now));
    if pairs.any(|(before, now)| now < before) {
        return Err(Fault::transport(
            TransportCode::ProtocolViolation,
            "early data was accepted under smaller limits",
        ));
    }
    Ok(())
}
