use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

/// The addresses of a host (a name, or an IP address without brackets), IPv6 and IPv4 in turn
/// beginning with the family that the system prefers (RFC 8305, section 4). Blocks.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = (host, port).to_socket_addrs()?.collect();
    if found.is_empty() {
        let error = format!("{host} has no address");
        return Err(io::Error::new(io::ErrorKind::NotFound, error));
    }
    Ok(interleave(&found))
}

fn interleave(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let of = |first: bool| {
        let matching = move |a: &&SocketAddr| (a.is_ipv6() == first_is_v6) == first;
        found.iter().copied().filter(move |a| matching(&a))
    };
    let (mut preferred, mut other) = (of(true), of(false));
    let mut addresses: Vec<SocketAddr> = Vec::with_capacity(found.len());
    loop {
        let next = [preferred.next(), other.next()];
        if next == [None, None] {
            return addresses;
        }
        for address in next.into_iter().flatten() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| text.parse().unwrap();
        let found = ["[::1]:1", "[::2]:1", "[::1]:1", "1.1.1.1:1", "2.2.2.2:1"].map(parse);
        let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1"].map(parse);
        assert_eq!(interleave(&found), expected);
        assert_eq!(interleave(&[]), []);
    }

    #[test]
    fn literals_resolve_to_themselves() {
        assert_eq!(resolve("::1", 7).unwrap(), ["[::1]:7".parse().unwrap()]);
        let v4 = resolve("127.0.0.1", 7).unwrap();
        assert_eq!(v4, ["127.0.0.1:7".parse().unwrap()]);
        assert!(resolve("not a host", 7).is_err());
    }
}
