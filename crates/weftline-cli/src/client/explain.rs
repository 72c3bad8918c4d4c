//! What the errors of a client mean to its user, and what to do.

use std::time::Duration;

use weftline::error::{ConnectError as StartError, RequestError as InvalidRequest, SessionError};
use weftline_tokio::{
    CloseReason, Closed, ClosedBy, ConnectError, ErrorSpace, OpenSessionError, RequestError,
    SessionClosed, Target,
};

use crate::{args::TrustArgs, failure::Failure};

/// The connection did not come about.
pub(crate) fn connect(error: &ConnectError, target: &Target, trust: &TrustArgs) -> Failure {
    match error {
        ConnectError::Resolve { host, source } => {
            Failure::new(format!("cannot find the address of {host}: {source}"))
                .advice("check the host in the URL, and your name server")
        }
        ConnectError::Start(StartError::Tls { reason, .. }) => {
            Failure::new(format!("cannot start TLS with {}: {reason}", target.host()))
        }
        ConnectError::Start(error) => {
            Failure::new(format!("cannot connect to {}: {error}", peer(target)))
        }
        ConnectError::Closed(reason) => not_connected(reason, target, trust),
        ConnectError::EndpointClosed => Failure::new("interrupted while connecting"),
        ConnectError::Session(error) => session(error, target),
    }
}

/// The handshake was not complete in time.
pub(crate) fn no_answer(target: &Target, patience: Duration) -> Failure {
    Failure::new(format!(
        "no answer from {} within {} s (timed out while connecting)",
        peer(target),
        patience.as_secs_f64()
    ))
    .advice("check that a server runs there and that UDP reaches it, or raise --timeout")
}

/// The session was not answered in time.
pub(crate) fn no_session(target: &Target, patience: Duration) -> Failure {
    Failure::new(format!(
        "{} did not answer the request for a session within {} s (timed out)",
        peer(target),
        patience.as_secs_f64()
    ))
    .advice("raise --timeout if the server is slow")
}

/// The session did not come about on a connection that did.
pub(crate) fn session(error: &OpenSessionError, target: &Target) -> Failure {
    match error {
        OpenSessionError::Rejected(response) => rejected(response.status, target),
        OpenSessionError::Failed(SessionError::Unsupported(lacks)) => {
            no_webtransport(target, lacks)
        }
        OpenSessionError::Failed(SessionError::Invalid(what)) => Failure::new(format!(
            "cannot ask for the session: {what} is not legal in a request"
        ))
        .advice("check the URL, --header and --protocol"),
        OpenSessionError::Failed(error) => Failure::new(format!("cannot open a session: {error}")),
        OpenSessionError::Closed(Closed::Session(closed))
            if closed.error == Some(WT_REQUIREMENTS_NOT_MET) =>
        {
            no_webtransport(target, &closed.reason)
        }
        OpenSessionError::Closed(Closed::Session(closed)) => Failure::new(format!(
            "no session with {}: {}",
            peer(target),
            session_closed(closed)
        )),
        OpenSessionError::Closed(Closed::Connection(reason)) => refused_tls(reason, target)
            .unwrap_or_else(|| {
                let how = connection_closed(reason);
                Failure::new(format!("no session with {}: {how}", peer(target)))
            }),
    }
}

fn rejected(status: u16, target: &Target) -> Failure {
    let path = target.path();
    let failure = Failure::new(format!(
        "{} refused the session at {path} with status {status}{}",
        peer(target),
        status_name(status)
    ));
    match status {
        300..=399 => failure.advice("redirects are not followed: use the new URL"),
        403 => failure.advice(
            "the server may want another origin: give one with --header 'Origin: https://...'",
        ),
        404 => failure.advice("check the path in the URL"),
        429 | 503 => failure.advice("try again later"),
        400..=499 => failure.advice("check the URL and --header"),
        _ => failure,
    }
}

fn no_webtransport(target: &Target, lacks: &str) -> Failure {
    Failure::new(format!(
        "{} speaks HTTP/3 but no WebTransport: it lacks {lacks}",
        peer(target)
    ))
    .advice("use a server with WebTransport, or another --dialect; 'weftline get' works with plain HTTP/3")
}

