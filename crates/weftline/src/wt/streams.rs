//! The streams of sessions: headers, credit, and the application's codes (draft-16, sections 4.2
//! to 4.4). Their data never comes here: it is read from and written to QUIC.

use bytes::Bytes;

use super::{
    Io, Layer, SessionId, codes,
    credit::{Kind, Violation},
    dialect,
    stream::{Blocked, Header, Stream},
};
use crate::{
    error::{Fault, OpenError, ReadError, WriteError},
    event::Event,
    quic::{ReadFail, StreamChange, WriteFail},
    wire::{
        Dir, Side, StreamId,
        h3::{Varints, error_code},
    },
};

impl Layer {
    /// Opens a stream.
    pub(crate) fn open_stream(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
        dir: Dir,
    ) -> Result<StreamId, OpenError> {
        let session = self.open_session(id).ok_or(OpenError::NotOpen)?;
        let kind = Kind::Streams(dir);
        if let Some(credit) = &mut session.credit
            && credit.available(kind) == 0
        {
            credit.on_blocked(kind);
            session.wanted.set(dir);
            self.flush(io, id);
            return Err(OpenError::Limit);
        }
        let stream = io.quic.open(dir).ok_or(OpenError::Limit)?;
        session.stats.streams_opened += 1;
        if let Some(credit) = &mut session.credit {
            credit.spend(kind, 1);
            io.quic.watch(stream);
        }
        let marker = match dir {
            Dir::Bi => dialect::BIDI_SIGNAL,
            Dir::Uni => dialect::UNI_STREAM,
        };
        let header = Varints::new([marker, id.stream().as_u64()]);
        let mut entry = Stream::new(id, 0, header.len() as u64);
        let written = io.quic.write(stream, &header).unwrap_or(0);
        if let Some(rest) = header.get(written..).filter(|rest| !rest.is_empty()) {
            entry.header = Header::Rest(rest.to_vec());
        }
        self.streams.insert(stream, entry);
        Ok(stream)
    }

    /// Bytes that a write would take now; if none, the application hears of room as after a refused
    /// write.
    pub(crate) fn writable(&mut self, io: &mut Io<'_>, id: StreamId) -> usize {
        let room = self.room(io, id);
        // The same that a write does, but for the write.
        if room == 0
            && self.begin_write(io, id, 1).is_ok()
            && let Some(stream) = self.streams.get_mut(&id)
        {
            stream.blocked = Blocked::ByQuic;
            io.quic.want_room(id);
        }
        room
    }

    fn room(&self, io: &Io<'_>, id: StreamId) -> usize {
        let Some(stream) = self.streams.get(&id) else {
            return 0;
        };
        let session = self.sessions.get(&stream.session);
        let credit = session.and_then(|session| session.credit.as_ref());
        let room = io.quic.writable(id).saturating_sub(stream.header.len());
        credit.map_or(room, |credit| {
            usize::try_from(credit.available(Kind::Data)).map_or(room, |credit| room.min(credit))
        })
    }

    /// Writes a copy of as much of `data` as there is room and credit for.
    pub(crate) fn write(
        &mut self,
        io: &mut Io<'_>,
        id: StreamId,
        data: &[u8],
    ) -> Result<usize, WriteError> {
        let allowed = self.begin_write(io, id, data.len())?;
        let (data, _) = data.split_at_checked(allowed).unwrap_or((data, &[]));
        let result = io.quic.write(id, data);
        self.on_written(id, result)
    }

    /// Like [`Self::write`], without the copy.
    pub(crate) fn write_bytes(
        &mut self,
        io: &mut Io<'_>,
        id: StreamId,
        mut data: Bytes,
    ) -> Result<usize, WriteError> {
        let allowed = self.begin_write(io, id, data.len())?;
        data.truncate(allowed);
        let result = io.quic.write_bytes(id, data);
        self.on_written(id, result)
    }

    /// Ends the data of a stream.
    pub(crate) fn finish(&mut self, io: &mut Io<'_>, id: StreamId) -> Result<(), WriteError> {
        let stream = self.streams.get_mut(&id).ok_or(WriteError::UnknownStream)?;
        if !stream.write_header(io, id) {
            stream.blocked = Blocked::ByQuic;
            return Err(WriteError::Blocked);
        }
        io.quic.finish(id).map_err(write_error)
    }

