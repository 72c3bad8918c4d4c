//! What the packets of a case must show: the checks of the QUIC interop runner, from what went over
//! the network.

use std::collections::HashSet;

use weftline::wire::packet::version;

use crate::{
    capture::{Fate, Path, Side},
    cases::Case,
    keys::CHACHA20,
    packets::{Content, Kind, Packet, Trace},
};

/// `Err` says what is wrong.
pub(crate) type Outcome = Result<(), String>;

/// For every case: as many handshakes as there should be, the right version, and no error.
pub(crate) fn usual(case: &Case, trace: &Trace) -> Outcome {
    let initials = || sent(trace, Side::Server, Kind::Initial);
    let handshakes: HashSet<_> = initials().map(|packet| &packet.source).collect();
    if handshakes.len() != case.handshakes {
        let (seen, expected) = (handshakes.len(), case.handshakes);
        return Err(format!("{seen} handshakes instead of {expected}"));
    }
    if case.name != "v2"
        && let Some(other) = initials().find(|packet| packet.version != version::V1)
    {
        return Err(format!(
            "a server's Initial of version {:#x}",
            other.version
        ));
    }
    for (packet, content) in contents(trace, None) {
        if let Some(code) = content.close
            && code != 0
            && code != H3_NO_ERROR
            && (code != APPLICATION_ERROR || packet.kind == Kind::OneRtt)
        {
            return Err(format!("{:?} closed with {code:#x}", packet.from));
        }
    }
    Ok(())
}

pub(crate) fn nothing_more(_: &Trace) -> Outcome {
    Ok(())
}

pub(crate) fn no_retry(trace: &Trace) -> Outcome {
    let retries = sent(trace, Side::Server, Kind::Retry).count();
    require(retries == 0, || "the server sent a Retry".into())
}

pub(crate) fn client_hello_twice(trace: &Trace) -> Outcome {
    let hellos = sent(trace, Side::Client, Kind::Initial)
        .filter_map(|packet| packet.content.as_ref())
        .filter(|content| content.crypto.iter().any(|(offset, _)| *offset == 0))
        .count();
    require(hellos >= 2, || format!("{hellos} ClientHello"))
}

pub(crate) fn only_chacha20(trace: &Trace) -> Outcome {
    let offered = &connection(trace, 0)?.said[Side::Client.index()].offered_suites;
    // Besides TLS_EMPTY_RENEGOTIATION_INFO_SCSV, which is no suite of TLS 1.3.
    let suites: Vec<_> = offered.iter().filter(|suite| **suite != SCSV).collect();
    require(suites == [&CHACHA20], || format!("offered {offered:04x?}"))
}

pub(crate) fn few_streams_at_first(trace: &Trace) -> Outcome {
    let said = &connection(trace, 0)?.said[Side::Server.index()];
    let parameters = said.parameters.as_ref();
    let streams = parameters
        .ok_or("the server's transport parameters could not be read")?
        .initial_max_streams_bidi;
    require(streams <= 1000, || {
        format!("{streams} streams allowed at first")
    })
}

pub(crate) fn retry(trace: &Trace) -> Outcome {
    let tokens: Vec<_> = sent(trace, Side::Server, Kind::Retry)
        .map(|packet| &packet.token)
        .collect();
    if tokens.is_empty() {
        return Err("no Retry".into());
    }
    let mut before = None;
    for packet in sent(trace, Side::Client, Kind::Initial) {
        let number = packet.content.as_ref().map(|content| content.number);
        if packet.token.is_empty() {
            before = before.max(number);
        } else if number <= before {
            return Err("the client went back in packet numbers".into());
        } else if tokens.contains(&&packet.token) {
            return Ok(());
        }
    }
    Err("no Initial with the token of a Retry".into())
}

