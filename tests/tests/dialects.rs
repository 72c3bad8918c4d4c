//! Every dialect of WebTransport against every other, over real TLS.

mod common;

use common::{certificate, client_config, echo, loopback, pattern, server_config, within};
use weftline_rustls::DevCertificate;
use weftline_tokio::{
    Closed, ClosedBy, Dialect, Endpoint, Incoming, OpenSessionError, Session, SessionRequest,
};

/// A session between ends with these dialects, from the client and from the server; or why not.
async fn session(
    certificate: &DevCertificate,
    client: &'static [Dialect],
    server: &'static [Dialect],
) -> Result<(Session, Session), OpenSessionError> {
    let config = server_config(certificate, server);
    let server = Endpoint::server(loopback(), config).expect("a socket");
    let address = server.local_addr();
    let accepting = tokio::spawn(async move {
        let connection = server.accept().await.expect("a connection");
        match connection.accept().await {
            Ok(Incoming::Session(request)) => {
                assert_eq!(request.path(), "/chat?room=1");
                assert_eq!(request.authority(), "localhost");
                assert_eq!(request.origin(), Some("https://example.org"));
                Some(request.accept().expect("a session"))
            }
            _ => None,
        }
    });
    let endpoint = Endpoint::client().expect("a socket");
    let config = client_config(certificate.sha256(), client);
    let connecting = endpoint.connect(address, "localhost", config);
    let connection = connecting.await.expect("a connection");
    let mut request = SessionRequest::new("localhost", "/chat?room=1");
    request.origin = Some("https://example.org".into());
    let opened = connection.open_session(request).await;
    // The server stops waiting for a session when there will be none.
    drop(connection);
    let opened = opened?;
    let accepted = accepting.await.expect("the server's side");
    Ok((opened, accepted.expect("a session")))
}

/// All sets of dialects but the empty one.
fn sets() -> impl Iterator<Item = &'static [Dialect]> {
    (1_usize..1 << Dialect::ALL.len()).map(|bits| {
        let chosen = Dialect::ALL.iter().enumerate();
        let chosen = chosen.filter(|(i, _)| bits & 1 << i != 0);
        &*chosen
            .map(|(_, dialect)| *dialect)
            .collect::<Vec<_>>()
            .leak()
    })
}

/// Ends meet in the newest dialect that both have, or not at all, and then it is said why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_meet_in_the_newest_common_dialect() {
    within(async {
        let certificate = certificate();
        let mut met = 0;
        for client in sets() {
            for server in sets() {
                // `ALL` has the newest first.
                let common = Dialect::ALL
                    .iter()
                    .find(|d| client.contains(d) && server.contains(d));
                let pair = format!("{client:?} and {server:?}");
                match (session(&certificate, client, server).await, common) {
                    (Ok((opened, accepted)), Some(&common)) => {
                        assert_eq!(opened.dialect(), common, "{pair}");
                        assert_eq!(accepted.dialect(), common, "{pair}");
                        met += 1;
                    }
                    (Err(error), None) => {
                        let said = error.to_string();
                        assert!(said.contains("WebTransport"), "{pair}: {said}");
                    }
                    (result, _) => panic!("{pair}: {result:?}"),
                }
            }
        }
        // 15 * 15 pairs, less the 50 without a dialect in common.
        assert_eq!(met, 175);
    })
    .await;
}

/// What a session can do is the same in every dialect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialect_does_everything() {
    for dialect in Dialect::ALL {
        within(everything(std::slice::from_ref(dialect))).await;
    }
}

async fn everything(dialects: &'static [Dialect]) {
    let certificate = certificate();
    let both = session(&certificate, dialects, dialects).await;
    let (opened, accepted) = both.expect("a session");
    assert_eq!([opened.dialect(), accepted.dialect()], [dialects[0]; 2]);
    exporters_agree(&opened, &accepted);
    let server = tokio::spawn(echo(accepted.clone()));

    for len in [0, 1, 300_000, 3 << 20] {
        let (mut send, mut recv) = opened.open_bi().await.expect("a stream");
        let data = pattern(len);
        let expected = data.clone();
        let writer = tokio::spawn(async move {
            send.write_all(&data).await.expect("room");
            send.finish().expect("an end");
            send.finished().await.expect("an acknowledgement");
        });
        let echoed = recv.read_to_end(len + 1).await.expect("the end");
        assert!(echoed == expected, "{dialects:?}: {len} bytes come back");
        writer.await.expect("the writer ends");
    }
    // More than the streams that may be open at once, in either direction.
    for i in 0..150 {
        let mut send = opened.open_uni().await.expect("a stream");
        send.write_all(&pattern(i)).await.expect("room");
        send.finish().expect("an end");
        let mut recv = opened.accept_uni().await.expect("a stream");
        let echoed = recv.read_to_end(i + 1).await.expect("the end");
        assert_eq!(echoed, pattern(i));
    }
    for len in [0, 1, 1000] {
        opened.send_datagram(&pattern(len)).expect("room");
        let echoed = opened.recv_datagram().await.expect("a datagram");
        assert_eq!(echoed, pattern(len));
    }

    // The draft's drain capsule, where the draft has one.
    if dialects != [Dialect::Draft02] {
        accepted.drain();
        assert_eq!(opened.draining().await, Ok(()));
    }
    opened.close(0xffff_ffff, "that was all");
    let closed = accepted.closed().await;
    assert_eq!((closed.by, closed.code), (ClosedBy::Peer, u32::MAX));
    assert_eq!(closed.reason, "that was all");
    assert_eq!(closed.error, None);
    assert_eq!(
        opened.open_bi().await.err(),
        Some(Closed::Session(opened.closed().await))
    );
    server.await.expect("the echo ends");
}

/// Both ends compute the same keys, and others for other labels and contexts (draft-16, section
/// 4.8).
fn exporters_agree(opened: &Session, accepted: &Session) {
    let export = |session: &Session, label: &[u8], context: &[u8]| {
        let mut key = [0; 32];
        let exported = session.export_keying_material(&mut key, label, context);
        exported.map(|()| key).expect("a key")
    };
    let key = export(opened, b"label", b"context");
    assert_ne!(key, [0; 32]);
    assert_eq!(key, export(accepted, b"label", b"context"));
    assert_ne!(key, export(accepted, b"label", b"other"));
    assert_ne!(key, export(accepted, b"other", b"context"));
    // The length of the parts counts, not only what they are together.
    assert_ne!(key, export(accepted, b"labelc", b"ontext"));
}
