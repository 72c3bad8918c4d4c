//! The server.

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use interop_endpoint::{self as interop, Case, Server};
use quiche::{
    Config, Connection, ConnectionId, PathEvent, RecvInfo, Type,
    h3::{self, Header, NameValue},
};

use crate::{Error, config, flush, random_id, receive, text};

/// Connections by number, and their numbers by connection ID.
struct Clients {
    all: HashMap<u64, Peer>,
    by_id: HashMap<ConnectionId<'static>, u64>,
    next: u64,
}

struct Peer {
    connection: Connection,
    http: Option<h3::Connection>,
    requests: HashMap<u64, Vec<u8>>,
    /// What is left to send.
    files: HashMap<u64, (Vec<u8>, usize)>,
}

pub(crate) fn run(args: &Server) -> Result<(), Error> {
    let mut config = config(args.case)?;
    config.load_cert_chain_from_pem_file(text(&args.cert)?)?;
    config.load_priv_key_from_pem_file(text(&args.key)?)?;
    let socket = UdpSocket::bind(args.listen)?;
    let local = socket.local_addr()?;
    interop::listening(local);
    let mut clients = Clients {
        all: HashMap::new(),
        by_id: HashMap::new(),
        next: 0,
    };
    let mut buffer = vec![0; 65_536];
    loop {
        let mut timeout = None;
        for peer in clients.all.values_mut() {
            peer.turn(&mut buffer)?;
            let next = flush(&mut peer.connection, &socket)?;
            timeout = timeout.into_iter().chain(next).min();
        }
        clients.settle()?;
        match receive(&socket, &mut buffer, timeout, Duration::from_secs(1))? {
            Some((len, from)) => {
                let datagram = &mut buffer[..len];
                let info = RecvInfo { from, to: local };
                if let Some(number) = clients.find(args, &mut config, &socket, datagram, info)?
                    && let Some(peer) = clients.all.get_mut(&number)
                {
                    // What cannot be read is dropped.
                    let _ = peer.connection.recv(datagram, info);
                }
            }
            None => {
                for peer in clients.all.values_mut() {
                    if peer.connection.timeout().is_some_and(|left| left.is_zero()) {
                        peer.connection.on_timeout();
                    }
                }
            }
        }
    }
}

impl Clients {
    /// Whom a datagram is for; a new client if it begins a connection.
    fn find(
        &mut self,
        args: &Server,
        config: &mut Config,
        socket: &UdpSocket,
        datagram: &mut [u8],
        info: RecvInfo,
    ) -> Result<Option<u64>, Error> {
        let Ok(header) = quiche::Header::from_slice(datagram, quiche::MAX_CONN_ID_LEN) else {
            return Ok(None);
        };
        if let Some(number) = self.by_id.get(&header.dcid) {
            return Ok(Some(*number));
        }
        if header.ty != Type::Initial {
            return Ok(None);
        }
        let mut out = [0; 1200];
        if !quiche::version_is_supported(header.version) {
            let len = quiche::negotiate_version(&header.scid, &header.dcid, &mut out)?;
            socket.send_to(&out[..len], info.from)?;
            return Ok(None);
        }
        let id = random_id()?;
        let mut id = ConnectionId::from_ref(&id);
        let token = header.token.as_deref().unwrap_or_default();
        let mut original = None;
        if args.case == Case::Retry {
            if token.is_empty() {
                let token = [address(info.from).as_slice(), &header.dcid].concat();
                let len = quiche::retry(
                    &header.scid,
                    &header.dcid,
                    &id,
                    &token,
                    header.version,
                    &mut out,
                )?;
                socket.send_to(&out[..len], info.from)?;
                return Ok(None);
            }
            let Some(cid) = token.strip_prefix(address(info.from).as_slice()) else {
                return Ok(None);
            };
            original = Some(ConnectionId::from_ref(cid));
            id = header.dcid.clone();
        }
        let connection = quiche::accept(&id, original.as_ref(), info.to, info.from, config)?;
        let number = self.next;
        self.next += 1;
        self.by_id.insert(header.dcid.clone().into_owned(), number);
        self.by_id.insert(id.into_owned(), number);
        self.all.insert(
            number,
            Peer {
                connection,
                http: None,
                requests: HashMap::new(),
                files: HashMap::new(),
            },
        );
        Ok(Some(number))
    }

    /// Gives out connection IDs, and forgets who is gone.
    fn settle(&mut self) -> Result<(), Error> {
        for (number, peer) in &mut self.all {
            while peer.connection.scids_left() > 0 {
                let id = random_id()?;
                let id = ConnectionId::from_ref(&id).into_owned();
                let token = u128::from_be_bytes(random_id()?[..16].try_into()?);
                if peer.connection.new_scid(&id, token, false).is_err() {
                    break;
                }
                self.by_id.insert(id, *number);
            }
            while let Some(retired) = peer.connection.retired_scid_next() {
                self.by_id.remove(&retired);
            }
        }
        self.all.retain(|_, peer| !peer.connection.is_closed());
        self.by_id.retain(|_, number| self.all.contains_key(number));
        Ok(())
    }
}

impl Peer {
    fn turn(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let connection = &mut self.connection;
        while let Some(event) = connection.path_event_next() {
            if let PathEvent::New(local, peer) = event {
                connection.probe_path(local, peer)?;
            }
        }
        if !connection.is_established() && !connection.is_in_early_data() {
            return Ok(());
        }
        if connection.application_proto() == interop::H3 {
            self.http3()?;
        } else {
            self.http09(buffer);
        }
        for (stream, (file, sent)) in &mut self.files {
            let rest = &file[*sent..];
            let taken = match &mut self.http {
                Some(http) => http
                    .send_body(&mut self.connection, *stream, rest, true)
                    .ok(),
                None => self.connection.stream_send(*stream, rest, true).ok(),
            };
            *sent += taken.unwrap_or(0);
        }
        self.files.retain(|_, (file, sent)| *sent < file.len());
        Ok(())
    }

    fn http09(&mut self, buffer: &mut [u8]) {
        for stream in self.connection.readable() {
            while let Ok((len, fin)) = self.connection.stream_recv(stream, buffer) {
                let request = self.requests.entry(stream).or_default();
                request.extend_from_slice(&buffer[..len]);
                if fin && let Some(file) = interop::requested(request).and_then(interop::file) {
                    self.files.insert(stream, (file, 0));
                }
            }
        }
    }

    fn http3(&mut self) -> Result<(), Error> {
        let http = match &mut self.http {
            Some(http) => http,
            None => {
                let config = h3::Config::new()?;
                self.http.insert(h3::Connection::with_transport(
                    &mut self.connection,
                    &config,
                )?)
            }
        };
        while let Ok((stream, event)) = http.poll(&mut self.connection) {
            let h3::Event::Headers { list, .. } = event else {
                continue;
            };
            let path = list.iter().find(|header| header.name() == b":path");
            let path = path.and_then(|path| std::str::from_utf8(path.value()).ok());
            let file = path.and_then(interop::file);
            let status: &[u8] = if file.is_some() { b"200" } else { b"404" };
            let headers = [Header::new(b":status", status)];
            http.send_response(&mut self.connection, stream, &headers, file.is_none())?;
            if let Some(file) = file {
                self.files.insert(stream, (file, 0));
            }
        }
        Ok(())
    }
}

fn address(address: SocketAddr) -> Vec<u8> {
    address.to_string().into_bytes()
}
