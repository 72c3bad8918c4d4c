//! How connections end, and how they are kept from it.

use alloc::{boxed::Box, string::ToString, vec, vec::Vec};
use core::time::Duration;

use super::{
    craft::frames,
    pair::{Options, Pair},
};
use crate::{
    error::TransportCode,
    event::{CloseReason, ClosedBy, ErrorSpace},
    quic::{Change, Route, recovery::SpaceId, streams::WriteFail},
    wire::{
        Cid, Dir, ResetToken, Side,
        frame::{ConnectionClose, Frame, NewConnectionId},
    },
};

fn local_close(pair: &mut Pair, side: Side) {
    let conn = &mut pair.end(side).conn;
    conn.close(ErrorSpace::Application, 7, "done");
}

fn closes(pair: &mut Pair, side: Side) -> usize {
    let changes = pair.end(side).changes.iter();
    changes.filter(|c| matches!(c, Change::Closed(_))).count()
}

#[test]
fn close_and_drain() {
    for side in [Side::Client, Side::Server] {
        let mut pair = Pair::connected(&Options::default());
        local_close(&mut pair, side);
        let start = pair.now;
        pair.run_until(|pair| pair.client.conn.is_drained() && pair.server.conn.is_drained());
        let expected = CloseReason {
            by: ClosedBy::Local,
            code: 7,
            space: ErrorSpace::Application,
            reason: "done".to_string(),
        };
        assert_eq!(pair.end(side).closed(), Some(&expected));
        let expected = CloseReason {
            by: ClosedBy::Peer,
            ..expected
        };
        assert_eq!(pair.end(side.peer()).closed(), Some(&expected));
        // Three PTOs: 20 ms of round trip, 25 ms of delay.
        let waited = pair.now.saturating_since(start);
        assert!(waited >= Duration::from_millis(100), "{waited:?}");
        assert!(waited <= Duration::from_millis(500), "{waited:?}");
        for side in [Side::Client, Side::Server] {
            assert_eq!(closes(&mut pair, side), 1);
            let last = pair.end(side).changes.last();
            assert!(matches!(last, Some(Change::Closed(_))));
            assert_eq!(pair.end(side).conn.poll_timeout(), None);
        }
    }
}

#[test]
fn both_close_at_once() {
    let mut pair = Pair::connected(&Options::default());
    local_close(&mut pair, Side::Client);
    local_close(&mut pair, Side::Server);
    pair.run_until(|pair| pair.client.conn.is_drained() && pair.server.conn.is_drained());
    assert_eq!(closes(&mut pair, Side::Client), 1);
    assert_eq!(closes(&mut pair, Side::Server), 1);
}

#[test]
fn commands_after_the_end() {
    let mut pair = Pair::connected(&Options::default());
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    local_close(&mut pair, Side::Client);
    let conn = &mut pair.client.conn;
    assert_eq!(conn.write(id, b"x"), Err(WriteFail::Unknown));
    assert_eq!(conn.writable(id), 0);
    assert_eq!(conn.open(Dir::Bi), None);
    assert!(conn.send_datagram(b"", b"x").is_err());
    // The first reason stays.
    conn.close(ErrorSpace::Application, 8, "again");
    pair.run();
    assert_eq!(pair.client.closed().unwrap().code, 7);
}

#[test]
fn what_came_before_the_end_is_told_before_it() {
    let mut pair = Pair::connected(&Options::default());
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, b"last words").unwrap();
    pair.client.conn.finish(id).unwrap();
    pair.exchange();
    local_close(&mut pair, Side::Client);
    pair.run();
    assert_eq!(pair.server.opened(), [id]);
    assert!(matches!(
        pair.server.changes.last(),
        Some(Change::Closed(_))
    ));
    assert_eq!(pair.server.read_all(id), (b"last words".to_vec(), true));
}

