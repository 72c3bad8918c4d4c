//! What every endpoint of the matrix agrees on: its arguments, the files, and how it ends.
//!
//! ```text
//! peer-x server --listen ADDRESS --case NAME --cert FILE --key FILE [--preferred ADDRESS]
//! peer-x client --connect ADDRESS --case NAME --ca FILE PATH...
//! ```
//!
//! The case is what the QUIC interop runner calls TESTCASE. A server prints `listening ADDRESS` and
//! runs until it is killed. A client fetches every path, compares what comes with what the file is
//! known to be, and ends with 0 when all is well. Whoever cannot do a case prints `unsupported: WHY`
//! and ends with 127.
//!
//! Files exist by their name alone: `/NAME-SIZE` has SIZE bytes that follow from the path.

use std::{env, fmt, net::SocketAddr, path::PathBuf, process, str::FromStr};

/// The name every certificate is for.
pub const SERVER_NAME: &str = "localhost";

/// The application protocol of HTTP/0.9 over QUIC.
pub const HQ: &[u8] = b"hq-interop";

/// The application protocol of HTTP/3.
pub const H3: &[u8] = b"h3";

/// No answer of HTTP/0.9 is longer, and no request is longer than a page.
pub const MAX_FILE: usize = 32 << 20;
pub const MAX_REQUEST: usize = 4096;

/// How many of many connections are there at a time.
pub const AT_ONCE: usize = 10;

/// How this program was called.
#[derive(Clone, Debug)]
pub enum Role {
    Server(Server),
    Client(Client),
}

#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    pub case: Case,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// What to send as the preferred address. Datagrams to there come to the same socket.
    pub preferred: Option<SocketAddr>,
}

#[derive(Clone, Debug)]
pub struct Client {
    pub connect: SocketAddr,
    pub case: Case,
    pub ca: PathBuf,
    pub paths: Vec<String>,
}

/// What the endpoint is to do: TESTCASE of the QUIC interop runner.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Case {
    Handshake,
    Transfer,
    ChaCha20,
    KeyUpdate,
    Retry,
    Resumption,
    ZeroRtt,
    Http3,
    MultiConnect,
    V2,
    Ecn,
    ConnectionMigration,
}

impl Case {
    const NAMES: [(&'static str, Self); 12] = [
        ("handshake", Self::Handshake),
        ("transfer", Self::Transfer),
        ("chacha20", Self::ChaCha20),
        ("keyupdate", Self::KeyUpdate),
        ("retry", Self::Retry),
        ("resumption", Self::Resumption),
        ("zerortt", Self::ZeroRtt),
        ("http3", Self::Http3),
        ("multiconnect", Self::MultiConnect),
        ("v2", Self::V2),
        ("ecn", Self::Ecn),
        ("connectionmigration", Self::ConnectionMigration),
    ];

    /// The application protocol it uses.
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http3 => H3,
            _ => HQ,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, case)| case == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(name, _)| *name == s);
        known
            .map(|(_, case)| *case)
            .ok_or_else(|| format!("no case is called {s:?}"))
    }
}

impl Client {
    /// The paths that each connection fetches: one connection after the other, but
    /// [`AT_ONCE`] of [`Case::MultiConnect`] at a time.
    pub fn connections(&self) -> Vec<&[String]> {
        match self.case {
            Case::MultiConnect => self.paths.chunks(1).collect(),
            Case::Resumption | Case::ZeroRtt => {
                let (first, others) = self.paths.split_at(self.paths.len().min(1));
                vec![first, others]
            }
            _ => vec![&self.paths],
        }
    }
}

/// The arguments of this program; ends it when they are wrong.
pub fn role() -> Role {
    read(env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error}");
        process::exit(2)
    })
}

