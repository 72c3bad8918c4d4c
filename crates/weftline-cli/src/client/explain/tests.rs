use std::io;

use weftline_tokio::{Fields, ResponseHead};

use super::*;

fn target() -> Target {
    Target::parse("https://localhost:4433/x").unwrap()
}

fn system() -> TrustArgs {
    TrustArgs {
        cert_hash: None,
        ca: None,
        insecure: false,
    }
}

fn closed(by: ClosedBy, space: ErrorSpace, code: u64, reason: &str) -> CloseReason {
    let reason = reason.into();
    CloseReason {
        by,
        code,
        space,
        reason,
    }
}

fn line(reason: CloseReason, trust: &TrustArgs) -> String {
    connect(&ConnectError::Closed(reason), &target(), trust).to_string()
}

#[test]
fn faults_of_the_handshake() {
    use ClosedBy::{Fault, Peer, Timeout, Version};
    use ErrorSpace::Transport;
    let hash = TrustArgs {
        cert_hash: Some([0; 32]),
        ..system()
    };
    let wrong = closed(
        Fault,
        Transport,
        0x12e,
        "the server's certificate has SHA-256 ab",
    );
    let text = line(wrong.clone(), &hash);
    assert!(
        text.contains("SHA-256 ab") && text.contains("--cert-hash"),
        "{text}"
    );
    let text = line(wrong, &system());
    assert!(text.contains("--insecure"), "{text}");
    let cases = [
        (closed(Peer, Transport, 0x178, ""), "no HTTP/3"),
        (closed(Peer, Transport, 0x174, ""), "client certificate"),
        (closed(Peer, Transport, 2, ""), "CONNECTION_REFUSED"),
        (closed(Timeout, Transport, 0, ""), "timed out"),
        (closed(Version, Transport, 0, ""), "QUIC version 1"),
        (closed(Fault, Transport, 0x128, "odd"), "odd"),
    ];
    for (reason, expected) in cases {
        let text = line(reason, &system());
        assert!(
            text.contains(expected) && text.contains("localhost:4433"),
            "{text}"
        );
    }
}

#[test]
fn names_that_do_not_resolve() {
    let error = ConnectError::Resolve {
        host: "no.invalid".into(),
        source: io::Error::other("unknown"),
    };
    let text = connect(&error, &target(), &system()).to_string();
    assert!(
        text.contains("no.invalid") && text.contains("name server"),
        "{text}"
    );
}

#[test]
fn sessions_that_do_not_open() {
    let refused = |status| {
        let fields = Fields::new();
        OpenSessionError::Rejected(Box::new(ResponseHead { status, fields }))
    };
    let by_settings = SessionClosed {
        by: ClosedBy::Fault,
        code: 0,
        reason: "extended CONNECT".into(),
        error: Some(WT_REQUIREMENTS_NOT_MET),
    };
    let cases = [
        (refused(404), "404 (not found); check the path"),
        (refused(403), "Origin"),
        (refused(302), "redirects"),
        (
            OpenSessionError::Failed(SessionError::Unsupported("extended CONNECT")),
            "no WebTransport: it lacks extended CONNECT",
        ),
        (
            OpenSessionError::Closed(Closed::Session(by_settings)),
            "no WebTransport: it lacks extended CONNECT",
        ),
        (
            OpenSessionError::Failed(SessionError::Invalid("protocols")),
            "protocols is not legal",
        ),
    ];
    for (error, expected) in cases {
        let text = session(&error, &target()).to_string();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn ends_of_sessions() {
    let end = |by, code, reason: &str, error| {
        let reason = reason.into();
        session_closed(&SessionClosed {
            by,
            code,
            reason,
            error,
        })
    };
    let text = end(ClosedBy::Peer, 7, "done", None);
    assert_eq!(text, "the server closed the session with code 7: \"done\"");
    let text = end(ClosedBy::Peer, 0, "", Some(0x102));
    assert_eq!(text, "the server ended the session with H3_INTERNAL_ERROR");
    assert!(end(ClosedBy::Timeout, 0, "", Some(0)).contains("timed out"));
}
