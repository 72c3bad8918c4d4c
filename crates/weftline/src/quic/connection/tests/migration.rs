//! Clients that move on purpose: to another address of theirs, another socket, or where the server
//! prefers them; and connection IDs that are exchanged.

use alloc::{vec, vec::Vec};
use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use super::{
    craft::frames,
    pair::{CLIENT, Options, Pair, SERVER, address},
};
use crate::{
    error::MigrateError,
    event::PathChange,
    quic::{Change, Route, recovery::SpaceId},
    wire::{
        Cid, Dir, Side,
        frame::{Frame, NewConnectionId},
        packet::Invariant,
    },
};

const ELSEWHERE: SocketAddr = address(3, 1000);

/// A pair whose client has another address. Its datagrams' destination IDs are kept.
fn pair_with(options: &Options) -> Pair {
    let mut pair = Pair::connected(options);
    pair.client.aliases.push(ELSEWHERE);
    pair.server.tells_local = true;
    pair.client.tells_local = true;
    pair
}

fn pair() -> Pair {
    pair_with(&Options::default())
}

fn moves(changes: &[Change]) -> Vec<PathChange> {
    let moves = changes.iter().filter_map(|change| match change {
        Change::Path(change) => Some(*change),
        _ => None,
    });
    moves.collect()
}

fn echo(pair: &mut Pair, len: usize) {
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, &vec![1; len]).unwrap();
    pair.run();
    assert_eq!(pair.server.read_all(id).0.len(), len);
    pair.server.conn.write(id, &vec![2; len]).unwrap();
    pair.run();
    assert_eq!(pair.client.read_all(id).0.len(), len);
}

/// The destination IDs of an end's next datagrams, with where they go from.
fn destinations(pair: &mut Pair, side: Side) -> Vec<(Option<IpAddr>, Vec<u8>)> {
    let now = pair.now;
    let sent = pair.end(side).transmit(now);
    let sent = sent.iter().map(|(transmit, data)| {
        let Some(Invariant::Short { destination }) = Invariant::parse(data, 8) else {
            panic!("a long header");
        };
        (transmit.from, destination.to_vec())
    });
    sent.collect()
}

#[test]
fn a_client_moves_when_the_path_is_proved() {
    let mut pair = pair();
    echo(&mut pair, 1000);
    let ids = [
        pair.client.conn.remote_cids.current(),
        pair.server.conn.remote_cids.current(),
    ];
    pair.client.conn.migrate(Some(ELSEWHERE.ip())).unwrap();
    assert_eq!(
        pair.client.conn.migrate(None),
        Err(MigrateError::Busy),
        "one at a time"
    );
    // Meanwhile data goes the old way.
    let id = pair.client.conn.open(Dir::Uni).unwrap();
    pair.client.conn.write(id, b"still here").unwrap();
    pair.exchange();
    assert_eq!(pair.client.conn.paths.route().local, None);
    pair.run();
    let remote = ELSEWHERE;
    assert_eq!(pair.server.conn.remote_address(), remote);
    assert!(pair.server.conn.paths.is_validated());
    assert_eq!(
        moves(&pair.client.changes),
        [PathChange::Moved {
            remote: SERVER,
            local: Some(ELSEWHERE.ip())
        }]
    );
    let told = moves(&pair.server.changes);
    assert!(matches!(told[..], [PathChange::Moved { remote: to, .. }] if to == remote));
    // Nobody who sees both paths can tell that it is one connection.
    assert_ne!(pair.client.conn.remote_cids.current(), ids[0]);
    assert_ne!(pair.server.conn.remote_cids.current(), ids[1]);
    echo(&mut pair, 20_000);
    // And back, as often as one likes.
    for n in 0..20_u8 {
        let to = [CLIENT, ELSEWHERE][usize::from(n % 2)];
        pair.client.conn.migrate(Some(to.ip())).unwrap();
        pair.run();
        assert_eq!(pair.server.conn.remote_address(), to);
        echo(&mut pair, 2000);
    }
    assert_eq!(pair.client.conn.remote_cids.retiring(), 0);
    assert_eq!(pair.server.conn.remote_cids.retiring(), 0);
}

#[test]
fn probes_and_data_have_ids_of_their_own() {
    let mut pair = pair();
    let old = pair.client.conn.remote_cids.current();
    pair.client.conn.migrate(Some(ELSEWHERE.ip())).unwrap();
    let id = pair.client.conn.open(Dir::Uni).unwrap();
    pair.client.conn.write(id, b"x").unwrap();
    let sent = destinations(&mut pair, Side::Client);
    assert_eq!(sent.len(), 2);
    for (from, id) in sent {
        let is_old = id.starts_with(&old);
        assert_eq!(is_old, from.is_none());
    }
}

