//! IPv6 extension headers (RFC 8200, section 4): in any order and number that a sender may choose,
//! up to a bound (RFC 8504, section 5.3).

use super::ip::protocol;

/// Next Header values that name an extension header.
pub mod header {
    /// Hop-by-Hop Options; only directly behind the IPv6 header.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing.
    pub const ROUTING: u8 = 43;
    /// Fragment.
    pub const FRAGMENT: u8 = 44;
    /// Nothing follows.
    pub const NONE: u8 = 59;
    /// Destination Options.
    pub const DESTINATION: u8 = 60;
}

/// Extension headers of one packet; more have no honest use.
pub const MAX_HEADERS: usize = 8;
/// Options of one header, padding included.
const MAX_OPTIONS: usize = 32;

/// Codes of ICMPv6 Parameter Problem (RFC 4443, RFC 7112, RFC 8883).
pub mod code {
    /// An erroneous header field.
    pub const FIELD: u8 = 0;
    /// An unrecognised Next Header.
    pub const NEXT_HEADER: u8 = 1;
    /// An unrecognised option.
    pub const OPTION: u8 = 2;
    /// A first fragment without the whole chain of headers.
    pub const INCOMPLETE: u8 = 3;
    /// Too many extension headers.
    pub const TOO_MANY_HEADERS: u8 = 8;
    /// Too many options in one header.
    pub const TOO_MANY_OPTIONS: u8 = 9;
}

/// Why the packet goes no further here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Code of the Parameter Problem that its source is told; none if the packet is dropped silently.
    pub code: Option<u8>,
    /// Byte of the packet that is at fault.
    pub pointer: u32,
    /// The source is told even if the packet was sent to a group (RFC 8200, section 4.2, option 10).
    pub to_multicast: bool,
    /// Routers on the way have to mind it too.
    pub on_path: bool,
}

impl Problem {
    fn new(code: u8, pointer: usize) -> Problem {
        Problem { code: Some(code), pointer: offset(pointer), to_multicast: false, on_path: false }
    }
}

/// Within one packet.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The Fragment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification of the datagram.
    pub identification: u32,
    /// Where the payload lies in the datagram, in bytes.
    pub offset: u32,
    /// Whether parts follow.
    pub more: bool,
    /// Where the Next Header field lies that names this header.
    pub named_at: usize,
}

/// Where a walk along the headers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What follows.
    pub protocol: u8,
    /// The field that says so.
    pub named_at: usize,
    /// Where it begins.
    pub at: usize,
    /// The walk ends at a Fragment header, unless that makes the packet the whole datagram (RFC 6946).
    pub fragment: Option<Fragment>,
    /// What the walk stumbled over.
    pub problem: Option<Problem>,
}

/// Walks along the headers of an IPv6 packet of at least 40 bytes, as its destination has to.
/// `None` if a header says more than is there.
pub fn walk(packet: &[u8]) -> Option<Chain> {
    let mut chain = Chain { protocol: packet[6], named_at: 6, at: 40, fragment: None, problem: None };
    for count in 0.. {
        let (at, stop) = (chain.at, |problem| Some(Chain { problem: Some(problem), ..chain }));
        let length = match chain.protocol {
            // RFC 8200, section 4: zero anywhere else is no Next Header that is known.
            header::HOP_BY_HOP if count > 0 => return stop(Problem::new(code::NEXT_HEADER, chain.named_at)),
            header::HOP_BY_HOP | header::DESTINATION | header::ROUTING => usize::from(*packet.get(at + 1)?) * 8 + 8,
            header::FRAGMENT => 8,
            _ => return Some(chain),
        };
        let body = packet.get(at..at + length)?;
        if count == MAX_HEADERS {
            return stop(Problem::new(code::TOO_MANY_HEADERS, at));
        }
        match chain.protocol {
            header::ROUTING => {
                // Section 4.4: no type is known here, and type 0 must not be (RFC 5095).
                if body[3] != 0 {
                    return stop(Problem::new(code::FIELD, at + 2));
                }
            }
            header::FRAGMENT => {
                let field = u16::from_be_bytes([body[2], body[3]]);
                let fragment = Fragment {
                    identification: u32::from_be_bytes([body[4], body[5], body[6], body[7]]),
                    offset: u32::from(field & 0xfff8),
                    more: field & 1 != 0,
                    named_at: chain.named_at,
                };
                if fragment.offset != 0 || fragment.more {
                    let (protocol, named_at, at) = (body[0], at, at + 8);
                    return Some(Chain { protocol, named_at, at, fragment: Some(fragment), problem: None });
                }
            }
            kind => {
                if let Some(mut problem) = options(&body[2..], at + 2) {
                    problem.on_path = kind == header::HOP_BY_HOP;
                    return stop(problem);
                }
            }
        }
        chain = Chain { protocol: body[0], named_at: at, at: at + length, ..chain };
    }
    None
}

