//! The command line.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, error::ErrorKind};
use weftline_rustls::hash;
use weftline_tokio::{Dialect, Target};

use crate::failure::Failure;

/// WebTransport, HTTP/3 and QUIC from the command line.
#[derive(Debug, Parser)]
#[command(name = "weftline", version, disable_help_subcommand = true)]
#[command(subcommand_required = true, arg_required_else_help = false)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server to develop and test against
    Serve(Box<ServeArgs>),
    /// Open a WebTransport session, send, and print what comes back
    Connect(Box<ConnectArgs>),
    /// Download with HTTP/3
    Get(Box<GetArgs>),
    /// Put load on /bench of a server, and measure
    Bench(Box<BenchArgs>),
    /// Make a development certificate that browsers accept by its hash
    Cert(CertArgs),
    /// Say in short what a qlog file tells of a connection
    Qlog(QlogArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// UDP address to serve; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4433")]
    pub(crate) listen: SocketAddr,
    /// Certificate chain (PEM); without it a development certificate is made in memory
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Serve only clients with a certificate signed by an authority in this file (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Take sessions only from pages of this origin (repeatable); any origin when not given
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// Loopback TCP address of the demo page
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) web: SocketAddr,
    /// Serve no demo page
    #[arg(long, conflicts_with = "web")]
    pub(crate) no_web: bool,
    /// Connections at once; more are refused
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = parse_connections)]
    pub(crate) max_connections: usize,
    /// Have every client prove its address first, with a Retry packet
    #[arg(long)]
    pub(crate) retry: bool,
    /// Take requests in early data (0-RTT), which others can replay; only GET is answered there
    #[arg(long)]
    pub(crate) early_data: bool,
    /// Application protocol to agree on when a client offers it; "any" takes the client's first
    #[arg(long, value_name = "NAME|any")]
    pub(crate) protocol: Option<String>,
    /// Also serve raw QUIC to what measures with the protocol of /bench (ALPN weftline-bench)
    #[arg(long)]
    pub(crate) raw: bool,
    /// One JSON object per line on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Allow the development certificate on an address others can reach
    #[arg(long)]
    pub(crate) allow_dev_cert: bool,
    #[command(flatten)]
    pub(crate) logs: LogArgs,
}

#[derive(Debug, Args)]
#[command(after_help = CONNECT_HELP)]
pub(crate) struct ConnectArgs {
    /// Where to open the session
    #[arg(value_name = "URL", value_parser = Target::parse)]
    pub(crate) url: Target,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// WebTransport draft to speak
    #[arg(long, value_name = "DRAFT", default_value = "auto")]
    pub(crate) dialect: DialectArg,
    /// Further header of the request (repeatable)
    #[arg(long = "header", value_name = "K: V", value_parser = parse_header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Application protocol to offer, the best first (repeatable)
    #[arg(long = "protocol", value_name = "NAME")]
    pub(crate) protocols: Vec<String>,
    /// Send TEXT on a bidirectional stream and print the answer on it (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub(crate) bidi: Vec<String>,
    /// Send TEXT on a unidirectional stream and print the server's next one (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub(crate) uni: Vec<String>,
    /// Send TEXT as a datagram, up to five times, and print the first that comes back (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub(crate) datagram: Vec<String>,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
    #[command(flatten)]
    pub(crate) logs: LogArgs,
    /// One JSON object per line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// What to download
    #[arg(value_name = "URL", value_parser = Target::parse)]
    pub(crate) url: Target,
    /// File to write; stdout when not given
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
    #[command(flatten)]
    pub(crate) logs: LogArgs,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub(crate) struct BenchArgs {
    /// What to measure
    #[arg(value_name = "KIND")]
    pub(crate) kind: BenchKind,
    /// /bench of the server; with --raw the path does not matter
    #[arg(value_name = "URL", value_parser = Target::parse)]
    pub(crate) url: Target,
    /// Raw QUIC instead of WebTransport
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Seconds of load, or of silence
    #[arg(long, value_name = "S", default_value = "5", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// Bytes to move each way, instead of --seconds (bulk)
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    pub(crate) bytes: Option<u64>,
    /// Streams or connections at once
    #[arg(long, value_name = "N", value_parser = parse_concurrency)]
    pub(crate) concurrency: Option<usize>,
    /// Bytes of each message, stream, datagram or transfer
    #[arg(long, value_name = "N", value_parser = parse_size)]
    pub(crate) size: Option<usize>,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
    /// The figures as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) logs: LogArgs,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchKind {
    /// Bytes up, then down
    Bulk,
    /// Messages back and forth on a stream
    Echo,
    /// Requests on streams of their own
    Rpc,
    /// Datagrams one way
    Datagram,
    /// Connections and sessions
    Handshake,
    /// Short unidirectional streams
    Streams,
    /// Connections that do nothing
    Idle,
}

impl BenchKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Echo => "echo",
            Self::Rpc => "rpc",
            Self::Datagram => "datagram",
            Self::Handshake => "handshake",
            Self::Streams => "streams",
            Self::Idle => "idle",
        }
    }
}