pub(crate) fn resumption(trace: &Trace) -> Outcome {
    let server = |index| Ok::<_, String>(&connection(trace, index)?.said[Side::Server.index()]);
    let (first, second) = (server(0)?, server(1)?);
    require(first.has_certificate, || {
        "no certificate in the first handshake".into()
    })?;
    require(!second.has_certificate && second.is_resumed, || {
        "the second handshake is not resumed".into()
    })
}

pub(crate) fn zero_rtt(trace: &Trace) -> Outcome {
    let streams = |kind| -> usize {
        let packets = sent(trace, Side::Client, kind);
        packets
            .filter_map(|packet| Some(packet.content.as_ref()?.stream_bytes))
            .sum()
    };
    let (early, late) = (streams(Kind::ZeroRtt), streams(Kind::OneRtt));
    require(early > 0, || "no 0-RTT packet".into())?;
    // Half of what the requests take.
    let most = 40 * 250 / 2;
    require(late <= most, || {
        format!("{late} bytes of the client in 1-RTT, {early} in 0-RTT")
    })
}

pub(crate) fn key_update(trace: &Trace) -> Outcome {
    for side in [Side::Client, Side::Server] {
        let mut packets = sent(trace, side, Kind::OneRtt);
        require(
            packets.any(|packet| packet.key_phase && packet.content.is_some()),
            || format!("{side:?} sent nothing in key phase 1"),
        )?;
    }
    Ok(())
}

pub(crate) fn ecn(trace: &Trace) -> Outcome {
    for side in [Side::Client, Side::Server] {
        let mut sent = trace
            .datagrams
            .iter()
            .filter(|datagram| datagram.from == side);
        require(
            sent.clone().any(|datagram| matches!(datagram.ecn, 1 | 2)),
            || format!("{side:?} marked nothing"),
        )?;
        require(!sent.any(|datagram| datagram.ecn == 3), || {
            format!("{side:?} sent CE")
        })?;
        require(
            contents(trace, Some(side)).any(|(_, content)| content.has_ack_ecn),
            || format!("{side:?} reported no marks"),
        )?;
    }
    Ok(())
}

pub(crate) fn amplification(trace: &Trace) -> Outcome {
    let crypto = contents(trace, Some(Side::Server))
        .filter(|(packet, _)| packet.kind == Kind::Handshake)
        .flat_map(|(_, content)| &content.crypto)
        .map(|(offset, len)| offset + len)
        .max()
        .unwrap_or(0);
    require(crypto >= 7500, || {
        format!("only {crypto} bytes of CRYPTO data")
    })?;
    let (mut received, mut sent) = (0, 0);
    let mut last = None;
    for packet in trace.seen_by(Side::Server) {
        match (packet.from, packet.kind) {
            (_, Kind::VersionNegotiation) => return Err("a Version Negotiation packet".into()),
            (Side::Client, Kind::Handshake) => return Ok(()),
            _ if last == Some(packet.datagram) => {}
            (Side::Client, _) => received += trace.datagrams[packet.datagram].data.len(),
            (Side::Server, _) => {
                sent += trace.datagrams[packet.datagram].data.len();
                require(sent <= 3 * received, || {
                    format!("{sent} bytes sent after {received} were received")
                })?;
            }
        }
        last = Some(packet.datagram);
    }
    Err("no Handshake packet of the client".into())
}

pub(crate) fn version_2(trace: &Trace) -> Outcome {
    let versions = |side, kind| -> HashSet<u32> {
        sent(trace, side, kind)
            .map(|packet| packet.version)
            .collect()
    };
    let client = versions(Side::Client, Kind::Initial);
    require(client.contains(&version::V1), || {
        "the client did not begin with version 1".into()
    })?;
    let server = versions(Side::Server, Kind::Initial);
    require(server.contains(&version::V2), || {
        "no Initial of version 2 by the server".into()
    })?;
    for side in [Side::Client, Side::Server] {
        let seen = versions(side, Kind::Handshake);
        require(seen == HashSet::from([version::V2]), || {
            format!("Handshake packets of {side:?} have versions {seen:x?}")
        })?;
    }
    Ok(())
}