    /// Drops what was not delivered past the first `reliable` bytes, with the application's code.
    pub(crate) fn reset_at(&mut self, io: &mut Io<'_>, id: StreamId, code: u32, reliable: u64) {
        if let Some(stream) = self.streams.get(&id) {
            // Our header must arrive, or the peer cannot tell whose stream this was.
            let header = match stream.header {
                Header::Written => stream.header_out.saturating_add(reliable),
                Header::Rest(_) => 0,
            };
            io.quic.reset_at(id, codes::to_wire(code), header);
        }
    }

    /// Wants no more data, with the application's code.
    pub(crate) fn stop(&mut self, io: &mut Io<'_>, id: StreamId, code: u32) {
        if self.streams.contains_key(&id) {
            io.quic.stop(id, codes::to_wire(code));
        }
    }

    /// Takes up to `max` bytes of what arrived; `None` at the end.
    pub(crate) fn read(
        &mut self,
        io: &mut Io<'_>,
        id: StreamId,
        max: usize,
    ) -> Result<Option<Bytes>, ReadError> {
        if !self.streams.contains_key(&id) {
            return Err(ReadError::UnknownStream);
        }
        let result = io.quic.read(id, max);
        let len = match &result {
            Ok(data) => Ok(data.as_ref().map_or(0, Bytes::len)),
            Err(fail) => Err(*fail),
        };
        self.on_read(io, id, len);
        result.map_err(read_error)
    }

    /// Copies what arrived into `out`; gives how much, `None` at the end.
    pub(crate) fn read_into(
        &mut self,
        io: &mut Io<'_>,
        id: StreamId,
        out: &mut [u8],
    ) -> Result<Option<usize>, ReadError> {
        if !self.streams.contains_key(&id) {
            return Err(ReadError::UnknownStream);
        }
        let result = io.quic.read_into(id, out);
        self.on_read(io, id, result.map(|len| len.unwrap_or(0)));
        result.map_err(read_error)
    }

    /// The session a stream belongs to.
    pub(crate) fn session_of(&self, id: StreamId) -> Option<SessionId> {
        self.streams.get(&id).map(|stream| stream.session)
    }

    /// A stream arrived that names a session.
    pub(super) fn on_foreign(
        &mut self,
        io: &mut Io<'_>,
        id: StreamId,
        session: u64,
        header_len: u64,
    ) -> Result<(), Fault> {
        let connect = StreamId::from_u64(session);
        if (connect.initiator(), connect.dir()) != (Side::Client, Dir::Bi) {
            return Err(Fault::http(
                error_code::H3_ID_ERROR,
                "a stream names a session that cannot be",
            ));
        }
        let session = SessionId(connect);
        match self.sessions.get(&session) {
            Some(known) if known.is_open() => self.adopt(io, session, id, header_len),
            Some(known) if known.state.is_live() => self.hold(io, session, id, header_len),
            Some(known) => refuse(io, id, known.gone_code()),
            None => match self.pending.ended_with(session) {
                Some(code) => refuse(io, id, code),
                None if self.may_come(session) => self.hold(io, session, id, header_len),
                None => refuse(io, id, dialect::WT_BUFFERED_STREAM_REJECTED),
            },
        }
        Ok(())
    }

    /// The streams that waited for a session become its own.
    pub(super) fn adopt_waiting(&mut self, io: &mut Io<'_>, session: SessionId) {
        while let Some((id, header_len)) = self.pending.take_stream(session) {
            // An earlier one may have ended the session.
            match self.sessions.get(&session) {
                Some(known) if known.is_open() => self.adopt(io, session, id, header_len),
                _ => refuse(io, id, dialect::WT_SESSION_GONE),
            }
        }
    }

