//! The whole stack over loopback with real TLS.

mod common;

use std::sync::Arc;

use common::{connect_with, echo, pattern, server, session, within};
use weftline::{
    config::{ClientConfig, ServerConfig},
    crypto::Version,
    event::ClosedBy,
};
use weftline_rustls::{ClientTls, DevCertificate, ServerTls};
use weftline_tokio::{ConnectError, Endpoint};

fn server_config(certificate: &DevCertificate) -> Arc<ServerConfig> {
    let tls = ServerTls::builder(certificate.identity().unwrap());
    let builder = ServerConfig::builder(Arc::new(tls.build().unwrap()));
    Arc::new(builder.build().unwrap())
}

fn client_config(trusted: &DevCertificate) -> Arc<ClientConfig> {
    let tls = ClientTls::builder().certificate_hashes(vec![trusted.sha256()]);
    let builder = ClientConfig::builder(Arc::new(tls.build().unwrap()));
    Arc::new(builder.build().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_under_tls() {
    within(async {
        let certificate = DevCertificate::generate(&[], 1).unwrap();
        let server = server(server_config(&certificate));
        let client = Endpoint::client().unwrap();
        let (connected, accepted) =
            connect_with(&client, &server, client_config(&certificate)).await;
        assert_eq!(connected.peer_certificates(), [certificate.cert_der()]);
        let (opened, accepted) = session(&connected, &accepted).await;
        let (mut ours, mut theirs) = ([0; 32], [0; 32]);
        opened
            .export_keying_material(&mut ours, b"label", b"context")
            .unwrap();
        accepted
            .export_keying_material(&mut theirs, b"label", b"context")
            .unwrap();
        assert_eq!(ours, theirs);
        tokio::spawn(echo(accepted));

        opened.send_datagram(b"sealed").unwrap();
        assert_eq!(opened.recv_datagram().await.unwrap(), "sealed");
        let (mut send, mut recv) = opened.open_bi().await.unwrap();
        let data = pattern(4 << 20);
        let expected = data.clone();
        let writing = tokio::spawn(async move {
            send.write_all(&data).await.unwrap();
            send.finish().unwrap();
            send.finished().await.unwrap();
        });
        let echoed = recv.read_to_end(5 << 20).await.unwrap();
        assert!(echoed == expected, "the echo is what was sent");
        writing.await.unwrap();
    })
    .await;
}

/// Clients begin in version 1; the server likes version 2 better, and clients of rustls follow.
#[tokio::test]
async fn a_client_follows_its_server_to_version_2() {
    within(async {
        let certificate = DevCertificate::generate(&[], 1).unwrap();
        let tls = ServerTls::builder(certificate.identity().unwrap());
        let config = ServerConfig::builder(Arc::new(tls.build().unwrap()));
        let config = config
            .with_transport(|transport| transport.versions = vec![Version::V2, Version::V1])
            .build();
        let server = server(Arc::new(config.unwrap()));
        let client = Endpoint::client().unwrap();
        let tls = ClientTls::builder().certificate_hashes(vec![certificate.sha256()]);
        let tls = Arc::new(tls.build().unwrap());
        let config = |versions: &[Version]| {
            let config = ClientConfig::builder(tls.clone());
            let config = config.with_transport(|transport| transport.versions = versions.into());
            Arc::new(config.build().unwrap())
        };
        // The last of them resumes: that begins in the version of the session.
        let both = [Version::V1, Version::V2];
        for (versions, spoken, resumed) in [
            (&both[..1], Version::V1, false),
            (&both[..], Version::V2, false),
            (&both[..], Version::V2, true),
        ] {
            let (connected, accepted) = connect_with(&client, &server, config(versions)).await;
            for connection in [&connected, &accepted] {
                let version = connection.with(|core| core.version());
                assert_eq!(version, Some(spoken));
                assert_eq!(connection.is_resumed(), resumed);
            }
            let (opened, echoing) = session(&connected, &accepted).await;
            tokio::spawn(echo(echoing));
            let exchange = async || {
                let (mut send, mut recv) = opened.open_bi().await.unwrap();
                let data = pattern(100_000);
                send.write_all(&data).await.unwrap();
                send.finish().unwrap();
                assert!(recv.read_to_end(1 << 20).await.unwrap() == data);
            };
            for side in [&connected, &accepted, &connected] {
                // Some time after the last update.
                while !side.with(weftline::Connection::update_keys).unwrap() {
                    exchange().await;
                }
                exchange().await;
            }
            connected.close(0, "");
        }
    })
    .await;
}

#[tokio::test]
async fn an_unknown_certificate_is_refused() {
    within(async {
        let certificate = DevCertificate::generate(&[], 1).unwrap();
        let another = DevCertificate::generate(&[], 1).unwrap();
        let server = server(server_config(&certificate));
        let client = Endpoint::client().unwrap();
        let refused = client
            .connect(server.local_addr(), "localhost", client_config(&another))
            .await;
        let Err(ConnectError::Closed(reason)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(reason.by, ClosedBy::Fault);
        // A TLS alert (RFC 9001, section 4.8).
        assert_eq!(reason.code >> 8, 1, "{reason:?}");
    })
    .await;
}
