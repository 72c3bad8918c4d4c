//! Limits of packets, connection IDs and paths; and of datagrams.

use std::{net::SocketAddr, time::Duration};

use weftline::{
    error::{DatagramError, TransportCode},
    wire::{
        Cid, ResetToken,
        frame::{Datagram, Frame, NewConnectionId, PathChallenge, PathResponse},
    },
};

use crate::support::{Attack, CLIENT, address, from, wire};

#[test]
fn ack_ranges() {
    let mut attack = Attack::on_server(|l| l.ack_ranges = 4);
    let mut withheld = Vec::new();
    for _ in 0..20 {
        withheld.push(attack.packet(&[Frame::Ping]));
        attack.say(&[Frame::Ping]);
    }
    assert_eq!(attack.last_ack(|ack| ack.ranges().count()), Some(4));
    let mut late = |n: usize| {
        let before = attack.stats();
        let mut datagram = withheld[n].clone();
        let now = attack.now;
        attack
            .victim
            .handle_datagram(now, from(CLIENT), &mut datagram);
        let after = attack.stats();
        (
            after.packets_received - before.packets_received,
            after.packets_dropped - before.packets_dropped,
        )
    };
    assert_eq!(late(3), (0, 1), "taken for a duplicate");
    assert_eq!(late(19), (1, 0));
    assert_eq!(late(19), (0, 1));
}

#[test]
fn sent_packets() {
    let (mut attack, session) = Attack::with_session(|l| l.sent_packets = 40);
    attack.acknowledge();
    for _ in 0..100 {
        let _ = attack.conn().send_datagram(session, b"x");
        attack.say(&[Frame::Padding(1)]);
    }
    let datagrams = |attack: &Attack| {
        attack
            .heard(|frame| matches!(frame, Frame::Datagram(_)).then_some(()))
            .len()
    };
    let sent = datagrams(&attack);
    assert!((30..=40).contains(&sent), "{sent}");
    assert_eq!(
        attack.conn().send_datagram(session, b"x"),
        Ok(()),
        "it waits"
    );
    let acked = attack.last_ack(|ack| ack.largest);
    attack.say(&[Frame::Ping]);
    attack.say(&[Frame::Ping]);
    assert!(attack.last_ack(|ack| ack.largest) > acked, "acknowledged");
    assert_eq!(datagrams(&attack), sent);
    attack.acknowledge();
    attack.wait(Duration::from_millis(100));
    assert!(datagrams(&attack) > sent);
}

fn new_cid(sequence: u64, retire_prior_to: u64) -> Frame<'static> {
    Frame::NewConnectionId(NewConnectionId {
        sequence,
        retire_prior_to,
        cid: Cid::new(&[sequence as u8; 8]).unwrap(),
        reset_token: ResetToken([sequence as u8; 16]),
    })
}

#[test]
fn peer_cids() {
    let mut attack = Attack::on_server(|l| l.peer_cids = 3);
    // Beside the one of the handshake.
    attack.say(&[new_cid(1, 0), new_cid(2, 0)]);
    attack.assert_alive();
    attack.say(&[new_cid(3, 0)]);
    attack.assert_closed(TransportCode::ConnectionIdLimitError);
}

#[test]
fn pending_retirements() {
    let mut attack = Attack::on_server(|l| l.pending_retirements = 5);
    for n in 1..=5 {
        attack.say(&[new_cid(n, n)]);
    }
    attack.assert_alive();
    attack.acknowledge();
    for n in 6..=10 {
        attack.say(&[new_cid(n, n)]);
    }
    attack.assert_alive();
    // Retirements were sent, but nobody says that they came.
    attack.say(&[new_cid(11, 11)]);
    attack.assert_closed(TransportCode::ConnectionIdLimitError);
}

#[test]
fn path_responses() {
    let mut attack = Attack::on_server(|l| l.path_responses = 3);
    let elsewhere = |n: u8| address(50 + n, 1000);
    for n in 0..10 {
        let challenge = Frame::PathChallenge(PathChallenge { data: [n; 8] });
        attack.whisper(elsewhere(n), &[challenge, Frame::Padding(1100)]);
    }
    attack.events();
    let answered: Vec<(SocketAddr, u8)> = attack.heard_by(|to, frame| match frame {
        Frame::PathResponse(PathResponse { data }) => Some((to, data[0])),
        _ => None,
    });
    assert_eq!(answered, [7, 8, 9].map(|n| (elsewhere(n), n)));
}

#[test]
fn datagrams_in() {
    let (mut attack, session) = Attack::with_session(|l| l.datagrams_in = 3);
    for n in 0..10 {
        attack.send_datagram(session.stream(), &[n]);
    }
    assert_eq!(attack.datagrams(session), [[7], [8], [9]]);
    // All in one packet.
    let all: Vec<Vec<u8>> = (10..20)
        .map(|n| wire::datagram(session.stream(), &[n]))
        .collect();
    let frames: Vec<_> = all
        .iter()
        .map(|data| Frame::Datagram(Datagram { data }))
        .collect();
    attack.say(&frames);
    assert_eq!(attack.datagrams(session), [[17], [18], [19]]);

    // Without a byte in them, and beside a session that has none.
    let (mut attack, full) = Attack::with_flow_control(|l| l.datagrams_in = 3);
    let empty = attack.open_session(1);
    for _ in 0..10 {
        attack.send_datagram(full.stream(), b"");
    }
    assert_eq!(attack.datagrams(full), [b""; 3]);
    assert_eq!(attack.datagrams(empty), [b""; 0]);
}

#[test]
fn datagram_bytes_in() {
    let (mut attack, session) = Attack::with_session(|l| l.datagram_bytes_in = 2500);
    for n in 0..10 {
        attack.send_datagram(session.stream(), &[n; 1000]);
    }
    assert_eq!(attack.datagrams(session), [vec![8; 1000], vec![9; 1000]]);
}

#[test]
fn datagrams_out() {
    let (mut attack, session) = Attack::with_session(|l| l.datagrams_out = 3);
    let conn = attack.conn();
    let sent = [(); 4].map(|()| conn.send_datagram(session, b"x"));
    assert_eq!(sent, [Ok(()), Ok(()), Ok(()), Err(DatagramError::Full)]);
}

#[test]
fn datagram_bytes_out() {
    let (mut attack, session) = Attack::with_session(|l| l.datagram_bytes_out = 1000);
    let conn = attack.conn();
    // Each with a byte that names the session.
    assert_eq!(conn.send_datagram(session, &[0; 899]), Ok(()));
    assert_eq!(
        conn.send_datagram(session, &[0; 100]),
        Err(DatagramError::Full)
    );
    assert_eq!(conn.send_datagram(session, &[0; 99]), Ok(()));
    assert_eq!(conn.send_datagram(session, b""), Err(DatagramError::Full));
}