#[test]
fn closing_answers_ever_more_rarely() {
    let mut pair = Pair::connected(&Options::default());
    local_close(&mut pair, Side::Server);
    let now = pair.now;
    let first = pair.server.transmit(now);
    assert_eq!(first.len(), 1);
    let mut answers = 0;
    for _ in 0..1000 {
        pair.inject(Side::Client, SpaceId::Data, &[1, 0, 0, 0]);
        answers += pair.server.transmit(now).len();
    }
    assert_eq!(answers, 10);
}

#[test]
fn draining_says_nothing() {
    let mut pair = Pair::connected(&Options::default());
    let close = ConnectionClose::Application {
        code: 1,
        reason: b"\xff\xfe",
    };
    pair.inject(
        Side::Client,
        SpaceId::Data,
        &frames(&[Frame::ConnectionClose(close)]),
    );
    assert_eq!(pair.server.closed().unwrap().reason, "\u{fffd}\u{fffd}");
    let now = pair.now;
    for _ in 0..10 {
        pair.inject(Side::Client, SpaceId::Data, &[1, 0, 0, 0]);
        assert!(pair.server.transmit(now).is_empty());
    }
}

#[test]
fn a_long_reason_is_cut() {
    let mut pair = Pair::connected(&Options::default());
    let reason = "\u{e4}".repeat(1000);
    pair.client.conn.close(ErrorSpace::Application, 1, &reason);
    pair.run();
    assert_eq!(pair.client.closed().unwrap().reason.len(), 512);
    assert_eq!(pair.server.closed().unwrap().reason.len(), 512);
    let mut pair = Pair::connected(&Options::default());
    let close = ConnectionClose::Application {
        code: 1,
        reason: &[b'x'; 1000],
    };
    pair.inject(
        Side::Client,
        SpaceId::Data,
        &frames(&[Frame::ConnectionClose(close)]),
    );
    assert_eq!(pair.server.closed().unwrap().reason.len(), 512);
}

#[test]
fn an_application_code_stays_out_of_the_handshake() {
    for side in [Side::Client, Side::Server] {
        let mut pair = Pair::new(&Options::default());
        match side {
            // All that the server gets is the close.
            Side::Client => pair.server.inbox.clear(),
            Side::Server => pair.run_until(|pair| pair.server.conn.stats().packets_received > 0),
        }
        pair.end(side)
            .conn
            .close(ErrorSpace::Application, 7, "secret");
        pair.run();
        let reason = pair.end(side.peer()).closed().unwrap();
        let code = TransportCode::ApplicationError as u64;
        assert_eq!((reason.by, reason.code), (ClosedBy::Peer, code));
        assert_eq!(
            (reason.space, reason.reason.as_str()),
            (ErrorSpace::Transport, "")
        );
        assert_eq!(pair.end(side).closed().unwrap().code, 7);
    }
}

#[test]
fn a_close_reaches_a_client_without_handshake_keys() {
    // The server's Handshake packets are lost; its close is in an Initial too.
    let mut pair = Pair::new(&Options::default());
    pair.network = Box::new(|side, n, _| usize::from(side == Side::Client || n > 2));
    pair.run_until(|pair| pair.server.conn.stats().packets_received > 0);
    pair.exchange();
    pair.server.conn.close(ErrorSpace::Transport, 0x02, "");
    pair.network = Box::new(|_, _, _| 1);
    pair.run_for(Duration::from_millis(100));
    assert_eq!(
        pair.client.closed().map(|r| (r.by, r.code)),
        Some((ClosedBy::Peer, 2))
    );
}

#[test]
fn silence_ends_it() {
    let mut options = Options::default();
    options.client.idle_timeout = Duration::from_secs(20);
    options.server.idle_timeout = Duration::from_secs(5);
    let mut pair = Pair::connected(&options);
    let start = pair.now;
    pair.run_until(|pair| pair.client.conn.is_drained() && pair.server.conn.is_drained());
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.closed().unwrap().by, ClosedBy::Timeout);
    }
    let waited = pair.now.saturating_since(start);
    assert!(
        waited <= Duration::from_secs(5),
        "the smaller counts: {waited:?}"
    );
    assert!(waited >= Duration::from_secs(2));
}

