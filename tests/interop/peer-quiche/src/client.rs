//! The client.

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use interop_endpoint::{self as interop, AT_ONCE, Case, Client, SERVER_NAME};
use quiche::{
    Config, Connection, ConnectionId, RecvInfo,
    h3::{self, Header, NameValue},
};

use crate::{Error, config, flush, random_id, receive, text};

pub(crate) fn run(args: &Client) -> Result<(), Error> {
    let mut session = None;
    if args.case != Case::MultiConnect {
        for paths in args.connections() {
            session = one(args, paths, session.as_deref())?;
        }
        return Ok(());
    }
    for some in args.paths.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let fetching: Vec<_> = some
                .chunks(1)
                .map(|path| scope.spawn(move || one(args, path, None)))
                .collect();
            let results = fetching.into_iter().map(|thread| thread.join());
            results
                .map(|result| result.map_err(|_| Error::from("a panic"))?.map(drop))
                .collect::<Result<(), Error>>()
        })?;
    }
    Ok(())
}

/// Fetches files over one connection, and returns the session to resume.
fn one(args: &Client, paths: &[String], session: Option<&[u8]>) -> Result<Option<Vec<u8>>, Error> {
    let mut config: Config = config(args.case)?;
    config.verify_peer(true);
    config.load_verify_locations_from_file(text(&args.ca)?)?;
    let socket = UdpSocket::bind(SocketAddr::new(args.connect.ip(), 0))?;
    let local = socket.local_addr()?;
    let id = random_id()?;
    let id = ConnectionId::from_ref(&id);
    let mut connection = quiche::connect(Some(SERVER_NAME), &id, local, args.connect, &mut config)?;
    if let Some(session) = session {
        connection.set_session(session)?;
    }
    let mut fetch = match args.case {
        Case::Http3 => Fetch::Http3(None, HashMap::new()),
        _ => Fetch::Http09(HashMap::new()),
    };
    let mut waiting = paths.to_vec();
    let mut buffer = vec![0; 65_536];
    let is_early = args.case == Case::ZeroRtt && session.is_some();
    // The ClientHello comes before early data.
    flush(&mut connection, &socket)?;
    while !connection.is_closed() {
        if connection.is_established() || (is_early && connection.is_in_early_data()) {
            fetch.ask(&mut connection, &mut waiting)?;
            fetch.read(&mut connection, &mut buffer)?;
            let is_resumable = args.connections().len() == 1 || connection.session().is_some();
            if waiting.is_empty() && fetch.is_done() && is_resumable {
                connection.close(true, fetch.no_error(), b"").ok();
            }
        }
        let timeout = flush(&mut connection, &socket)?;
        match receive(&socket, &mut buffer, timeout, Duration::from_secs(1))? {
            Some((len, from)) => {
                let info = RecvInfo { from, to: local };
                // What cannot be read is dropped.
                let _ = connection.recv(&mut buffer[..len], info);
            }
            None => connection.on_timeout(),
        }
    }
    if waiting.is_empty() && fetch.is_done() {
        return Ok(connection.session().map(<[u8]>::to_vec));
    }
    let (local, peer) = (connection.local_error(), connection.peer_error());
    Err(format!(
        "closed: {local:?} {peer:?}, timeout {}",
        connection.is_timed_out()
    )
    .into())
}

/// Files on their way, by stream.
enum Fetch {
    Http09(HashMap<u64, (String, Vec<u8>)>),
    Http3(Option<h3::Connection>, HashMap<u64, (String, Vec<u8>)>),
}

impl Fetch {
    fn ask(&mut self, connection: &mut Connection, waiting: &mut Vec<String>) -> Result<(), Error> {
        while let Some(path) = waiting.last() {
            match self {
                Self::Http09(files) => {
                    // Streams have numbers in the order of the requests.
                    let stream = files.len() as u64 * 4;
                    if connection.peer_streams_left_bidi() == 0 {
                        return Ok(());
                    }
                    let request = interop::request(path);
                    // All of it or nothing.
                    connection.stream_send(stream, b"", false)?;
                    if connection.stream_capacity(stream)? < request.len() {
                        return Ok(());
                    }
                    connection.stream_send(stream, &request, true)?;
                    files.insert(stream, (path.clone(), Vec::new()));
                }
                Self::Http3(http, files) => {
                    let http = match http {
                        Some(http) => http,
                        None => http.insert(h3::Connection::with_transport(
                            connection,
                            &h3::Config::new()?,
                        )?),
                    };
                    let headers = [
                        Header::new(b":method", b"GET"),
                        Header::new(b":scheme", b"https"),
                        Header::new(b":authority", SERVER_NAME.as_bytes()),
                        Header::new(b":path", path.as_bytes()),
                    ];
                    match http.send_request(connection, &headers, true) {
                        Ok(stream) => files.insert(stream, (path.clone(), Vec::new())),
                        Err(h3::Error::StreamBlocked) => return Ok(()),
                        Err(error) => return Err(error.into()),
                    };
                }
            }
            waiting.pop();
        }
        Ok(())
    }

    fn read(&mut self, connection: &mut Connection, buffer: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::Http09(files) => {
                for stream in connection.readable() {
                    while let Ok((len, fin)) = connection.stream_recv(stream, buffer) {
                        let file = files.get_mut(&stream).ok_or("a stream of the server's")?;
                        file.1.extend_from_slice(&buffer[..len]);
                        if fin {
                            interop::check(&file.0, &file.1)?;
                            *file = (String::new(), Vec::new());
                        }
                    }
                }
            }
            Self::Http3(Some(http), files) => loop {
                match http.poll(connection) {
                    Ok((_, h3::Event::Headers { list, .. })) => {
                        let status = list.iter().find(|header| header.name() == b":status");
                        if status.is_none_or(|status| status.value() != b"200") {
                            return Err(format!("{list:?}").into());
                        }
                    }
                    Ok((stream, h3::Event::Data)) => {
                        let file = files.get_mut(&stream).ok_or("an unknown stream")?;
                        while let Ok(len) = http.recv_body(connection, stream, buffer) {
                            file.1.extend_from_slice(&buffer[..len]);
                        }
                    }
                    Ok((stream, h3::Event::Finished)) => {
                        let file = files.get_mut(&stream).ok_or("an unknown stream")?;
                        interop::check(&file.0, &file.1)?;
                        *file = (String::new(), Vec::new());
                    }
                    Ok((_, h3::Event::Reset(code))) => return Err(format!("reset {code}").into()),
                    Ok(_) => {}
                    Err(h3::Error::Done) => break,
                    Err(error) => return Err(error.into()),
                }
            },
            Self::Http3(None, _) => {}
        }
        Ok(())
    }

    /// Whether every file that was asked for has come. Those have no name any more.
    fn is_done(&self) -> bool {
        let (Self::Http09(files) | Self::Http3(_, files)) = self;
        files.values().all(|(path, _)| path.is_empty())
    }

    fn no_error(&self) -> u64 {
        match self {
            Self::Http09(_) => 0,
            Self::Http3(..) => 0x100,
        }
    }
}
