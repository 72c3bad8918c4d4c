//! Trust between our client and our server, as the application sees it.

mod common;

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use common::{certificate, client_config, loopback, server_config, within};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use weftline::config::{ClientConfig, ServerConfig};
use weftline_rustls::{ClientTls, DevCertificate, Identity, ServerTls};
use weftline_tokio::{
    CloseReason, ClosedBy, ConnectError, Connection, Dialect, Endpoint, ErrorSpace, Incoming,
    SessionRequest,
};

/// A certificate authority and its PEM.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate for this name, with its DER.
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (Identity, Vec<u8>) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        let identity = Identity::from_pem(leaf.pem().as_bytes(), key.serialize_pem().as_bytes());
        (identity.expect("an identity"), leaf.der().to_vec())
    }
}

fn with_tls(tls: weftline_rustls::ClientTlsBuilder) -> Arc<ClientConfig> {
    let config = ClientConfig::builder(Arc::new(tls.build().expect("TLS")));
    Arc::new(config.build().expect("a legal configuration"))
}

fn listening(tls: weftline_rustls::ServerTlsBuilder) -> Endpoint {
    let config = ServerConfig::builder(Arc::new(tls.build().expect("TLS")));
    let config = Arc::new(config.build().expect("a legal configuration"));
    Endpoint::server(loopback(), config).expect("a socket")
}

async fn connect(
    server: &Endpoint,
    name: &str,
    config: Arc<ClientConfig>,
) -> Result<Connection, ConnectError> {
    let client = Endpoint::client().expect("a socket");
    client.connect(server.local_addr(), name, config).await
}

