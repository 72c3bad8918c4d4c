//! How two ends come to a dialect, and how a session is asked for and answered: pure functions of
//! settings and heads.

use alloc::{borrow::Cow, string::String, vec::Vec};
use bytes::Bytes;

use super::{
    Dialect, SessionRequest,
    dialect::{self, Rules},
};
use crate::{
    config::Limits,
    error::{Fault, SessionError},
    h3::{Fields, RequestHead, ResponseHead},
    wire::{
        Side, StreamId,
        h3::{Settings, error_code},
        sf,
    },
};

/// What the other end showed.
#[derive(Copy, Clone, Debug)]
pub(super) struct Peer<'a> {
    /// Its SETTINGS.
    pub(super) settings: &'a Settings,
    /// Whether its transport parameters allow DATAGRAM frames.
    pub(super) takes_datagrams: bool,
}

/// Why a server takes no session.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// We do not speak what the client asks for: status 501 (RFC 9220, section 3).
    Unsupported,
    /// The client lacks what a session needs; its request is malformed (draft-16, section 3.1).
    Malformed,
}

/// Checks the values of a server's settings.
pub(super) fn check_settings(local: &[Dialect], settings: &Settings) -> Result<(), Fault> {
    let is_illegal = |rules: &Rules| settings.get(rules.setting).unwrap_or(0) > rules.setting_max;
    if local.iter().any(|dialect| is_illegal(dialect.rules())) {
        return Err(Fault::http(
            error_code::H3_SETTINGS_ERROR,
            "a WebTransport setting that must be 0 or 1 is neither",
        ));
    }
    Ok(())
}

