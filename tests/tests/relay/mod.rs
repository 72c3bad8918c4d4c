//! A relay of datagrams between one client and a server, which makes the way between them worse.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

use crate::common::loopback;

/// What happens on the way. It depends on the number of datagrams alone.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Relay {
    /// One datagram in so many is lost, each way; no two at a fixed distance.
    loses: Option<u64>,
    /// After so many datagrams from the client, the rest comes from another address.
    moves: Option<u64>,
}

impl Relay {
    pub(crate) fn losing(one_in: u64) -> Self {
        Self {
            loses: Some(one_in),
            moves: None,
        }
    }

    pub(crate) fn moving(after: u64) -> Self {
        Self {
            loses: None,
            moves: Some(after),
        }
    }

    fn is_lost(self, number: u64) -> bool {
        let spread = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.loses
            .is_some_and(|one_in| spread.is_multiple_of(one_in))
    }
}

/// Starts a relay to `server`, and returns where clients find it.
pub(crate) async fn relay(server: SocketAddr, relay: Relay) -> SocketAddr {
    let front = socket().await;
    let address = front.local_addr().expect("an address");
    let mut back = socket().await;
    tokio::spawn(async move {
        let (mut up, mut down) = ([0; 65_536], [0; 65_536]);
        let (mut sent_up, mut sent_down) = (0, 0);
        let mut client = None;
        loop {
            tokio::select! {
                received = front.recv_from(&mut up) => {
                    let (len, from) = received.expect("a datagram");
                    client = Some(from);
                    if !relay.is_lost(sent_up) {
                        let _ = back.send_to(&up[..len], server).await;
                    }
                    sent_up += 1;
                    if relay.moves == Some(sent_up) {
                        back = socket().await;
                    }
                }
                received = back.recv_from(&mut down) => {
                    let Ok((len, _)) = received else { continue };
                    if let Some(client) = client && !relay.is_lost(sent_down) {
                        let _ = front.send_to(&down[..len], client).await;
                    }
                    sent_down += 1;
                }
            }
        }
    });
    address
}

async fn socket() -> UdpSocket {
    UdpSocket::bind(loopback()).await.expect("a socket")
}