/// RFC 8200, section 4.2: the two highest bits of an unknown option say what to do.
fn options(options: &[u8], begins: usize) -> Option<Problem> {
    const PAD1: u8 = 0;
    const PADN: u8 = 1;
    let mut at = 0;
    for count in 0.. {
        let kind = *options.get(at)?;
        if count == MAX_OPTIONS {
            return Some(Problem::new(code::TOO_MANY_OPTIONS, begins + at));
        }
        if kind == PAD1 {
            at += 1;
            continue;
        }
        let end = options.get(at + 1).map(|length| at + 2 + usize::from(*length));
        let Some(end) = end.filter(|end| *end <= options.len()) else {
            // It reaches out of its header.
            return Some(Problem::new(code::FIELD, begins + at));
        };
        let unknown = Problem::new(code::OPTION, begins + at);
        match kind >> 6 {
            _ if kind == PADN => {}
            0b00 => {}
            0b01 => return Some(Problem { code: None, ..unknown }),
            0b10 => return Some(Problem { to_multicast: true, ..unknown }),
            _ => return Some(unknown),
        }
        at = end;
    }
    None
}

/// RFC 7112: whether a first fragment holds all headers up to that of the upper layer. `payload`
/// is what follows the Fragment header, which names `next`.
pub fn is_complete(mut next: u8, mut payload: &[u8]) -> bool {
    for _ in 0..MAX_HEADERS {
        let length = match next {
            header::HOP_BY_HOP | header::DESTINATION | header::ROUTING => match payload.get(1) {
                Some(length) => usize::from(*length) * 8 + 8,
                None => return false,
            },
            header::FRAGMENT => 8,
            header::NONE => return true,
            protocol::TCP => return payload.len() >= 20,
            protocol::UDP | protocol::ICMPV6 => return payload.len() >= 8,
            _ => return !payload.is_empty(),
        };
        let (Some(first), Some(rest)) = (payload.first(), payload.get(length..)) else { return false };
        (next, payload) = (*first, rest);
    }
    // Too many of them is found once the datagram is whole.
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with these extension headers before 20 bytes of TCP: number and content of each,
    /// where the first byte of the content is set to the number of the next.
    fn packet(headers: &[(u8, &[u8])]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        let mut named_at = 6;
        for (number, content) in headers {
            packet[named_at] = *number;
            named_at = packet.len();
            packet.extend_from_slice(content);
        }
        packet[named_at] = protocol::TCP;
        packet.extend_from_slice(&[0; 20]);
        packet
    }

    const PADDED: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];
    const ROUTED: &[u8] = &[0, 0, 4, 0, 0, 0, 0, 0];
    const ATOMIC: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 9];

    fn option(kind: u8) -> [u8; 8] {
        [0, 0, kind, 4, 0, 0, 0, 0]
    }

    /// RFC 8200, section 4.1: extension headers are taken in any order and any number of times.
    /// RFC 6946: an atomic fragment is whole.
    #[test]
    fn known_headers_are_passed_in_any_order() {
        let orders: [&[(u8, &[u8])]; 5] = [
            &[],
            &[(0, PADDED), (60, PADDED), (43, ROUTED), (44, ATOMIC), (60, PADDED)],
            &[(60, PADDED), (44, ATOMIC), (43, ROUTED), (60, PADDED), (43, ROUTED)],
            &[(44, ATOMIC), (44, ATOMIC)],
            &[(0, &[0, 1, 5, 2, 0, 0, 0x3e, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
        ];
        for headers in orders {
            let packet = packet(headers);
            let chain = walk(&packet).unwrap();
            assert_eq!((chain.protocol, chain.at), (protocol::TCP, packet.len() - 20), "{headers:?}");
            assert_eq!((chain.fragment, chain.problem), (None, None));
            assert_eq!(packet[chain.named_at], protocol::TCP);
        }
    }

    /// RFC 8200, sections 4, 4.2 and 4.4: what is unknown is answered as the RFC says, with a
    /// pointer to it; RFC 5095: routing type 0 is unknown; RFC 8883: beyond a bound.
    #[test]
    fn what_is_unknown_is_pointed_at() {
        let problem = |headers: &[(u8, &[u8])]| walk(&packet(headers)).unwrap().problem;
        let told = |code, pointer| Some(Problem::new(code, pointer));
        assert_eq!(problem(&[(60, PADDED), (0, PADDED)]), told(code::NEXT_HEADER, 40));
        assert_eq!(problem(&[(43, &[0, 0, 0, 1, 0, 0, 0, 0])]), told(code::FIELD, 42));
        assert_eq!(problem(&[(60, &option(0x1e))]), None, "00: skipped");
        let silent = Problem { code: None, ..Problem::new(code::OPTION, 42) };
        assert_eq!(problem(&[(60, &option(0x5e))]), Some(silent), "01: dropped");
        let always = Problem { to_multicast: true, ..Problem::new(code::OPTION, 42) };
        assert_eq!(problem(&[(60, &option(0x9e))]), Some(always), "10: told in any case");
        assert_eq!(problem(&[(60, &option(0xde))]), told(code::OPTION, 42), "11: told unless to a group");
        let on_path = Problem { on_path: true, ..Problem::new(code::OPTION, 42) };
        assert_eq!(problem(&[(0, &option(0xc2))]), Some(on_path), "no jumbograms (RFC 2675)");
        assert_eq!(problem(&[(60, &[0, 0, 1, 5, 0, 0, 0, 0])]), told(code::FIELD, 42), "out of its header");
        let many = [(60, PADDED); MAX_HEADERS + 1];
        assert_eq!(problem(&many[1..]), None);
        assert_eq!(problem(&many), told(code::TOO_MANY_HEADERS, 40 + 8 * MAX_HEADERS));
        let mut bomb = vec![0; 48];
        bomb[1] = 5;
        assert_eq!(problem(&[(60, &bomb)]), told(code::TOO_MANY_OPTIONS, 42 + MAX_OPTIONS));
    }

    /// A header that says more than is there.
    #[test]
    fn a_cut_chain_is_malformed() {
        let whole = packet(&[(60, PADDED), (43, ROUTED)]);
        for cut in 41..56 {
            assert_eq!(walk(&whole[..cut]), None, "{cut}");
        }
    }

    /// RFC 7112, section 5.
    #[test]
    fn a_first_fragment_holds_the_upper_layer_header() {
        assert!(is_complete(protocol::TCP, &[0; 20]) && !is_complete(protocol::TCP, &[0; 19]));
        assert!(is_complete(header::NONE, &[]) && !is_complete(200, &[]));
        assert!(!is_complete(header::DESTINATION, PADDED) && !is_complete(header::DESTINATION, &[6]));
        let mut options = PADDED.to_vec();
        (options[0], options[1]) = (protocol::UDP, 0);
        assert!(!is_complete(header::DESTINATION, &options));
        options.extend_from_slice(&[0; 8]);
        assert!(is_complete(header::DESTINATION, &options));
    }
}