fn read(mut args: impl Iterator<Item = String>) -> Result<Role, String> {
    let role = args.next().ok_or("server or client?")?;
    let (mut address, mut case, mut preferred) = (None, None, None);
    let (mut cert, mut key, mut ca, mut paths) = (None, None, None, Vec::new());
    while let Some(arg) = args.next() {
        if !arg.starts_with("--") {
            paths.push(arg);
            continue;
        }
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--listen" | "--connect" => address = Some(parse(&value)?),
            "--preferred" => preferred = Some(parse(&value)?),
            "--case" => case = Some(value.parse::<Case>()?),
            "--cert" => cert = Some(value.into()),
            "--key" => key = Some(value.into()),
            "--ca" => ca = Some(value.into()),
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    let address = address.ok_or("no address")?;
    let case = case.ok_or("no --case")?;
    match role.as_str() {
        "server" => Ok(Role::Server(Server {
            listen: address,
            case,
            cert: cert.ok_or("no --cert")?,
            key: key.ok_or("no --key")?,
            preferred,
        })),
        "client" => Ok(Role::Client(Client {
            connect: address,
            case,
            ca: ca.ok_or("no --ca")?,
            paths,
        })),
        _ => Err(format!("neither server nor client: {role}")),
    }
}

fn parse(address: &str) -> Result<SocketAddr, String> {
    let parsed = address.parse();
    parsed.map_err(|_| format!("{address:?} is not an address"))
}

/// Says where the server is.
pub fn listening(address: SocketAddr) {
    println!("listening {address}");
}

/// Ends this program, which cannot do the case.
pub fn unsupported(why: &str) -> ! {
    println!("unsupported: {why}");
    process::exit(127)
}

/// Ends this program as a client does: with 0 when all is well.
pub fn finish(result: Result<(), String>) -> ! {
    match result {
        Ok(()) => process::exit(0),
        Err(error) => {
            eprintln!("failed: {error}");
            process::exit(1)
        }
    }
}

/// The path that an HTTP/0.9 request asks for.
pub fn requested(request: &[u8]) -> Option<&str> {
    let request = std::str::from_utf8(request).ok()?;
    request.strip_prefix("GET ")?.split_whitespace().next()
}

/// The HTTP/0.9 request for a path.
pub fn request(path: &str) -> Vec<u8> {
    format!("GET {path}\r\n").into_bytes()
}

/// The content of a file, if there is one of that name.
pub fn file(path: &str) -> Option<Vec<u8>> {
    let (_, size) = path.rsplit_once('-')?;
    let size: usize = size.parse().ok().filter(|size| *size <= MAX_FILE)?;
    let seed = path.bytes().fold(0, u8::wrapping_add);
    let byte = |i: usize| (i * 31 + (i >> 8) * 7 + (i >> 16) * 13) as u8;
    Some((0..size).map(|i| byte(i).wrapping_add(seed)).collect())
}

/// Whether this is the content of that file.
///
/// # Errors
/// How it differs.
pub fn check(path: &str, content: &[u8]) -> Result<(), String> {
    let expected = file(path).ok_or_else(|| format!("{path} is no file"))?;
    let short = path.get(..24).unwrap_or(path);
    let differs = expected.iter().zip(content).position(|(a, b)| a != b);
    match differs {
        Some(at) => Err(format!("{short} differs at byte {at}")),
        None if expected.len() != content.len() => {
            let (has, len) = (content.len(), expected.len());
            Err(format!("{short} has {has} bytes instead of {len}"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_follow_from_their_names() {
        assert_eq!(file("/a-3"), Some(vec![160, 191, 222]));
        assert_eq!(file("/b-3"), Some(vec![161, 192, 223]));
        assert_eq!(file("/b"), None);
        assert_eq!(file("/b-99999999999"), None);
        let (one, two) = (file("/a-70000").unwrap(), file("/a-70000").unwrap());
        assert!(check("/a-70000", &one).is_ok());
        assert!(check("/a-70000", &one[1..]).is_err());
        assert!(check("/a-70000", &two[..69_999]).is_err());
    }

    #[test]
    fn requests_of_http_0_9() {
        assert_eq!(requested(&request("/x-1")), Some("/x-1"));
        assert_eq!(requested(b"GET /x-1"), Some("/x-1"));
        assert_eq!(requested(b"PUT /x-1\r\n"), None);
    }

    #[test]
    fn every_case_has_a_name() {
        for (name, case) in Case::NAMES {
            assert_eq!(case.to_string(), name);
            assert_eq!(name.parse(), Ok(case));
        }
    }
}
