//! What `event` promises about the order of events, under random use of two ends over a network
//! that loses datagrams.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec,
};
use core::time::Duration;

use proptest::prelude::*;

use super::pair::{End, Options, Pair};
use crate::{
    Event,
    config::Limits,
    error::{ReadError, WriteError},
    h3::{Fields, RequestHead, ResponseHead},
    wire::{Dir, Side, StreamId},
    wt::{SessionId, SessionRequest},
};

#[derive(Clone, Debug)]
enum Op {
    Run(u8),
    RequestSession,
    Answer { accept: bool },
    Close(u8),
    Drain(u8),
    Open(u8, bool),
    Write(u8, u16),
    Finish(u8),
    Reset(u8),
    Stop(u8),
    Read(u8, u16),
    SendDatagram(u8),
    RecvDatagram(u8),
    Request,
    Respond(u8),
    GoAway,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..40u8).prop_map(Op::Run),
        1 => Just(Op::RequestSession),
        2 => prop::bool::weighted(0.9).prop_map(|accept| Op::Answer { accept }),
        1 => (any::<u8>(), 0..4u8).prop_map(|(n, rare)| if rare > 0 { Op::Run(3) } else { Op::Close(n) }),
        1 => any::<u8>().prop_map(Op::Drain),
        6 => any::<(u8, bool)>().prop_map(|(n, bi)| Op::Open(n, bi)),
        12 => (any::<u8>(), 1..3000u16).prop_map(|(n, len)| Op::Write(n, len)),
        2 => any::<u8>().prop_map(Op::Finish),
        1 => any::<u8>().prop_map(Op::Reset),
        1 => any::<u8>().prop_map(Op::Stop),
        12 => (any::<u8>(), 1..3000u16).prop_map(|(n, len)| Op::Read(n, len)),
        3 => any::<u8>().prop_map(Op::SendDatagram),
        3 => any::<u8>().prop_map(Op::RecvDatagram),
        1 => Just(Op::Request),
        1 => any::<u8>().prop_map(Op::Respond),
        1 => prop::bool::weighted(0.05).prop_map(|go| if go { Op::GoAway } else { Op::Run(1) }),
    ]
}

/// One application, and what it was told.
#[derive(Default)]
struct App {
    side: Option<Side>,
    sessions: BTreeMap<SessionId, Told>,
    streams: BTreeMap<StreamId, Stream>,
    requests: BTreeSet<StreamId>,
    connected: bool,
    closed: bool,
    /// Whether an `Available` is owed.
    wants: [bool; 2],
    going_away: usize,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Told {
    /// Asked for by us.
    Asked,
    /// Server: the application is asked.
    Offered,
    Open,
    /// Closed by us, and the end not told.
    Closing,
    Over,
}

#[derive(Default)]
struct Stream {
    session: Option<SessionId>,
    readable: bool,
    /// Blocked in writing, and not told otherwise.
    blocked: bool,
    stopped: bool,
    finished: bool,
}

impl App {
    fn hear(&mut self, event: &Event) {
        assert!(!self.closed, "{event:?} after the end");
        match event {
            Event::Connected => assert!(!core::mem::replace(&mut self.connected, true)),
            Event::SessionRequested(id, _) => {
                assert_eq!(self.side, Some(Side::Server));
                assert!(self.sessions.insert(*id, Told::Offered).is_none());
            }
            Event::SessionReady(id, _) => {
                assert_eq!(self.sessions.insert(*id, Told::Open), Some(Told::Asked));
            }
            Event::SessionRejected(id, _) => {
                assert_eq!(self.sessions.insert(*id, Told::Over), Some(Told::Asked));
            }
            Event::SessionDraining(id) => self.assert_told(*id, &[Told::Open]),
            Event::SessionClosed(id, _) => {
                let before = self.sessions.insert(*id, Told::Over);
                assert!(matches!(
                    before,
                    Some(Told::Asked | Told::Offered | Told::Open | Told::Closing)
                ));
                self.forget(*id);
            }
            Event::StreamOpened(session, id) => {
                self.assert_told(*session, &[Told::Open]);
                let stream = Stream {
                    session: Some(*session),
                    ..Stream::default()
                };
                assert!(self.streams.insert(*id, stream).is_none());
                assert_ne!(Some(id.initiator()), self.side);
            }
            Event::Datagrams(session) => self.assert_told(*session, &[Told::Open]),
            Event::PathChanged(change) => panic!("nobody moves, but {change:?}"),
            Event::Readable(id) => {
                let stream = self.stream(*id, event);
                assert!(
                    !core::mem::replace(&mut stream.readable, true),
                    "told twice: {event:?}"
                );
            }
            Event::Writable(id) => {
                let stream = self.stream(*id, event);
                assert!(
                    core::mem::replace(&mut stream.blocked, false),
                    "not blocked: {event:?}"
                );
            }
            Event::BufferLow(id) => {
                self.stream(*id, event);
            }
            Event::StreamFinished(id) => {
                let stream = self.stream(*id, event);
                assert!(!core::mem::replace(&mut stream.finished, true));
            }
            Event::StreamStopped(id, _) => {
                let stream = self.stream(*id, event);
                assert!(!core::mem::replace(&mut stream.stopped, true));
            }
            Event::StreamsAvailable(dir) => {
                self.wants[*dir as usize] = false;
            }
            Event::Request(id, _) => {
                assert!(self.streams.insert(*id, Stream::default()).is_none());
                self.requests.insert(*id);
            }
            Event::Response(id, _) | Event::RequestFailed(id, _) => {
                self.stream(*id, event);
            }
            Event::GoingAway => {
                self.going_away += 1;
                assert_eq!(self.going_away, 1);
            }
            Event::RawStreamOpened(_) | Event::RawStreamStopped(..) | Event::RawDatagrams => {
                panic!("{event:?} on a connection of HTTP/3");
            }
            Event::Closed(_) => self.closed = true,
        }
    }