impl BenchArgs {
    /// What it measures over.
    pub(crate) const fn transport(&self) -> &'static str {
        if self.raw { "raw QUIC" } else { "WebTransport" }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CertArgs {
    /// Directory for cert.pem and key.pem
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QlogArgs {
    /// The file, as --qlog-dir makes them
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// One JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is logged of connections.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LogArgs {
    /// Write a qlog file for each connection into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) qlog_dir: Option<PathBuf>,
    /// Append TLS secrets to this file, for packet analysers; SSLKEYLOGFILE does the same
    #[arg(long, value_name = "FILE")]
    pub(crate) keylog: Option<PathBuf>,
}

/// Whom to trust; the system's certificate authorities when nothing is given.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct TrustArgs {
    /// Trust the certificate with this SHA-256, as browsers do with serverCertificateHashes
    #[arg(long, value_name = "HEX", value_parser = parse_hash)]
    pub(crate) cert_hash: Option<[u8; 32]>,
    /// Trust the authorities (or the very certificate) in this file (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Trust anybody: for tests only
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) insecure: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PatienceArgs {
    /// Seconds to wait: once for the connection and session, then for each sign of progress
    #[arg(long, value_name = "S", default_value = "10", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DialectArg {
    Auto,
    #[value(name = "02")]
    Draft02,
    #[value(name = "07")]
    Draft07,
    #[value(name = "13")]
    Draft13,
    #[value(name = "16")]
    Draft16,
}

impl DialectArg {
    pub(crate) const fn dialects(self) -> &'static [Dialect] {
        match self {
            Self::Auto => Dialect::ALL,
            Self::Draft02 => &[Dialect::Draft02],
            Self::Draft07 => &[Dialect::Draft07],
            Self::Draft13 => &[Dialect::Draft13],
            Self::Draft16 => &[Dialect::Draft16],
        }
    }
}

/// Prints help where it was asked for, else one line that says what is wrong.
pub(crate) fn report(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // A reader that went away needs no help.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(io::stderr(), "weftline: {}", one_line(error));
    ExitCode::from(USAGE)
}

/// clap explains in a paragraph, then come hints and the usage.
fn one_line(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let lines: Vec<_> = paragraph.lines().map(str::trim).collect();
    let what = lines.join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let tip = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("tip: "));
    Failure::new(what).advice(tip.unwrap_or("see --help"))
}

fn parse_hash(text: &str) -> Result<[u8; 32], String> {
    hash::parse_sha256(text).ok_or_else(|| {
        "a SHA-256 is 64 hexadecimal digits, with or without colons between the bytes".into()
    })
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    seconds
        .filter(|seconds| (0.001..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "give seconds from 0.001 to 86400".into())
}

fn parse_connections(text: &str) -> Result<usize, String> {
    let number: Option<usize> = text.parse().ok();
    number
        .filter(|number| (1..=1_000_000).contains(number))
        .ok_or_else(|| "give a number from 1 to 1000000".into())
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let number: Option<u64> = text.parse().ok();
    number
        .filter(|number| (1..=1 << 50).contains(number))
        .ok_or_else(|| "give a number of bytes from 1 to 2^50".into())
}

fn parse_concurrency(text: &str) -> Result<usize, String> {
    let number: Option<usize> = text.parse().ok();
    number
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| "give a number from 1 to 10000".into())
}

fn parse_size(text: &str) -> Result<usize, String> {
    let number: Option<usize> = text.parse().ok();
    number
        .filter(|number| *number <= 1 << 30)
        .ok_or_else(|| "give a number of bytes up to 2^30".into())
}

/// The rules of HTTP for names and values are the core's to check.
fn parse_header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        }
        _ => Err("write it as 'Name: value'".into()),
    }
}

const CONNECT_HELP: &str = "\
Texts are sent one after the other, each once the answer to the one before is there.
Without --bidi, --uni and --datagram, stdin goes onto one bidirectional stream and what comes back
goes to stdout as it is; the end of stdin ends the stream. With --json each line of it is an event.";

const BENCH_HELP: &str = "\
Every answer is checked, and what has none is compared with the server's count: a figure is never
of lost work. Latencies are in microseconds. At once and in size by default: bulk 1 of 8 MiB, echo
1 of 100 bytes, rpc 8 of 100, datagram 1 of 1000, handshake 8, streams 32 of 100, idle 100.";

/// The exit code for a wrong command line.
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn faults_are_one_line() {
        let cases: [(&[&str], &str); 9] = [
            (&[], "requires a subcommand"),
            (&["sevre"], "'serve'"),
            (&["serve", "--jsno"], "'--json'"),
            (&["serve", "--cert", "x"], "--key"),
            (&["connect"], "<URL>"),
            (&["connect", "http://a"], "must begin with https://"),
            (
                &["connect", "https://a", "--cert-hash", "12"],
                "64 hexadecimal digits",
            ),
            (
                &["get", "https://a", "--insecure", "--ca", "x"],
                "cannot be used with",
            ),
            (&["get", "https://a", "--timeout", "0"], "seconds"),
        ];
        for (args, expected) in cases {
            let args = std::iter::once("weftline").chain(args.iter().copied());
            let error = Cli::try_parse_from(args).unwrap_err();
            let line = one_line(&error).to_string();
            assert!(line.contains(expected), "{line}");
            assert!(!line.contains('\n') && !line.contains("\\n"), "{line}");
        }
    }

    #[test]
    fn headers_are_taken_apart() {
        let header = |text| parse_header(text).ok();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(header("Origin: https://a:1"), pair("origin", "https://a:1"));
        assert_eq!(header("x:"), pair("x", ""));
        assert_eq!(header("no colon"), None);
        assert_eq!(header(":path: /"), None);
    }

    #[test]
    fn seconds_may_have_a_fraction() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "NaN", "inf", "1e9", "", "ten"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