/// The reason that a handshake failed for: a TLS alert (RFC 9001, section 4.8).
fn alert(result: Result<Connection, ConnectError>) -> (u64, CloseReason) {
    match result {
        Err(ConnectError::Closed(reason)) => {
            assert_eq!(reason.space, ErrorSpace::Transport, "{reason:?}");
            assert_eq!(reason.code >> 8, 1, "{reason:?}");
            (reason.code & 0xff, reason)
        }
        other => panic!("no alert: {other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_is_trusted_by_its_hash() {
    within(async {
        let (certificate, other) = (certificate(), certificate());
        let config = server_config(&certificate, Dialect::ALL);
        let server = Endpoint::server(loopback(), config).expect("a socket");
        let config = client_config(certificate.sha256(), Dialect::ALL);
        // The name does not matter then.
        let connection = connect(&server, "elsewhere.example", config).await;
        let connection = connection.expect("a connection");
        assert_eq!(connection.peer_certificates(), [certificate.cert_der()]);

        let config = client_config(other.sha256(), Dialect::ALL);
        let (_, reason) = alert(connect(&server, "localhost", config).await);
        assert_eq!(reason.by, ClosedBy::Fault);
        // Whoever reads it can compare.
        let shown = weftline_rustls::hash::hex(&certificate.sha256());
        assert!(reason.reason.contains(&shown), "{reason:?}");
    })
    .await;
}

#[tokio::test]
async fn names_must_fit_under_an_authority() {
    within(async {
        let authority = Authority::new();
        let (identity, der) = authority.issue("fits.example", ExtendedKeyUsagePurpose::ServerAuth);
        let server = listening(ServerTls::builder(identity));
        let config = with_tls(ClientTls::builder().ca_pem(authority.pem.clone()));
        let connection = connect(&server, "fits.example", Arc::clone(&config)).await;
        let connection = connection.expect("a connection");
        assert_eq!(connection.peer_certificates(), [der]);

        let (_, reason) = alert(connect(&server, "other.example", config).await);
        assert!(reason.reason.contains("other.example"), "{reason:?}");
        let config = with_tls(ClientTls::builder().ca_pem(Authority::new().pem));
        alert(connect(&server, "fits.example", config).await);
    })
    .await;
}

#[tokio::test]
async fn a_server_sees_who_its_client_is() {
    within(async {
        let authority = Authority::new();
        let certificate = certificate();
        let identity = certificate.identity().expect("an identity");
        let server = listening(ServerTls::builder(identity).client_ca_pem(authority.pem.clone()));
        let trust = || ClientTls::builder().certificate_hashes(vec![certificate.sha256()]);

        let (client, der) = authority.issue("client", ExtendedKeyUsagePurpose::ClientAuth);
        let config = with_tls(trust().client_certificate(client));
        let connecting = connect(&server, "localhost", config);
        let (connected, accepted) = tokio::join!(connecting, server.accept());
        let (connected, accepted) = (connected.expect("it"), accepted.expect("it"));
        assert_eq!(accepted.peer_certificates(), [der.as_slice()]);
        let open = connected.open_session(SessionRequest::new("localhost", "/"));
        let answer = async {
            let Ok(Incoming::Session(request)) = accepted.accept().await else {
                panic!("no session arrived");
            };
            // Known before the session is accepted.
            assert_eq!(request.connection().peer_certificates(), [der.as_slice()]);
            request.accept().expect("a session")
        };
        let (opened, _accepted) = tokio::join!(open, answer);
        opened.expect("a session");

        // A client's handshake is complete before the server has seen its certificate, so that a
        // refusal may come after it.
        let (stranger, _) = Authority::new().issue("client", ExtendedKeyUsagePurpose::ClientAuth);
        for config in [trust(), trust().client_certificate(stranger)] {
            let reason = match connect(&server, "localhost", with_tls(config)).await {
                Ok(connection) => connection.closed().await,
                Err(ConnectError::Closed(reason)) => reason,
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(
                (reason.by, reason.code >> 8),
                (ClosedBy::Peer, 1),
                "{reason:?}"
            );
        }
        let accepting = pin!(server.accept());
        let others = accepting.poll(&mut Context::from_waker(Waker::noop()));
        assert!(others.is_pending(), "nobody else came in");
    })
    .await;
}

#[tokio::test]
async fn a_certificate_can_be_replaced_under_open_connections() {
    within(async {
        let (old, new) = (certificate(), certificate());
        let tls = ServerTls::builder(old.identity().expect("an identity"));
        let tls = tls.build().expect("TLS");
        let config = ServerConfig::builder(Arc::new(tls.clone()));
        let config = Arc::new(config.build().expect("a legal configuration"));
        let server = Endpoint::server(loopback(), config).expect("a socket");
        let trusting =
            |certificate: &DevCertificate| client_config(certificate.sha256(), Dialect::ALL);
        let before = connect(&server, "localhost", trusting(&old)).await;
        let before = before.expect("a connection");

        let identity = new.identity().expect("an identity");
        tls.replace(identity).expect("a valid certificate");
        let after = connect(&server, "localhost", trusting(&new)).await;
        assert_eq!(
            after.expect("a connection").peer_certificates(),
            [new.cert_der()]
        );
        alert(connect(&server, "localhost", trusting(&old)).await);
        assert_eq!(before.close_reason(), None);
    })
    .await;
}

/// The second connection to a server resumes the first one's TLS session and works as well.
#[tokio::test]
async fn resumed_connections_work() {
    within(async {
        let certificate = certificate();
        let server = common::serving(&certificate);
        let config = client_config(certificate.sha256(), Dialect::ALL);
        for _ in 0..3 {
            let connection = connect(&server, "localhost", Arc::clone(&config)).await;
            let connection = connection.expect("a connection");
            let request = SessionRequest::new("localhost", "/echo");
            let session = connection.open_session(request).await.expect("a session");
            let (mut send, mut recv) = session.open_bi().await.expect("a stream");
            send.write_all(b"again").await.expect("room");
            send.finish().expect("an end");
            assert_eq!(recv.read_to_end(10).await.expect("the end"), b"again");
            assert_eq!(connection.peer_certificates(), [certificate.cert_der()]);
        }
    })
    .await;
}