    fn stream(&mut self, id: StreamId, event: &Event) -> &mut Stream {
        let sessions = &self.sessions;
        let stream = self.streams.get_mut(&id);
        let stream =
            stream.unwrap_or_else(|| panic!("{event:?} before its stream, or after its end"));
        if let Some(session) = stream.session {
            assert_eq!(sessions.get(&session), Some(&Told::Open), "{event:?}");
        }
        stream
    }

    fn assert_told(&self, session: SessionId, states: &[Told]) {
        let told = self.sessions.get(&session);
        assert!(
            told.is_some_and(|told| states.contains(told)),
            "{session:?} is {told:?}"
        );
    }

    /// The session is over: nothing may be told of its streams.
    fn forget(&mut self, session: SessionId) {
        self.streams
            .retain(|_, stream| stream.session != Some(session));
    }

    fn pick_session(&self, n: u8, state: Told) -> Option<SessionId> {
        let mut fit = self.sessions.iter().filter(|(_, told)| **told == state);
        let count = fit.clone().count();
        fit.nth(usize::from(n) % count.max(1)).map(|(id, _)| *id)
    }

    fn pick_stream(&self, n: u8) -> Option<StreamId> {
        self.streams
            .keys()
            .nth(usize::from(n) % self.streams.len().max(1))
            .copied()
    }
}

fn act(app: &mut App, end: &mut End, op: &Op) {
    let conn = &mut end.conn;
    match *op {
        Op::Run(_) => {}
        Op::RequestSession => {
            if let Ok(id) = conn.request_session(SessionRequest::new("a", "/")) {
                assert!(app.sessions.insert(id, Told::Asked).is_none());
            }
        }
        Op::Answer { accept } => {
            let Some(id) = app.pick_session(0, Told::Offered) else {
                return;
            };
            if accept {
                // It may be over, and that on its way to the application.
                if conn.accept_session(id, None).is_ok() {
                    app.sessions.insert(id, Told::Open);
                }
            } else if conn.reject_session(id, 404, Fields::new()).is_ok() {
                app.sessions.insert(id, Told::Over);
            }
        }
        Op::Close(n) => {
            let Some(id) = app.pick_session(n, Told::Open) else {
                return;
            };
            if conn.close_session(id, n.into(), "over").is_ok() {
                app.sessions.insert(id, Told::Closing);
                app.forget(id);
            }
        }
        Op::Drain(n) => {
            if let Some(id) = app.pick_session(n, Told::Open) {
                let _ = conn.drain_session(id);
            }
        }
        Op::Open(n, bi) => {
            let dir = if bi { Dir::Bi } else { Dir::Uni };
            let Some(session) = app.pick_session(n, Told::Open) else {
                return;
            };
            match conn.open_stream(session, dir) {
                Ok(id) => {
                    let stream = Stream {
                        session: Some(session),
                        ..Stream::default()
                    };
                    assert!(app.streams.insert(id, stream).is_none());
                }
                Err(_) => app.wants[dir as usize] = true,
            }
        }
        Op::Write(n, len) => {
            let Some(id) = app.pick_stream(n) else { return };
            let room = conn.writable(id);
            match conn.write(id, &vec![n; len.into()]) {
                Ok(written) => {
                    assert!((1..=usize::from(len)).contains(&written));
                    assert!(room > 0);
                }
                Err(WriteError::Blocked) => {
                    assert_eq!(room, 0);
                    if let Some(stream) = app.streams.get_mut(&id) {
                        stream.blocked = true;
                    }
                }
                Err(_) => assert_eq!(room, 0),
            }
        }
        Op::Finish(n) => {
            let Some(id) = app.pick_stream(n) else { return };
            if conn.finish(id) == Err(WriteError::Blocked)
                && let Some(stream) = app.streams.get_mut(&id)
            {
                stream.blocked = true;
            }
        }
        Op::Reset(n) => {
            if let Some(id) = app.pick_stream(n) {
                conn.reset(id, n.into());
            }
        }
        Op::Stop(n) => {
            if let Some(id) = app.pick_stream(n) {
                conn.stop(id, n.into());
            }
        }
        Op::Read(n, max) => {
            let Some(id) = app.pick_stream(n) else { return };
            match conn.read(id, max.into()) {
                Ok(Some(data)) => assert!((1..=usize::from(max)).contains(&data.len())),
                Err(ReadError::Blocked) => {
                    if let Some(stream) = app.streams.get_mut(&id) {
                        stream.readable = false;
                    }
                }
                Ok(None) | Err(_) => {}
            }
        }
        Op::SendDatagram(n) => {
            if let Some(id) = app.pick_session(n, Told::Open) {
                let _ = conn.send_datagram(id, &[n; 20]);
            }
        }
        Op::RecvDatagram(n) => {
            if let Some(id) = app.pick_session(n, Told::Open) {
                conn.recv_datagram(id);
            }
        }
        Op::Request => {
            let head = RequestHead {
                method: "GET".into(),
                scheme: Some("https".into()),
                authority: Some("a".into()),
                path: Some("/".into()),
                ..RequestHead::default()
            };
            if let Ok(id) = conn.request(&head) {
                assert!(app.streams.insert(id, Stream::default()).is_none());
            }
        }
        Op::Respond(n) => {
            let Some(id) = app.requests.iter().nth(usize::from(n) % 4).copied() else {
                return;
            };
            let head = ResponseHead {
                status: 200,
                fields: Fields::new(),
            };
            let _ = conn.respond(id, &head);
        }
        Op::GoAway => conn.go_away(),
    }
}

fn hear(apps: &mut [App; 2], pair: &mut Pair) {
    for (app, end) in apps.iter_mut().zip([&mut pair.client, &mut pair.server]) {
        for event in end.take() {
            app.hear(&event);
        }
    }
}

fn run(ops: &[(bool, Op)], loss: bool, flow_control: bool) {
    let limits = Limits {
        session_window: if flow_control { 4000 } else { 0 },
        session_streams: if flow_control { 3 } else { 0 },
        stream_window: 2048,
        stream_send_buffer: 2500,
        ..Limits::default()
    };
    let options = Options {
        client_limits: limits.clone(),
        server_limits: limits,
        ..Options::default()
    };
    let mut pair = Pair::new(&options);
    let mut apps = [Side::Client, Side::Server].map(|side| App {
        side: Some(side),
        ..App::default()
    });
    // Something to begin with.
    let begin = [
        (true, Op::RequestSession),
        (true, Op::Run(100)),
        (false, Op::Answer { accept: true }),
        (true, Op::Run(40)),
        (true, Op::Open(0, true)),
        (false, Op::Open(0, false)),
    ];
    for (by_client, op) in begin.iter().chain(ops) {
        pair.drop = if loss {
            |_, n| n % 5 == 4
        } else {
            |_, _| false
        };
        if let Op::Run(ms) = op {
            pair.run_for(Duration::from_millis((*ms).into()));
        }
        hear(&mut apps, &mut pair);
        let (app, end) = match by_client {
            true => (&mut apps[0], &mut pair.client),
            false => (&mut apps[1], &mut pair.server),
        };
        act(app, end, op);
        hear(&mut apps, &mut pair);
    }
    // At the end, all that is owed comes.
    pair.drop = |_, _| false;
    pair.run_for(Duration::from_secs(15));
    hear(&mut apps, &mut pair);
    for app in &apps {
        assert!(app.connected && !app.closed, "nobody broke a rule");
        assert!(
            !app.sessions
                .values()
                .any(|told| matches!(told, Told::Asked | Told::Offered | Told::Closing))
        );
    }
    pair.client.conn.close(0x100, "");
    pair.run();
    hear(&mut apps, &mut pair);
    assert!(apps.iter().all(|app| app.closed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn events_keep_their_order(
        ops in prop::collection::vec((any::<bool>(), op()), 1..300),
        loss: bool,
        flow_control: bool,
    ) {
        run(&ops, loss, flow_control);
    }
}