/// A plain exchange failed.
pub(crate) fn request(error: &RequestError, target: &Target) -> Failure {
    if let RequestError::Closed(reason) = error
        && let Some(failure) = refused_tls(reason, target)
    {
        return failure;
    }
    let what = match error {
        RequestError::Failed { code } => {
            format!(
                "{} broke the exchange off with {}",
                peer(target),
                http_code(*code)
            )
        }
        RequestError::Invalid(InvalidRequest::Invalid(what)) => {
            format!("cannot send the request: {what} is not legal")
        }
        RequestError::Invalid(error) => format!("cannot send the request: {error}"),
        RequestError::Closed(reason) => format!("no response: {}", connection_closed(reason)),
    };
    Failure::new(what)
}

fn not_connected(reason: &CloseReason, target: &Target, trust: &TrustArgs) -> Failure {
    let peer = peer(target);
    match (reason.by, alert(reason)) {
        (ClosedBy::Fault | ClosedBy::Local, Some(alert)) => {
            let failure = Failure::new(format!("TLS with {peer} failed: {}", reason.reason));
            match alert {
                // Those about certificates; 51 is for a wrong signature.
                42..=49 | 51 => failure.advice(trust_advice(trust)),
                _ => failure,
            }
        }
        (ClosedBy::Timeout, _) => Failure::new(format!(
            "no answer from {peer} (timed out while connecting)"
        ))
        .advice("check that a server runs there and that UDP reaches it, or raise --timeout"),
        (ClosedBy::Version, _) => Failure::new(format!("{peer} does not speak QUIC version 1")),
        _ => refused_tls(reason, target).unwrap_or_else(|| {
            Failure::new(format!(
                "cannot connect to {peer}: {}",
                connection_closed(reason)
            ))
        }),
    }
}

/// The server ended the handshake. It may do so when it is complete on this side.
fn refused_tls(reason: &CloseReason, target: &Target) -> Option<Failure> {
    let alert = alert(reason).filter(|_| reason.by == ClosedBy::Peer)?;
    let failure = Failure::new(format!(
        "{} refused TLS (alert {alert}: {})",
        peer(target),
        alert_name(alert)
    ));
    Some(match alert {
        ALERT_NO_PROTOCOL => failure.advice("the server speaks no HTTP/3 at this port"),
        ALERT_CERTIFICATE_REQUIRED => {
            failure.advice("the server wants a client certificate, and this command has none")
        }
        _ => failure,
    })
}

/// The TLS alert that closed a connection (RFC 9001, section 4.8).
fn alert(reason: &CloseReason) -> Option<u64> {
    match (reason.space, reason.code) {
        (ErrorSpace::Transport, code @ 0x100..=0x1ff) => Some(code - 0x100),
        _ => None,
    }
}

const fn trust_advice(trust: &TrustArgs) -> &'static str {
    if trust.cert_hash.is_some() {
        "compare --cert-hash with the SHA-256 that the server shows"
    } else if trust.ca.is_some() {
        "check that --ca holds the authority that signed the server's certificate"
    } else {
        "trust it with --cert-hash HEX or --ca FILE (or, for a test, --insecure)"
    }
}

/// What a handle stood on is gone: how.
pub(crate) fn describe(closed: &Closed) -> String {
    match closed {
        Closed::Session(closed) => session_closed(closed),
        Closed::Connection(reason) => connection_closed(reason),
    }
}

/// How a session ended.
pub(crate) fn session_closed(closed: &SessionClosed) -> String {
    let reason = quoted(&closed.reason);
    match (closed.by, closed.error) {
        (ClosedBy::Local, None) => "this side closed the session".into(),
        (ClosedBy::Peer, None) => {
            format!(
                "the server closed the session with code {}{reason}",
                closed.code
            )
        }
        (ClosedBy::Timeout, _) => "the server stopped answering (timed out)".into(),
        (by, Some(code)) => format!(
            "{} ended the session with {}{reason}",
            who(by),
            http_code(code)
        ),
        (by, None) => format!("{} ended the session{reason}", who(by)),
    }
}

