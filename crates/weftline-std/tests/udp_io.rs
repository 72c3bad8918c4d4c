//! Sockets of the operating system as the pump sees them.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use weftline::{Ecn, RecvMeta, Transmit, driver::DatagramIo};
use weftline_std::{UdpIo, bind, bind_any};

fn open(address: &str) -> (UdpIo<UdpSocket>, SocketAddr) {
    let socket = bind(address.parse().unwrap()).unwrap();
    let local = socket.local_addr().unwrap();
    (UdpIo::new(socket, local).unwrap(), local)
}

fn transmit(to: SocketAddr, len: usize, segment: Option<usize>) -> Transmit {
    Transmit {
        to,
        from: None,
        ecn: Some(Ecn::Ect0),
        len,
        segment,
    }
}

/// `count` datagrams, waiting for them as long as it takes.
fn receive(io: &mut UdpIo<UdpSocket>, count: usize) -> Vec<(RecvMeta, Vec<u8>)> {
    let patience = Instant::now() + Duration::from_secs(20);
    let mut received = Vec::new();
    while received.len() < count {
        match io.try_recv() {
            Some((meta, datagram)) => received.push((meta, datagram.to_vec())),
            None => thread::sleep(Duration::from_millis(1)),
        }
        assert!(Instant::now() < patience, "{} datagrams", received.len());
    }
    received
}

/// With their ECN marks, on each kind of socket: batches need the most room for what goes beside.
#[test]
fn a_batch_arrives_as_single_datagrams() {
    for (sender, receiver, host) in [
        ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"),
        ("127.0.0.1:0", "[::]:0", "127.0.0.1"),
        ("[::]:0", "[::]:0", "127.0.0.1"),
        ("[::]:0", "[::]:0", "::1"),
        ("[::1]:0", "[::1]:0", "::1"),
    ] {
        let (mut a, _) = open(sender);
        let (mut b, local) = open(receiver);
        let to = SocketAddr::new(host.parse().unwrap(), local.port());
        send_and_check(&mut a, &mut b, to);
    }
}

fn send_and_check(a: &mut UdpIo<UdpSocket>, b: &mut UdpIo<UdpSocket>, to: SocketAddr) {
    let data: Vec<u8> = (0..2500_usize).map(|i| (i / 1000) as u8).collect();
    if a.max_segments() >= 3 {
        assert!(a.try_send(&transmit(to, 2500, Some(1000)), &data));
    } else {
        for part in data.chunks(1000) {
            assert!(a.try_send(&transmit(to, part.len(), None), part));
        }
    }
    let received = receive(b, 3);
    for (index, (meta, datagram)) in received.iter().enumerate() {
        assert_eq!(datagram[..], data[index * 1000..][..datagram.len()]);
        assert_eq!((meta.from.ip(), meta.to), (to.ip(), Some(to.ip())));
        #[cfg(target_os = "linux")]
        assert_eq!(meta.ecn, Some(Ecn::Ect0), "to {to}");
    }
    let lengths: Vec<_> = received.iter().map(|(_, data)| data.len()).collect();
    assert_eq!(lengths, [1000, 1000, 500]);
    assert!(b.try_recv().is_none());
    assert_eq!((a.stats().sent, b.stats().received), (3, 3));
    assert_eq!(a.stats().errors, 0);
}

#[test]
fn more_than_one_system_call_takes_arrive() {
    let (mut a, _) = open("127.0.0.1:0");
    let (mut b, to) = open("127.0.0.1:0");
    for i in 0..50_u8 {
        assert!(a.try_send(&transmit(to, 10, None), &[i; 10]));
    }
    let received = receive(&mut b, 50);
    let order: Vec<u8> = received.iter().map(|(_, data)| data[0]).collect();
    assert_eq!(order, (0..50).collect::<Vec<u8>>());
    assert!(b.try_recv().is_none());
}

#[test]
fn both_families_on_one_socket() {
    let socket = bind_any().unwrap();
    let local = socket.local_addr().unwrap();
    let mut any = UdpIo::new(socket, local).unwrap();
    let (mut four, four_address) = open("127.0.0.1:0");
    assert!(any.try_send(&transmit(four_address, 4, None), b"ping"));
    let (meta, data) = receive(&mut four, 1).remove(0);
    assert_eq!(data, b"ping");
    assert_eq!(meta.from.to_string(), format!("127.0.0.1:{}", local.port()));

    // Back, and back again from the very address that it went to.
    assert!(four.try_send(&transmit(meta.from, 4, None), b"pong"));
    let (meta, data) = receive(&mut any, 1).remove(0);
    assert_eq!((meta.from, &data[..]), (four_address, &b"pong"[..]));
    assert_eq!(meta.to, Some("127.0.0.1".parse().unwrap()));
    let mut answer = transmit(meta.from, 4, None);
    answer.from = meta.to;
    assert!(any.try_send(&answer, b"last"));
    assert_eq!(receive(&mut four, 1).remove(0).1, b"last");
    assert_eq!(any.stats().errors, 0);
}

#[test]
fn errors_are_losses() {
    let (mut io, local) = open("127.0.0.1:0");
    let closed = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    // Refused by ICMP, too long for UDP, another family: none blocks, and the socket goes on.
    for _ in 0..3 {
        assert!(io.try_send(&transmit(closed, 4, None), b"ping"));
    }
    assert!(io.try_send(&transmit(local, 70_000, None), &[0; 70_000]));
    let v6 = "[::1]:9".parse().unwrap();
    assert!(io.try_send(&transmit(v6, 4, None), b"ping"));
    assert!(io.stats().errors >= 2);
    assert!(io.try_send(&transmit(local, 4, None), b"self"));
    assert_eq!(receive(&mut io, 1).remove(0).1, b"self");
}
