//! One certificate for both stacks, and what each makes of it.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    RootCertStore,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use weftline_rustls::{ClientTls, Identity, ServerTls};

/// A self-signed certificate for every name below `bench.test`, and its key.
pub(crate) struct Tls {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Tls {
    pub(crate) fn generate() -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["*.bench.test".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { certificate, key }
    }

    pub(crate) fn weftline_server(&self) -> ServerTls {
        let chain = vec![self.certificate.der().to_vec()];
        let identity = Identity::from_der(chain, self.key.serialized_der().to_vec());
        let builder = ServerTls::builder(identity.expect("an identity"));
        builder.build().expect("TLS of a server")
    }

    pub(crate) fn weftline_client(&self) -> ClientTls {
        let builder = ClientTls::builder().ca_pem(self.certificate.pem());
        builder.build().expect("TLS of a client")
    }

    pub(crate) fn rustls_server(&self) -> rustls::ServerConfig {
        let key = PrivatePkcs8KeyDer::from(self.key.serialized_der().to_vec());
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![self.der()], key.into())
            .expect("TLS of a server");
        config.alpn_protocols = alpn();
        config
    }

    pub(crate) fn rustls_client(&self) -> rustls::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).expect("a root");
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_webpki_verifier(verifier.build().expect("a verifier"))
            .with_no_client_auth();
        config.alpn_protocols = alpn();
        config
    }

    fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What Weftline announces.
fn alpn() -> Vec<Vec<u8>> {
    vec![b"h3".to_vec()]
}
