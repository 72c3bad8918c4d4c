use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Opens a UDP socket. One bound to an IPv6 address that stands for any (`[::]`) takes IPv4 too.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // The system's defaults hold a millisecond or two of a fast connection. It may grant less.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Opens a UDP socket on any port, for both address families where the system has both.
pub fn bind_any() -> io::Result<UdpSocket> {
    bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0))
        .or_else(|_| bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)))
}

const SOCKET_BUFFER: usize = 2 << 20;
