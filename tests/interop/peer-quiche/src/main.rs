//! quiche as an endpoint of the matrix.

mod client;
mod server;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use interop_endpoint::{self as interop, Case, Role};
use quiche::{Config, Connection};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() {
    match interop::role() {
        Role::Server(args) => {
            refuse(args.case);
            if args.case == Case::ConnectionMigration {
                interop::unsupported("preferred addresses");
            }
            if let Err(error) = server::run(&args) {
                interop::finish(Err(error.to_string()));
            }
        }
        Role::Client(args) => {
            refuse(args.case);
            match args.case {
                Case::ConnectionMigration => interop::unsupported("preferred addresses"),
                Case::KeyUpdate => interop::unsupported("updating keys when asked to"),
                Case::ChaCha20 => interop::unsupported("choosing cipher suites"),
                _ => {}
            }
            interop::finish(client::run(&args).map_err(|error| error.to_string()));
        }
    }
}

fn refuse(case: Case) {
    match case {
        Case::V2 => interop::unsupported("QUIC v2"),
        Case::Ecn => interop::unsupported("ECN"),
        _ => {}
    }
}

fn config(case: Case) -> Result<Config, Error> {
    let mut config = Config::new(quiche::PROTOCOL_VERSION)?;
    config.set_application_protos(&[case.alpn()])?;
    config.set_max_idle_timeout(120_000);
    config.set_initial_max_streams_bidi(100);
    config.set_initial_max_streams_uni(10);
    let (stream, connection) = match case {
        Case::Transfer => (128 << 10, 256 << 10),
        _ => (1 << 20, 10 << 20),
    };
    config.set_initial_max_data(connection);
    config.set_initial_max_stream_data_bidi_local(stream);
    config.set_initial_max_stream_data_bidi_remote(stream);
    config.set_initial_max_stream_data_uni(stream);
    config.set_active_connection_id_limit(4);
    if case == Case::ZeroRtt {
        config.enable_early_data();
    }
    Ok(config)
}

/// Waits for a datagram until then, or for the given time at most.
fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    until: Option<Instant>,
    at_most: Duration,
) -> Result<Option<(usize, SocketAddr)>, Error> {
    let now = Instant::now();
    let wait = until.map_or(at_most, |until| until.saturating_duration_since(now));
    // A timeout of zero would be none.
    socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), at_most)))?;
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends what the connection has to say now, and returns when it wants to say more.
fn flush(connection: &mut Connection, socket: &UdpSocket) -> Result<Option<Instant>, Error> {
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        match connection.send(&mut buffer) {
            Ok((len, info)) => {
                // Its pacing, where it is not just a moment.
                let wait = info.at.saturating_duration_since(Instant::now());
                if wait > Duration::from_millis(1) {
                    std::thread::sleep(wait.min(Duration::from_millis(5)));
                }
                socket.send_to(&buffer[..len], info.to)?;
            }
            Err(quiche::Error::Done) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(connection.timeout_instant())
}

/// A connection ID of random bytes, as the system's entropy gives them.
fn random_id() -> Result<[u8; quiche::MAX_CONN_ID_LEN], Error> {
    let mut id = [0; quiche::MAX_CONN_ID_LEN];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut id)?;
    Ok(id)
}

fn text(path: &Path) -> Result<&str, Error> {
    path.to_str()
        .ok_or_else(|| "a path that is not UTF-8".into())
}

const MAX_DATAGRAM: usize = 1350;