    /// Something happened to a stream that is not HTTP/3's.
    pub(super) fn on_stream(&mut self, io: &mut Io<'_>, change: StreamChange) {
        match change {
            StreamChange::Available(dir) => io.events.push_back(Event::StreamsAvailable(dir)),
            StreamChange::Readable(id) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.tell(io, id);
                }
            }
            StreamChange::Writable(id) => self.on_writable(io, id),
            StreamChange::Stopped { id, code } if self.streams.contains_key(&id) => {
                let code = codes::from_wire(code);
                io.events.push_back(Event::StreamStopped(id, code));
            }
            StreamChange::Finished(id) if self.streams.contains_key(&id) => {
                io.events.push_back(Event::StreamFinished(id));
            }
            StreamChange::BufferLow(id) => io.events.push_back(Event::BufferLow(id)),
            StreamChange::Received(id) => self.charge_received(io, id),
            StreamChange::Closed { id, sent, received } => {
                self.pending.forget_stream(id);
                self.over.remove(&id);
                self.on_closed(io, id, sent, received);
            }
            // Not of a session (any more).
            StreamChange::Stopped { .. } | StreamChange::Finished(_) | StreamChange::Opened(_) => {}
        }
    }

    /// Ends every stream of a session.
    pub(super) fn drop_streams(&mut self, io: &mut Io<'_>, session: SessionId, code: u64) {
        self.streams.retain(|&id, stream| {
            let keep = stream.session != session;
            if !keep {
                refuse(io, id, code);
            }
            keep
        });
        while let Some((id, _)) = self.pending.take_stream(session) {
            refuse(io, id, code);
        }
        while self.pending.take_datagram(session).is_some() {}
    }

    /// Writers that waited for the session's credit may go on.
    pub(super) fn wake_writers(&mut self, io: &mut Io<'_>, session: SessionId) {
        let waiting = self
            .streams
            .iter_mut()
            .filter(|(_, s)| s.session == session && s.blocked == Blocked::ByCredit);
        for (&id, stream) in waiting {
            stream.blocked = Blocked::No;
            io.events.push_back(Event::Writable(id));
        }
    }

    fn hold(&mut self, io: &mut Io<'_>, session: SessionId, id: StreamId, header_len: u64) {
        let held = self.pending.add_stream(self.now, session, id, header_len);
        if held.is_err() {
            refuse(io, id, dialect::WT_BUFFERED_STREAM_REJECTED);
        }
    }

    fn adopt(&mut self, io: &mut Io<'_>, id: SessionId, stream: StreamId, header_len: u64) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.stats.streams_accepted += 1;
        if let Some(credit) = &mut session.credit {
            if let Err(violation) = credit.on_used(Kind::Streams(stream.dir()), 1) {
                refuse(io, stream, session.gone_code());
                return self.on_violation(io, id, violation);
            }
            io.quic.watch(stream);
        }
        let mut entry = Stream::new(id, header_len, 0);
        io.events.push_back(Event::StreamOpened(id, stream));
        if io.quic.is_readable(stream) {
            entry.tell(io, stream);
        } else {
            // Gives `Blocked`, which makes QUIC tell when there is something.
            let _ = io.quic.read(stream, 0);
        }
        self.streams.insert(stream, entry);
        self.charge_received(io, stream);
    }

    /// Room for a write of `len` bytes by the session's credit; the header goes first.
    fn begin_write(
        &mut self,
        io: &mut Io<'_>,
        id: StreamId,
        len: usize,
    ) -> Result<usize, WriteError> {
        let stream = self.streams.get_mut(&id).ok_or(WriteError::UnknownStream)?;
        if !stream.write_header(io, id) {
            stream.blocked = Blocked::ByQuic;
            return Err(WriteError::Blocked);
        }
        let session_id = stream.session;
        let session = self.sessions.get_mut(&session_id);
        let Some(credit) = session.and_then(|session| session.credit.as_mut()) else {
            return Ok(len);
        };
        let available = credit.available(Kind::Data);
        if available > 0 || len == 0 {
            return Ok(usize::try_from(available).map_or(len, |available| available.min(len)));
        }
        // What QUIC says goes first: that the stream is stopped or finished.
        io.quic.write(id, &[]).map_err(write_error)?;
        credit.on_blocked(Kind::Data);
        stream.blocked = Blocked::ByCredit;
        self.flush(io, session_id);
        Err(WriteError::Blocked)
    }

    fn on_written(
        &mut self,
        id: StreamId,
        result: Result<usize, WriteFail>,
    ) -> Result<usize, WriteError> {
        let stream = self.streams.get_mut(&id).ok_or(WriteError::UnknownStream)?;
        let len = result.map_err(|fail| {
            if fail == WriteFail::Blocked {
                stream.blocked = Blocked::ByQuic;
            }
            write_error(fail)
        })?;
        if let Some(session) = self.sessions.get_mut(&stream.session) {
            session.stats.stream_bytes_written += len as u64;
            if let Some(credit) = &mut session.credit {
                stream.charged_out += len as u64;
                credit.spend(Kind::Data, len as u64);
            }
        }
        Ok(len)
    }

    fn on_read(&mut self, io: &mut Io<'_>, id: StreamId, result: Result<usize, ReadFail>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let len = match result {
            Ok(len) => len as u64,
            Err(ReadFail::Blocked) => {
                stream.told = false;
                return;
            }
            Err(ReadFail::Reset(_) | ReadFail::Unknown) => return,
        };
        let session_id = stream.session;
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        session.stats.stream_bytes_read += len;
        if let Some(credit) = &mut session.credit {
            stream.freed += len;
            credit.on_freed(Kind::Data, len);
            if credit.limit_to_say(Kind::Data).is_some() {
                self.flush(io, session_id);
            }
        }
    }

    fn on_writable(&mut self, io: &mut Io<'_>, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.write_header(io, id) || stream.blocked != Blocked::ByQuic {
            return;
        }
        let session = self.sessions.get_mut(&stream.session);
        let credit = session.and_then(|session| session.credit.as_mut());
        match credit {
            Some(credit) if credit.available(Kind::Data) == 0 => {
                credit.on_blocked(Kind::Data);
                stream.blocked = Blocked::ByCredit;
                self.unflushed = true;
            }
            _ => {
                stream.blocked = Blocked::No;
                io.events.push_back(Event::Writable(id));
            }
        }
    }

    /// Charges what the peer sent on a stream since the last time.
    fn charge_received(&mut self, io: &mut Io<'_>, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some(received) = io.quic.received(id) {
            let session = stream.session;
            if let Err(violation) = self.charge(id, received) {
                self.on_violation(io, session, violation);
            }
        }
    }

    fn charge(&mut self, id: StreamId, received: u64) -> Result<(), Violation> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let session = self.sessions.get_mut(&stream.session);
        let Some(credit) = session.and_then(|session| session.credit.as_mut()) else {
            return Ok(());
        };
        let body = received.saturating_sub(stream.header_in);
        let more = body.saturating_sub(stream.charged_in);
        stream.charged_in += more;
        credit.on_used(Kind::Data, more)
    }

    /// QUIC is done with a stream: its final sizes settle what it cost.
    fn on_closed(&mut self, io: &mut Io<'_>, id: StreamId, sent: u64, received: u64) {
        let charged = self.charge(id, received);
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        let session_id = stream.session;
        if let Err(violation) = charged {
            return self.on_violation(io, session_id, violation);
        }
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Some(credit) = &mut session.credit else {
            return;
        };
        credit.on_freed(Kind::Data, stream.charged_in.saturating_sub(stream.freed));
        if id.initiator() != self.side {
            credit.on_freed(Kind::Streams(id.dir()), 1);
        }
        // What a reset dropped before it was sent does not count; nor does a stream whose header
        // was dropped, of which the peer knows no session.
        let body = sent.saturating_sub(stream.header_out);
        let unsent = stream.charged_out.saturating_sub(body);
        credit.unspend(Kind::Data, unsent);
        if id.initiator() == self.side && sent < stream.header_out {
            credit.unspend(Kind::Streams(id.dir()), 1);
            if session.wanted.take(id.dir()) {
                io.events.push_back(Event::StreamsAvailable(id.dir()));
            }
        }
        if unsent > 0 {
            self.wake_writers(io, session_id);
        }
        self.flush(io, session_id);
    }
}

/// Takes nothing of a stream and gives nothing to it.
pub(super) fn refuse(io: &mut Io<'_>, id: StreamId, code: u64) {
    io.quic.reset(id, code);
    io.quic.stop(id, code);
}

fn write_error(fail: WriteFail) -> WriteError {
    match fail {
        WriteFail::Blocked => WriteError::Blocked,
        WriteFail::Stopped(code) => WriteError::Stopped(codes::from_wire(code)),
        WriteFail::Finished => WriteError::Finished,
        WriteFail::Unknown => WriteError::UnknownStream,
    }
}

fn read_error(fail: ReadFail) -> ReadError {
    match fail {
        ReadFail::Blocked => ReadError::Blocked,
        ReadFail::Reset(code) => ReadError::Reset(codes::from_wire(code)),
        ReadFail::Unknown => ReadError::UnknownStream,
    }
}