#[test]
fn no_idle_timeout_at_all() {
    let mut options = Options::default();
    options.client.idle_timeout = Duration::ZERO;
    options.server.idle_timeout = Duration::ZERO;
    let mut pair = Pair::connected(&options);
    pair.run_for(Duration::from_secs(3600));
    assert!(pair.client.conn.is_established());
    assert_eq!(pair.client.conn.poll_timeout(), None);
}

#[test]
fn a_short_idle_timeout_is_three_ptos_at_least() {
    let mut options = Options::default();
    options.client.idle_timeout = Duration::from_millis(1);
    options.latency = Duration::from_millis(200);
    let mut pair = Pair::connected_within(&options, Duration::from_secs(1));
    let start = pair.client.conn.now.unwrap();
    pair.run_until(|pair| pair.client.conn.is_drained());
    assert!(pair.now.saturating_since(start) >= Duration::from_millis(1000));
}

#[test]
fn keep_alive() {
    for side in [Side::Client, Side::Server] {
        let mut options = Options::default();
        match side {
            Side::Client => options.client.keep_alive = Some(Duration::from_secs(10)),
            Side::Server => options.server.keep_alive = Some(Duration::from_secs(10)),
        }
        let mut pair = Pair::connected(&options);
        let sent = pair.end(side).sent.len();
        pair.run_for(Duration::from_secs(305));
        assert!(pair.client.conn.is_established());
        assert!(pair.server.conn.is_established());
        let sent = pair.end(side).sent.len() - sent;
        assert!((25..=70).contains(&sent), "{sent} packets in five minutes");
    }
}

#[test]
fn keep_alive_notices_a_dead_peer() {
    let mut options = Options::default();
    options.client.keep_alive = Some(Duration::from_secs(10));
    let mut pair = Pair::connected(&options);
    pair.network = Box::new(|side, _, _| usize::from(side == Side::Server));
    pair.run_until(|pair| pair.client.conn.is_drained());
    assert_eq!(pair.client.closed().unwrap().by, ClosedBy::Timeout);
}

#[test]
fn a_dead_peer_is_not_probed_for_ever() {
    let mut pair = Pair::connected(&Options::default());
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, &[0; 50_000]).unwrap();
    pair.network = Box::new(|_, _, _| 0);
    let (start, before) = (pair.now, pair.client.sent.len());
    pair.run_until(|pair| pair.client.conn.is_drained());
    assert!(pair.now.saturating_since(start) <= Duration::from_secs(31));
    assert!(pair.client.sent.len() - before < 50);
}

/// A datagram as a peer without state would send it.
fn stateless_reset(token: ResetToken, len: usize) -> Vec<u8> {
    let mut data = vec![0x47; len - 16];
    data.extend(token.0);
    data
}

fn token_for(pair: &Pair, cid: &Cid) -> ResetToken {
    pair.server.conn.reset_token(cid)
}

#[test]
fn a_stateless_reset_ends_a_client() {
    let mut pair = Pair::connected(&Options::default());
    let token = token_for(&pair, &pair.client.conn.remote_cids.current());
    pair.deliver(Side::Server, stateless_reset(token, 21));
    assert_eq!(pair.client.closed().unwrap().by, ClosedBy::Reset);
    assert!(pair.client.conn.is_drained());
    let now = pair.now;
    assert!(pair.client.transmit(now).is_empty());
}

#[test]
fn a_stateless_reset_ends_a_server() {
    // A server knows a token once it uses an ID that came with one.
    let mut pair = Pair::connected(&Options::default());
    pair.inject(Side::Client, SpaceId::Data, &frames(&[new_cid(9, 9)]));
    pair.run_for(Duration::from_millis(1));
    pair.deliver(Side::Client, stateless_reset(ResetToken([9; 16]), 40));
    assert_eq!(pair.server.closed().unwrap().by, ClosedBy::Reset);
}

