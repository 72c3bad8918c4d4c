//! Configurations that cannot work, and what they say.

#![allow(missing_docs, reason = "tests")]

mod common;

use common::{Authority, NOW, file};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use weftline_rustls::{ClientTls, Clock, DevCertificate, Identity, ServerTls, TlsConfigError};

fn dev() -> DevCertificate {
    DevCertificate::generate_at(&[], 13, &Clock::fixed(NOW)).unwrap()
}

fn message<T>(result: Result<T, TlsConfigError>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn a_pair_of_files_works() {
    let dev = dev();
    let cert = file("pair.cert.pem", &dev.cert_pem());
    let key = file("pair.key.pem", &dev.key_pem());
    let both = file("pair.both.pem", &(dev.key_pem() + &dev.cert_pem()));
    assert_eq!(
        Identity::from_pem_files(&cert, &key).unwrap().sha256(),
        dev.sha256()
    );
    assert_eq!(
        Identity::from_pem_files(&both, &both).unwrap().sha256(),
        dev.sha256()
    );
}

#[test]
fn files_at_fault_are_named() {
    let (dev, other) = (dev(), dev());
    let cert = file("fault.cert.pem", &dev.cert_pem());
    let key = file("fault.key.pem", &dev.key_pem());
    let other_key = file("fault.other.pem", &other.key_pem());
    let empty = file("fault.empty.pem", "");
    let broken = file(
        "fault.broken.pem",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    );
    let garbage = file(
        "fault.garbage.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let missing = cert.with_file_name("fault.missing.pem");
    let load = |cert, key| message(Identity::from_pem_files(cert, key));

    let missing_name = missing.display();
    assert!(
        load(&missing, &key).starts_with(&format!("cannot read certificate file {missing_name}: "))
    );
    assert!(load(&cert, &missing).starts_with(&format!("cannot read key file {missing_name}: ")));
    assert_eq!(
        load(&empty, &key),
        format!("{} holds no certificate", empty.display())
    );
    assert_eq!(
        load(&key, &key),
        format!("{} holds no certificate", key.display())
    );
    assert_eq!(
        load(&cert, &empty),
        format!("{} holds no private key", empty.display())
    );
    assert_eq!(
        load(&cert, &cert),
        format!("{} holds no private key", cert.display())
    );
    assert_eq!(
        load(&cert, &other_key),
        format!(
            "the key in {} does not belong to the certificate in {}",
            other_key.display(),
            cert.display()
        )
    );
    for file in [&broken, &garbage] {
        let expected = format!("{} cannot be used: ", file.display());
        let said = load(file, &key);
        assert!(said.starts_with(&expected), "{said}");
    }

    let ca = |path| message(ClientTls::builder().ca_file(path).build());
    assert!(ca(&missing).starts_with(&format!("cannot read CA file {missing_name}: ")));
    assert_eq!(
        ca(&empty),
        format!("{} holds no certificate", empty.display())
    );
    let server = ServerTls::builder(dev.identity().unwrap()).clock(Clock::fixed(NOW));
    let said = message(server.client_ca_file(&missing).build());
    assert!(said.starts_with(&format!("cannot read CA file {missing_name}: ")));
}

#[test]
fn certificates_out_of_their_time() {
    let authority = Authority::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let identity = authority.issue(&["a.test"], NOW, NOW + 60);
    let server = |now| {
        let builder = ServerTls::builder(identity.clone());
        builder.clock(Clock::fixed(now)).build()
    };
    assert!(server(NOW).is_ok() && server(NOW + 60).is_ok());
    assert_eq!(
        message(server(NOW + 61)),
        "the certificate in the given bytes expired on 2026-09-21 14:14 UTC"
    );
    assert_eq!(
        message(server(NOW - 1)),
        "the certificate in the given bytes is valid only from 2026-09-21 14:13 UTC on"
    );
    let client = ClientTls::builder().insecure_no_verification();
    let client = client
        .client_certificate(identity)
        .clock(Clock::fixed(NOW + 61));
    assert_eq!(
        message(client.build()),
        "the certificate in the given bytes expired on 2026-09-21 14:14 UTC"
    );
}

#[test]
fn no_hashes_is_no_trust() {
    let none = ClientTls::builder().certificate_hashes(Vec::new()).build();
    assert_eq!(message(none), "no certificate hash was given to trust");
}

#[test]
fn other_kinds_of_fault() {
    let key = PrivateKeyDer::from_pem_slice(dev().key_pem().as_bytes()).unwrap();
    assert!(matches!(
        Identity::from_der(Vec::new(), key.secret_der().to_vec()),
        Err(TlsConfigError::NoCertificate(_))
    ));
    assert!(matches!(
        Identity::from_der(vec![dev().cert_der().to_vec()], vec![1, 2, 3]),
        Err(TlsConfigError::Unusable { .. })
    ));
}
