//! Which preferred addresses of a server a client follows. A server could have its clients send
//! to whom it cannot reach itself (RFC 9000, section 21.5).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whether a client of a server at `current` may send to `preferred`: only as far inside as it
/// went by itself, and to no port where UDP from anybody does harm.
pub(crate) fn may_prefer(current: SocketAddr, preferred: SocketAddr) -> bool {
    let Some(reach) = Reach::of(preferred.ip()) else {
        return false;
    };
    Reach::of(current.ip()).is_some_and(|current| reach >= current)
        && !BLOCKED_PORTS.contains(&preferred.port())
}

/// How far away an address can be, nearest first.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Loopback,
    Link,
    Private,
    Global,
}

impl Reach {
    /// `None` for what is nobody's address.
    fn of(ip: IpAddr) -> Option<Self> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Option<Self> {
        let [a, b, ..] = ip.octets();
        // "This network", multicast, reserved and broadcast.
        if a == 0 || a >= 224 {
            return None;
        }
        // Between a provider and its customers (RFC 6598).
        let is_shared = a == 100 && b & 0xc0 == 64;
        Some(match ip {
            _ if ip.is_loopback() => Self::Loopback,
            _ if ip.is_link_local() => Self::Link,
            _ if ip.is_private() || is_shared => Self::Private,
            _ => Self::Global,
        })
    }

    fn of_v6(ip: Ipv6Addr) -> Option<Self> {
        if ip.is_unspecified() || ip.is_multicast() {
            return None;
        }
        Some(match ip {
            _ if ip.is_loopback() => Self::Loopback,
            _ if ip.is_unicast_link_local() => Self::Link,
            _ if ip.is_unique_local() => Self::Private,
            _ => Self::Global,
        })
    }
}

/// Echo, chargen, DNS, TFTP, portmap, NTP, NetBIOS, SNMP, LDAP, SSDP, mDNS, memcached: protocols
/// that answer anybody, or act on what anybody says.
const BLOCKED_PORTS: [u16; 15] = [
    0, 7, 19, 53, 69, 111, 123, 137, 138, 161, 389, 1900, 5353, 5355, 11_211,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_as_far_inside_as_the_client_is() {
        // Nearest first; each may be followed from those before it and itself.
        let v4 = [
            "127.0.0.1:443",
            "169.254.1.1:443",
            "10.1.2.3:443",
            "203.0.113.1:443",
        ];
        let v6 = [
            "[::1]:443",
            "[fe80::1]:443",
            "[fd00::1]:443",
            "[2001:db8::1]:443",
        ];
        for addresses in [v4, v6] {
            for (i, current) in addresses.iter().enumerate() {
                for (j, preferred) in addresses.iter().enumerate() {
                    assert_eq!(
                        may_prefer(at(current), at(preferred)),
                        j >= i,
                        "{current} to {preferred}"
                    );
                }
            }
        }
        for private in ["100.64.0.1:443", "192.168.1.1:443", "172.31.0.1:443"] {
            assert!(!may_prefer(at("203.0.113.1:443"), at(private)), "{private}");
            assert!(may_prefer(at("10.0.0.1:443"), at(private)), "{private}");
        }
        assert!(!may_prefer(
            at("203.0.113.1:443"),
            at("[::ffff:127.0.0.1]:443")
        ));
    }

    #[test]
    fn some_addresses_are_nobodys() {
        let nobodys = [
            "0.0.0.0:443",
            "224.0.0.1:443",
            "255.255.255.255:443",
            "[::]:443",
            "[ff02::1]:443",
            "203.0.113.1:0",
            "203.0.113.1:53",
            "203.0.113.1:11211",
        ];
        for address in nobodys {
            assert!(!may_prefer(at("127.0.0.1:443"), at(address)), "{address}");
        }
    }
}