fn new_cid(byte: u8, retire_prior_to: u64) -> Frame<'static> {
    Frame::NewConnectionId(NewConnectionId {
        sequence: byte.into(),
        retire_prior_to,
        cid: Cid::new(&[byte; 8]).unwrap(),
        reset_token: ResetToken([byte; 16]),
    })
}

#[test]
fn resets_to_ignore() {
    let mut pair = Pair::connected(&Options::default());
    let handshake = pair.client.conn.remote_cids.current();
    let good = token_for(&pair, &handshake);
    let unused = pair.server.conn.local_cids.iter().last().unwrap();
    let unused = token_for(&pair, &unused);
    let mut close_one = good;
    close_one.0[15] ^= 1;
    for token in [ResetToken([0; 16]), close_one, unused] {
        pair.deliver(Side::Server, stateless_reset(token, 40));
        assert_eq!(pair.client.closed(), None);
    }
    // Too short to be one.
    pair.deliver(Side::Server, stateless_reset(good, 20));
    assert_eq!(pair.client.closed(), None);
    // Retired.
    pair.inject(Side::Server, SpaceId::Data, &frames(&[new_cid(9, 9)]));
    pair.deliver(Side::Server, stateless_reset(good, 40));
    assert_eq!(pair.client.closed(), None);
    pair.deliver(Side::Server, stateless_reset(ResetToken([9; 16]), 40));
    assert_eq!(pair.client.closed().unwrap().by, ClosedBy::Reset);
}

#[test]
fn routes_come_and_go() {
    let mut pair = Pair::connected(&Options::default());
    let mut cids: Vec<Cid> = Vec::new();
    let mut tokens: Vec<ResetToken> = Vec::new();
    let mut apply = |pair: &mut Pair| {
        while let Some(route) = pair.client.conn.next_route() {
            match route {
                Route::AddCid(cid) => cids.push(cid),
                Route::RemoveCid(cid) => cids.retain(|known| *known != cid),
                Route::AddResetToken(token) => tokens.push(token),
                Route::RemoveResetToken(token) => tokens.retain(|known| *known != token),
            }
        }
        (cids.len(), tokens.clone())
    };
    let token = token_for(&pair, &pair.client.conn.remote_cids.current());
    assert_eq!(apply(&mut pair), (4, vec![token]));
    pair.inject(Side::Server, SpaceId::Data, &frames(&[new_cid(9, 9)]));
    assert_eq!(apply(&mut pair), (4, vec![ResetToken([9; 16])]));
    let retire = Frame::RetireConnectionId(crate::wire::frame::RetireConnectionId { sequence: 1 });
    pair.inject(Side::Server, SpaceId::Data, &frames(&[retire]));
    // One went, one came.
    assert_eq!(apply(&mut pair).0, 4);
    local_close(&mut pair, Side::Client);
    pair.run_until(|pair| pair.client.conn.is_drained());
    assert_eq!(apply(&mut pair), (0, vec![]));
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut pair = Pair::connected(&Options::default());
    let before = pair.client.conn.poll_timeout();
    pair.client.conn.handle_timeout(crate::Instant::ZERO);
    assert_eq!(pair.client.conn.poll_timeout(), before);
    assert!(pair.client.conn.is_established());
    let now = crate::Instant::ZERO;
    assert!(pair.client.transmit(now).is_empty());
}

#[test]
fn timeouts_that_are_not_due_do_nothing() {
    let mut pair = Pair::new(&Options::default());
    for _ in 0..200 {
        pair.step();
        for side in [Side::Client, Side::Server] {
            let now = pair.now;
            let end = pair.end(side);
            if end.conn.poll_timeout().is_some_and(|at| at > now) {
                let before = end.conn.poll_timeout();
                end.conn.handle_timeout(now);
                assert_eq!(end.conn.poll_timeout(), before);
            }
        }
    }
    assert!(pair.client.has(&Change::Confirmed));
}
