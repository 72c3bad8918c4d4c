//! `weftline cert`: a development certificate in files.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use weftline_rustls::{DevCertificate, hash};

use crate::{args::CertArgs, failure::Failure, output::print};

pub(crate) fn run(args: &CertArgs) -> Result<(), Failure> {
    let cert_file = args.out.join("cert.pem");
    let key_file = args.out.join("key.pem");
    for file in [&cert_file, &key_file] {
        if !args.force && file.symlink_metadata().is_ok() {
            let what = format!("{} is there already", file.display());
            return Err(Failure::new(what).advice("overwrite it with --force, or choose --out DIR"));
        }
    }
    let certificate = DevCertificate::generate(&[], DevCertificate::MAX_DAYS)
        .map_err(|error| Failure::new(format!("cannot make a certificate: {error}")))?;
    fs::create_dir_all(&args.out).map_err(|error| cannot_write(&args.out, &error))?;
    write_new(&key_file, &certificate.key_pem(), KEY_MODE)?;
    write_new(&cert_file, &certificate.cert_pem(), CERT_MODE)?;
    print(&summary(args, certificate.sha256()))
}

fn summary(args: &CertArgs, sha256: [u8; 32]) -> String {
    let days = DevCertificate::MAX_DAYS;
    let names = DevCertificate::LOCAL_NAMES.join(", ");
    let dir = args.out.display();
    format!(
        "Wrote {dir}/cert.pem and {dir}/key.pem, valid for {days} days, for {names}.\n\
         SHA-256: {}\n\
         \n\
         Serve with it:\n  weftline serve --cert {dir}/cert.pem --key {dir}/key.pem\n\
         \n\
         Connect from a page:\n{}",
        hash::hex(&sha256),
        snippet("https://127.0.0.1:4433/echo", sha256),
    )
}

/// JavaScript that opens a session by the certificate's hash.
pub(crate) fn snippet(url: &str, sha256: [u8; 32]) -> String {
    let bytes: Vec<_> = sha256.iter().map(|byte| format!("0x{byte:02x}")).collect();
    let rows: Vec<_> = bytes.chunks(8).map(|row| row.join(", ")).collect();
    format!(
        "  const wt = new WebTransport(\"{url}\", {{\n    \
             serverCertificateHashes: [{{\n      \
               algorithm: \"sha-256\",\n      \
               value: new Uint8Array([\n        {},\n      ]),\n    \
             }}],\n  }});\n  await wt.ready;",
        rows.join(",\n        "),
    )
}

/// Writes a file that has its mode from its first byte on.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(cannot_write(path, &error));
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
}

const KEY_MODE: u32 = 0o600;
const CERT_MODE: u32 = 0o644;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snippet_holds_every_byte() {
        let hash: [u8; 32] = std::array::from_fn(|i| i as u8 * 8);
        let snippet = snippet("https://a/b", hash);
        for byte in hash {
            assert!(snippet.contains(&format!("0x{byte:02x}")), "{snippet}");
        }
        assert_eq!(snippet.matches("0x").count(), 32);
        assert!(snippet.contains("\"https://a/b\""));
    }
}