/// A client's choice: the newest dialect that both ends speak and the server's settings fulfil. Or
/// what the server lacks.
pub(super) fn choose_as_client(local: &[Dialect], peer: Peer<'_>) -> Result<Dialect, &'static str> {
    let get = |id| peer.settings.get(id);
    let mut lacks = None;
    for dialect in newest_first(local).filter(|dialect| dialect.rules().is_declared(get)) {
        match dialect.rules().lacks(true, get) {
            None if peer.takes_datagrams => return Ok(dialect),
            None => lacks = lacks.or(Some(NO_DATAGRAM_FRAMES)),
            what => lacks = lacks.or(what),
        }
    }
    Err(lacks.unwrap_or("WebTransport in a version in common"))
}

/// A server's choice for a request: the newest dialect that both ends speak among those that the
/// request's token stands for.
///
/// The token goes before the settings: it is what the client's protocol engine sent with this
/// request. Where no setting matches it, it stands alone, as clients of drafts 09 to 12 and of the
/// RFC to be need not send one.
pub(super) fn choose_as_server(
    local: &[Dialect],
    head: &RequestHead,
    peer: Peer<'_>,
) -> Result<Dialect, Refusal> {
    let get = |id| peer.settings.get(id);
    let is_meant = |d: &Dialect| head.protocol.as_deref() == Some(d.rules().token);
    let candidates = || newest_first(local).filter(is_meant);
    let dialect = candidates()
        .find(|d| d.rules().is_declared(get))
        .or_else(|| candidates().find(|d| is_marked(d.rules(), head)))
        .or_else(|| candidates().filter(|d| d.rules().marks.is_none()).last())
        .or_else(|| candidates().next())
        .ok_or(Refusal::Unsupported)?;
    if dialect.rules().lacks(false, get).is_some() || !peer.takes_datagrams {
        return Err(Refusal::Malformed);
    }
    Ok(dialect)
}

/// Whether a request asks for a session, in any dialect of `local`.
pub(super) fn is_session_request(local: &[Dialect], head: &RequestHead) -> bool {
    let token = head.protocol.as_deref();
    head.method == "CONNECT" && local.iter().any(|d| token == Some(d.rules().token))
}

/// Whether session flow control is on: both ends declared it.
pub(super) fn has_flow_control(dialect: Dialect, ours: &[(u64, u64)], peer: &Settings) -> bool {
    let ours = |id| ours.iter().find(|(i, _)| *i == id).map(|&(_, value)| value);
    let rules = dialect.rules();
    rules.declares_flow_control(ours) && rules.declares_flow_control(|id| peer.get(id))
}

/// How many sessions there may be at once: one without session flow control (draft-16, section 5.1),
/// and on a client no more than the server's own number, where a dialect has one.
pub(super) fn session_limit(
    side: Side,
    dialect: Dialect,
    ours: &[(u64, u64)],
    peer: &Settings,
    limits: &Limits,
) -> usize {
    if !has_flow_control(dialect, ours, peer) {
        return limits.sessions.min(1);
    }
    let rules = dialect.rules();
    let announced =
        (side == Side::Client && rules.setting_max > 1).then(|| peer.get(rules.setting));
    let announced = announced
        .flatten()
        .and_then(|number| usize::try_from(number).ok());
    announced.map_or(limits.sessions, |number| number.min(limits.sessions))
}

/// Checks what a head in any dialect will be made of.
pub(super) fn check_request(request: &SessionRequest) -> Result<(), SessionError> {
    if request.authority.is_empty() {
        return Err(SessionError::Invalid("an empty authority"));
    }
    if !request.path.starts_with('/') {
        return Err(SessionError::Invalid("a path without a slash in front"));
    }
    if request.protocols.len() > MAX_PROTOCOLS {
        return Err(SessionError::Invalid("too many protocols"));
    }
    for (n, protocol) in request.protocols.iter().enumerate() {
        let printable = protocol.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !printable || !(1..=MAX_PROTOCOL_LEN).contains(&protocol.len()) {
            return Err(SessionError::Invalid(
                "a protocol is not 1 to 512 bytes of ASCII",
            ));
        }
        if request
            .protocols
            .iter()
            .take(n)
            .any(|other| other == protocol)
        {
            return Err(SessionError::Invalid("a protocol comes twice"));
        }
    }
    Ok(())
}

/// The CONNECT request of `request` in `dialect`.
pub(super) fn request_head(dialect: Dialect, request: &SessionRequest) -> RequestHead {
    let rules = dialect.rules();
    let mut fields = Fields::new();
    if let Some(origin) = &request.origin {
        fields.push("origin", origin.clone());
    } else if rules.origin_required {
        fields.push("origin", alloc::format!("https://{}", request.authority));
    }
    if let Some(marks) = rules.marks {
        fields.push(marks.request.0, marks.request.1);
    }
    if let Ok(list) = sf::serialize_list(&request.protocols)
        && !list.is_empty()
    {
        fields.push(dialect::AVAILABLE_PROTOCOLS, list);
    }
    for (name, value) in request.fields.iter() {
        fields.push(name, Bytes::copy_from_slice(value));
    }
    RequestHead {
        method: "CONNECT".into(),
        scheme: Some("https".into()),
        authority: Some(request.authority.clone()),
        path: Some(request.path.clone()),
        protocol: Some(rules.token.into()),
        fields,
    }
}

/// The protocols a client offers, the best first. A field that is malformed is as if it were not
/// there (draft-16, section 3.3).
pub fn offered_protocols(head: &RequestHead) -> Vec<String> {
    sf::join(head.fields.get_all(dialect::AVAILABLE_PROTOCOLS))
        .and_then(|list| sf::parse_list(&list, MAX_PROTOCOLS))
        .unwrap_or_default()
}

/// The 200 that accepts `request`, which offered `protocol` if there is one.
pub(super) fn response_head(
    request: &RequestHead,
    protocol: Option<&str>,
    extra: &Fields,
) -> Result<ResponseHead, SessionError> {
    let mut fields = Fields::new();
    let marks = Dialect::ALL.iter().filter_map(|d| {
        let rules = d.rules();
        rules.marks.filter(|_| is_marked(rules, request))
    });
    for marks in marks {
        fields.push(marks.response.0, marks.response.1);
    }
    if let Some(protocol) = protocol {
        if !offered_protocols(request)
            .iter()
            .any(|offer| offer == protocol)
        {
            return Err(SessionError::Invalid(
                "a protocol the client does not offer",
            ));
        }
        let value = sf::serialize_string(protocol)
            .map_err(|_| SessionError::Invalid("a protocol that is no ASCII"))?;
        fields.push(dialect::PROTOCOL, value);
    }
    for (name, value) in extra.iter() {
        fields.push(name, Bytes::copy_from_slice(value));
    }
    Ok(ResponseHead {
        status: 200,
        fields,
    })
}

/// The server chose a protocol that was not offered: the session closes with WT_ALPN_ERROR.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct NotOffered;

/// The protocol a server chose. A choice that is malformed, or (up to draft 14) not among the
/// offers, is none.
pub(super) fn chosen_protocol(
    dialect: Dialect,
    offered: &[String],
    response: &ResponseHead,
) -> Result<Option<String>, NotOffered> {
    let chosen = sf::join(response.fields.get_all(dialect::PROTOCOL))
        .and_then(|item: Cow<'_, [u8]>| sf::parse_item(&item));
    let Some(chosen) = chosen.filter(|_| !offered.is_empty()) else {
        return Ok(None);
    };
    if offered.contains(&chosen) {
        return Ok(Some(chosen));
    }
    if dialect.rules().alpn_error {
        return Err(NotOffered);
    }
    Ok(None)
}

/// The context of the TLS exporter that gives `session` keys of its own (draft-16, section 4.8).
/// `None` when label or context are too long, or the label is empty.
pub(super) fn exporter_context(session: StreamId, label: &[u8], context: &[u8]) -> Option<Vec<u8>> {
    let label_len = u8::try_from(label.len()).ok().filter(|&len| len > 0)?;
    let context_len = u8::try_from(context.len()).ok()?;
    let mut out = Vec::with_capacity(8 + 2 + label.len() + context.len());
    out.extend_from_slice(&session.as_u64().to_be_bytes());
    out.push(label_len);
    out.extend_from_slice(label);
    out.push(context_len);
    out.extend_from_slice(context);
    Some(out)
}

fn newest_first(local: &[Dialect]) -> impl Iterator<Item = Dialect> {
    Dialect::ALL.iter().copied().filter(|d| local.contains(d))
}

fn is_marked(rules: &Rules, head: &RequestHead) -> bool {
    rules
        .marks
        .is_some_and(|marks| head.fields.get(marks.request.0).is_some())
}

const NO_DATAGRAM_FRAMES: &str = "datagrams (the transport parameter max_datagram_frame_size)";

/// More than anybody offers; bounds the work on a request.
const MAX_PROTOCOLS: usize = 64;

const MAX_PROTOCOL_LEN: usize = 512;

#[cfg(test)]
mod tests;