/// How a connection ended.
pub(crate) fn connection_closed(reason: &CloseReason) -> String {
    let code = match reason.space {
        ErrorSpace::Transport => transport_code(reason.code),
        ErrorSpace::Application => http_code(reason.code),
    };
    let why = quoted(&reason.reason);
    match reason.by {
        ClosedBy::Timeout => "the server stopped answering (timed out)".into(),
        ClosedBy::Reset => "the server has lost the connection, perhaps by a restart".into(),
        ClosedBy::Version => "the server does not speak QUIC version 1".into(),
        by => format!("{} closed the connection with {code}{why}", who(by)),
    }
}

const fn who(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Peer => "the server",
        ClosedBy::Fault => "a fault of the server's",
        ClosedBy::Local => "this side",
        ClosedBy::Timeout => "a timeout",
        ClosedBy::Reset => "a reset",
        ClosedBy::Version => "the version",
    }
}

fn quoted(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": \"{reason}\"")
    }
}

fn peer(target: &Target) -> String {
    let host = target.host();
    if host.contains(':') {
        format!("[{host}]:{}", target.port())
    } else {
        format!("{host}:{}", target.port())
    }
}

const fn status_name(status: u16) -> &'static str {
    match status {
        400 => " (bad request)",
        401 => " (unauthorized)",
        403 => " (forbidden)",
        404 => " (not found)",
        405 => " (method not allowed)",
        429 => " (too many requests)",
        500 => " (server error)",
        501 => " (not implemented)",
        503 => " (unavailable)",
        _ => "",
    }
}

/// TLS alerts (RFC 8446, section 6).
const fn alert_name(alert: u64) -> &'static str {
    match alert {
        10 => "unexpected message",
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        47 => "illegal parameter",
        48 => "unknown authority",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        70 => "protocol version",
        80 => "internal error",
        109 => "missing extension",
        110 => "unsupported extension",
        112 => "unrecognized name",
        ALERT_CERTIFICATE_REQUIRED => "certificate required",
        ALERT_NO_PROTOCOL => "no application protocol",
        _ => "unknown",
    }
}

/// HTTP/3 error codes (RFC 9114, section 8.1).
fn http_code(code: u64) -> String {
    let name = match code {
        0x33 => "H3_DATAGRAM_ERROR",
        0x100 => "H3_NO_ERROR",
        0x101 => "H3_GENERAL_PROTOCOL_ERROR",
        0x102 => "H3_INTERNAL_ERROR",
        0x103 => "H3_STREAM_CREATION_ERROR",
        0x104 => "H3_CLOSED_CRITICAL_STREAM",
        0x105 => "H3_FRAME_UNEXPECTED",
        0x106 => "H3_FRAME_ERROR",
        0x107 => "H3_EXCESSIVE_LOAD",
        0x108 => "H3_ID_ERROR",
        0x109 => "H3_SETTINGS_ERROR",
        0x10a => "H3_MISSING_SETTINGS",
        0x10b => "H3_REQUEST_REJECTED",
        0x10c => "H3_REQUEST_CANCELLED",
        0x10d => "H3_REQUEST_INCOMPLETE",
        0x10e => "H3_MESSAGE_ERROR",
        0x10f => "H3_CONNECT_ERROR",
        0x110 => "H3_VERSION_FALLBACK",
        _ => return format!("HTTP/3 code {code:#x}"),
    };
    name.into()
}

/// Transport error codes (RFC 9000, section 20.1).
fn transport_code(code: u64) -> String {
    match code {
        0 => "NO_ERROR".into(),
        1 => "INTERNAL_ERROR".into(),
        2 => "CONNECTION_REFUSED (it takes no more connections)".into(),
        0x100..=0x1ff => format!("TLS alert {} ({})", code - 0x100, alert_name(code - 0x100)),
        _ => format!("QUIC code {code:#x}"),
    }
}

/// The HTTP/3 code of a session that the peer cannot take part in (draft-16, section 3.1).
const WT_REQUIREMENTS_NOT_MET: u64 = 0x212c_0d48;

const ALERT_CERTIFICATE_REQUIRED: u64 = 116;
const ALERT_NO_PROTOCOL: u64 = 120;

#[cfg(test)]
mod tests;