pub(crate) fn path_validation(trace: &Trace) -> Outcome {
    let mut known: HashSet<Path> = HashSet::new();
    let mut challenges = HashSet::new();
    for packet in sent(trace, Side::Server, Kind::OneRtt) {
        let path = trace.path(packet, Side::Server);
        if known.is_empty() {
            known.insert(path);
        }
        // It may answer a challenge of the client's before.
        let answers =
            |content: &Content| !content.responses.is_empty() && content.challenges.is_empty();
        if packet.content.as_ref().is_some_and(answers) {
            continue;
        }
        if known.insert(path) {
            let sent = packet.content.as_ref().map(|content| &content.challenges);
            let sent = sent.filter(|sent| !sent.is_empty());
            let sent = sent.ok_or("the server's first packet on a path is no PATH_CHALLENGE")?;
            challenges.extend(sent.iter().copied());
        }
    }
    require(known.len() > 1, || "the server used one path only".into())?;
    let responses: HashSet<_> = contents(trace, Some(Side::Client))
        .flat_map(|(_, content)| content.responses.iter().copied())
        .collect();
    // One that got lost, or that came to where nobody is, has no answer.
    let got = |challenge: &[u8; 8]| {
        trace.packets.iter().any(|packet| {
            let content = packet.content.as_ref();
            content.is_some_and(|content| content.challenges.contains(challenge))
                && matches!(trace.datagrams[packet.datagram].fate, Fate::Delivered(_))
        })
    };
    let silent = challenges.iter().filter(|challenge| got(challenge));
    let silent = silent
        .filter(|challenge| !responses.contains(*challenge))
        .count();
    require(silent == 0, || {
        format!("{silent} PATH_CHALLENGE without answer")
    })
}

pub(crate) fn other_addresses(trace: &Trace) -> Outcome {
    let addresses: HashSet<_> = trace
        .sent_by(Side::Server)
        .map(|packet| trace.path(packet, Side::Server).0.ip())
        .collect();
    require(addresses.len() > 1, || {
        "the server used one address only".into()
    })?;
    path_validation(trace)
}

pub(crate) fn migration(trace: &Trace) -> Outcome {
    path_validation(trace)?;
    let mut paths: HashSet<Path> = HashSet::new();
    let mut last: Option<&Packet> = None;
    for packet in sent(trace, Side::Client, Kind::OneRtt) {
        let path = trace.path(packet, Side::Client);
        if paths.insert(path)
            && let Some(last) = last
            && last.destination == packet.destination
        {
            return Err("the client took its connection ID along to the new path".into());
        }
        last = Some(packet);
    }
    require(paths.len() > 1, || "the client used one path only".into())
}

fn require(is_so: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

fn sent(trace: &Trace, side: Side, kind: Kind) -> impl Iterator<Item = &Packet> {
    trace
        .sent_by(side)
        .filter(move |packet| packet.kind == kind)
}

/// The packets that could be opened: of one side, or of both.
fn contents(trace: &Trace, side: Option<Side>) -> impl Iterator<Item = (&Packet, &Content)> {
    let packets = trace.packets.iter();
    let packets = packets.filter(move |packet| side.is_none_or(|side| packet.from == side));
    packets.filter_map(|packet| Some((packet, packet.content.as_ref()?)))
}

fn connection(trace: &Trace, index: usize) -> Result<&crate::packets::Connection, String> {
    let connection = trace.connections.get(index);
    connection.ok_or_else(|| format!("no connection {index} was seen"))
}

const H3_NO_ERROR: u64 = 0x100;
/// What an application's close is called before the handshake is complete (RFC 9000, section
/// 10.2.3).
const APPLICATION_ERROR: u64 = 0xc;
const SCSV: u16 = 0x00ff;