#[test]
fn a_path_that_leads_nowhere() {
    let mut pair = pair();
    pair.client.aliases.clear();
    let window = pair.client.conn.stats().congestion_window;
    pair.client.conn.migrate(Some(ELSEWHERE.ip())).unwrap();
    pair.run_for(Duration::from_secs(4));
    assert_eq!(
        moves(&pair.client.changes),
        [PathChange::Failed {
            remote: SERVER,
            local: Some(ELSEWHERE.ip())
        }]
    );
    assert_eq!(pair.server.conn.remote_address(), CLIENT);
    assert!(moves(&pair.server.changes).is_empty());
    echo(&mut pair, 5000);
    assert!(pair.client.conn.stats().congestion_window >= window);
    // What was seen there is not used again, and the peer gave another for it.
    assert_eq!(pair.client.conn.remote_cids.retiring(), 0);
    pair.client.aliases.push(ELSEWHERE);
    pair.client.conn.migrate(Some(ELSEWHERE.ip())).unwrap();
    pair.run();
    assert_eq!(pair.server.conn.remote_address(), ELSEWHERE);
}

#[test]
fn who_may_not_move() {
    let mut pair = Pair::new(&Options::default());
    let early = pair.client.conn.migrate(None);
    assert_eq!(early, Err(MigrateError::NotConfirmed));
    pair.run();
    let server = pair.server.conn.migrate(None);
    assert_eq!(server, Err(MigrateError::Server));

    let mut options = Options::default();
    options.server.disable_active_migration = true;
    let mut pair = pair_with(&options);
    let forbidden = pair.client.conn.migrate(Some(ELSEWHERE.ip()));
    assert_eq!(forbidden, Err(MigrateError::Forbidden));
    // Who does it all the same is not heard.
    let before = pair.server.conn.stats();
    pair.client.address = ELSEWHERE;
    pair.client.conn.space_mut(SpaceId::Data).ping = true;
    pair.run();
    assert_eq!(pair.server.conn.stats(), before);
    pair.client.address = CLIENT;
    echo(&mut pair, 1000);
}

#[test]
fn without_ids_nobody_moves() {
    let mut options = Options::default();
    // The client holds two: one beside that in use.
    options.client_limits.peer_cids = 2;
    let mut pair = pair_with(&options);
    pair.network = alloc::boxed::Box::new(|_, _, _| 0);
    pair.client.conn.migrate(Some(ELSEWHERE.ip())).unwrap();
    pair.run_for(Duration::from_secs(4));
    assert!(matches!(
        moves(&pair.client.changes)[..],
        [PathChange::Failed { .. }]
    ));
    let none = pair.client.conn.migrate(Some(ELSEWHERE.ip()));
    assert_eq!(none, Err(MigrateError::NoConnectionId));
}

#[test]
fn the_peer_takes_back_the_id_of_a_trial() {
    let mut pair = pair();
    pair.client.conn.migrate(Some(ELSEWHERE.ip())).unwrap();
    let trial = pair.client.conn.remote_cids.other().unwrap();
    let new = NewConnectionId {
        sequence: 9,
        retire_prior_to: 9,
        cid: Cid::new(&[9; 8]).unwrap(),
        reset_token: crate::wire::ResetToken([9; 16]),
    };
    pair.inject(
        Side::Server,
        SpaceId::Data,
        &frames(&[Frame::NewConnectionId(new)]),
    );
    assert_ne!(pair.client.conn.remote_cids.other(), Some(trial));
    let now = pair.now;
    pair.client.transmit(now);
    let told = pair.client.conn.next_change();
    assert!(
        matches!(told, Some(Change::Path(PathChange::Failed { .. }))),
        "{told:?}"
    );
    assert_eq!(pair.client.conn.paths.role(), None);
}

#[test]
fn another_socket() {
    let mut pair = pair();
    echo(&mut pair, 1000);
    let old = pair.client.conn.remote_cids.current();
    let now = pair.now;
    pair.client.address = address(4, 4000);
    pair.client.conn.on_rebind(now);
    pair.run();
    assert_eq!(pair.server.conn.remote_address(), address(4, 4000));
    assert_ne!(pair.client.conn.remote_cids.current(), old);
    let told = moves(&pair.client.changes);
    assert!(
        matches!(told[..], [PathChange::Moved { remote: SERVER, .. }]),
        "{told:?}"
    );
    echo(&mut pair, 20_000);
    // A socket that reaches nobody is told of, and the next may do better.
    let now = pair.now;
    pair.network = alloc::boxed::Box::new(|_, _, _| 0);
    pair.client.conn.on_rebind(now);
    pair.run_for(Duration::from_secs(4));
    let told = moves(&pair.client.changes);
    assert!(
        matches!(told[..], [_, PathChange::Failed { .. }]),
        "{told:?}"
    );
    pair.network = alloc::boxed::Box::new(|_, _, _| 1);
    let now = pair.now;
    pair.client.conn.on_rebind(now);
    pair.run_for(Duration::from_secs(4));
    echo(&mut pair, 1000);
    assert!(pair.client.conn.paths.is_validated());
}

const PREFERRED: SocketAddr = address(7, 443);

fn preferring() -> Options {
    let mut options = Options::default();
    let SocketAddr::V4(preferred) = PREFERRED else {
        unreachable!()
    };
    options.server.preferred_ipv4 = Some(preferred);
    options
}

