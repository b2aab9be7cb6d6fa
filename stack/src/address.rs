//! Which addresses a packet may come from, and which may be answered.

use std::net::IpAddr;

/// Whether the address stands for exactly one host somewhere: what an ICMP error may be about and
/// may be sent to (RFC 1122, section 3.2.2; RFC 4443, section 2.4 e.6).
pub fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_loopback()
                // "This network", and what is reserved (RFC 1122, section 3.2.1.3).
                || v4.octets()[0] == 0
                || v4.octets()[0] >= 240)
        }
        IpAddr::V6(v6) => {
            !(v6.is_multicast()
                || v6.is_unspecified()
                || v6.is_loopback()
                // IPv4-mapped addresses are for sockets, not for the wire (RFC 4942, section 2.2).
                || v6.to_ipv4_mapped().is_some())
        }
    }
}

/// Whether a packet with this address stays on its link (RFC 3927, section 7; RFC 4291, section 2.5.6).
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1812, section 5.3.7; RFC 4443, section 2.4 e.6.
    #[test]
    fn only_hosts_are_unicast() {
        for host in ["198.51.100.1", "10.0.0.255", "2001:db8::1", "fe80::1", "fd00::1"] {
            assert!(is_unicast(host.parse().unwrap()), "{host}");
        }
        let others = ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"];
        for other in others.into_iter().chain(["::", "::1", "ff02::1", "::ffff:192.0.2.1"]) {
            assert!(!is_unicast(other.parse().unwrap()), "{other}");
        }
        assert!(is_link_local("fe80::1".parse().unwrap()) && is_link_local("169.254.1.1".parse().unwrap()));
        assert!(!is_link_local("2001:db8::1".parse().unwrap()));
    }
}