fn connect(options: &Options) -> Pair {
    let mut pair = Pair::new(options);
    pair.server.aliases.push(PREFERRED);
    pair.server.tells_local = true;
    pair.run();
    pair
}

#[test]
fn a_client_goes_where_the_server_prefers() {
    for forbid in [false, true] {
        let mut options = preferring();
        options.server.disable_active_migration = forbid;
        let mut pair = connect(&options);
        assert_eq!(pair.client.conn.remote_address(), PREFERRED);
        assert_eq!(pair.server.conn.paths.route().local, Some(PREFERRED.ip()));
        assert_eq!(pair.server.conn.remote_address(), CLIENT);
        let local = None;
        let remote = PREFERRED;
        assert_eq!(
            moves(&pair.client.changes),
            [PathChange::Moved { remote, local }]
        );
        assert!(pair.server.conn.paths.is_validated());
        // The ID that came with the address is the one in use.
        assert_eq!(pair.client.conn.remote_cids.other(), None);
        echo(&mut pair, 50_000);
    }
}

#[test]
fn the_ids_of_a_preferred_address_are_routed() {
    let options = preferring();
    let mut pair = connect(&options);
    let mut routed = Vec::new();
    while let Some(route) = pair.server.conn.next_route() {
        match route {
            Route::AddCid(cid) => routed.push(cid),
            Route::RemoveCid(cid) => routed.retain(|known| *known != cid),
            _ => {}
        }
    }
    assert!(routed.contains(&pair.client.conn.remote_cids.current()));
}

#[test]
fn a_preferred_address_need_not_work() {
    let mut pair = Pair::new(&preferring());
    pair.run_for(Duration::from_secs(5));
    let remote = PREFERRED;
    let local = None;
    assert_eq!(
        moves(&pair.client.changes),
        [PathChange::Failed { remote, local }]
    );
    assert_eq!(pair.client.conn.remote_address(), SERVER);
    echo(&mut pair, 1000);
}

#[test]
fn a_preferred_address_need_not_be_used() {
    let mut options = preferring();
    options.client.use_preferred_address = false;
    let mut pair = connect(&options);
    assert_eq!(pair.client.conn.remote_address(), SERVER);
    // Nor when it is somebody else's business.
    let mut options = preferring();
    let loopback = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 443);
    options.server.preferred_ipv4 = Some(loopback);
    pair = connect(&options);
    assert_eq!(pair.client.conn.remote_address(), SERVER);
    let sent = &pair.client.sent;
    assert!(sent.iter().all(|(_, to)| *to == SERVER));
    assert!(moves(&pair.client.changes).is_empty());
}

#[test]
fn the_server_sees_a_probe_and_stays() {
    // The server proves the path while the client only probes it, with an ID of its own.
    let mut pair = pair();
    let before = pair.server.conn.remote_cids.current();
    pair.client.conn.migrate(Some(ELSEWHERE.ip())).unwrap();
    pair.exchange();
    pair.run_until(|pair| pair.server.conn.paths.role().is_some());
    assert_eq!(pair.server.conn.remote_address(), CLIENT);
    let probe = pair.server.conn.remote_cids.other().unwrap();
    assert_ne!(probe, before);
    pair.run_until(|pair| pair.server.conn.remote_address() == ELSEWHERE);
    assert_eq!(pair.server.conn.remote_cids.current(), probe);
}

#[test]
fn a_return_finds_what_was_known() {
    // The client seems to move, and is back before the new address is proved.
    let mut pair = pair();
    echo(&mut pair, 30_000);
    let before = pair.server.conn.stats();
    pair.client.address = address(5, 1000);
    pair.client.conn.space_mut(SpaceId::Data).ping = true;
    pair.exchange();
    pair.run_until(|pair| pair.server.conn.remote_address() == address(5, 1000));
    assert_ne!(pair.server.conn.stats().rtt, before.rtt);
    pair.client.address = CLIENT;
    pair.client.conn.space_mut(SpaceId::Data).ping = true;
    pair.run();
    assert_eq!(pair.server.conn.remote_address(), CLIENT);
    let after = pair.server.conn.stats();
    assert!(after.congestion_window >= before.congestion_window);
    assert!(
        after.rtt < before.rtt * 2,
        "{:?} {:?}",
        after.rtt,
        before.rtt
    );
    assert!(
        moves(&pair.server.changes).is_empty(),
        "nothing was certain"
    );
}

#[test]
fn ids_are_exchanged_for_others() {
    let mut pair = pair();
    for _ in 0..10 {
        let ends = [&mut pair.client.conn, &mut pair.server.conn];
        let before = ends.map(|conn| conn.remote_cids.current());
        assert!(pair.client.conn.rotate_cids());
        assert!(
            !pair.client.conn.rotate_cids(),
            "the peer has not yet answered"
        );
        pair.run();
        let ends = [&mut pair.client.conn, &mut pair.server.conn];
        for (conn, before) in ends.into_iter().zip(before) {
            assert_ne!(conn.remote_cids.current(), before);
            assert_eq!(conn.local_cids.iter().count(), 4);
            assert_eq!(conn.remote_cids.retiring(), 0);
        }
        echo(&mut pair, 1000);
    }
}
