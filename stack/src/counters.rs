//! What IP and ICMP count, by the names of the MIB (RFC 4293).

use std::net::IpAddr;

/// Defines a set of counters that know their names in the MIB.
macro_rules! counters {
    ($(#[$of:meta])* $set:ident: $($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $set {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl $set {
            /// Every counter by its MIB name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field),)*].into_iter()
            }
        }
    };
}

pub(crate) use counters;

counters! {
    /// ipSystemStatsTable, for one version of IP.
    IpCounters:
    /// Packets that came in, wrong ones too.
    in_receives = "ipSystemStatsInReceives",
    /// Their bytes.
    in_octets = "ipSystemStatsInOctets",
    /// Dropped for what their headers say.
    in_hdr_errors = "ipSystemStatsInHdrErrors",
    /// Not forwarded for want of a route.
    in_no_routes = "ipSystemStatsInNoRoutes",
    /// Dropped for their addresses.
    in_addr_errors = "ipSystemStatsInAddrErrors",
    /// For a protocol that nobody serves.
    in_unknown_protos = "ipSystemStatsInUnknownProtos",
    /// Shorter than they say.
    in_truncated_pkts = "ipSystemStatsInTruncatedPkts",
    /// For somebody else, and this stack is to pass them on.
    in_forw_datagrams = "ipSystemStatsInForwDatagrams",
    /// Fragments.
    reasm_reqds = "ipSystemStatsReasmReqds",
    /// Datagrams made whole.
    reasm_oks = "ipSystemStatsReasmOKs",
    /// Fragments dropped, and datagrams given up.
    reasm_fails = "ipSystemStatsReasmFails",
    /// Dropped although nothing is wrong with their headers.
    in_discards = "ipSystemStatsInDiscards",
    /// Handed to a protocol.
    in_delivers = "ipSystemStatsInDelivers",
    /// Packets of this stack's own.
    out_requests = "ipSystemStatsOutRequests",
    /// Those of them without a route.
    out_no_routes = "ipSystemStatsOutNoRoutes",
    /// Passed on.
    out_forw_datagrams = "ipSystemStatsOutForwDatagrams",
    /// Dropped for want of room.
    out_discards = "ipSystemStatsOutDiscards",
    /// Datagrams to be cut.
    out_frag_reqds = "ipSystemStatsOutFragReqds",
    /// Datagrams cut.
    out_frag_oks = "ipSystemStatsOutFragOKs",
    /// Datagrams that could not be cut.
    out_frag_fails = "ipSystemStatsOutFragFails",
    /// Fragments that they became.
    out_frag_creates = "ipSystemStatsOutFragCreates",
    /// Packets that left by a link.
    out_transmits = "ipSystemStatsOutTransmits",
    /// Not in the MIB: of the address errors, those with a source that no host has (RFC 1812, 5.3.7).
    in_martians = "InMartians",
    /// Not in the MIB: of the discards, those whose offload facts contradict the packet.
    in_bad_offload = "InBadOffload",
}

/// icmpStatsTable and icmpMsgStatsTable, for one version of ICMP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the MIB's names")]
pub struct IcmpCounters {
    pub in_msgs: u64,
    pub in_errors: u64,
    pub out_msgs: u64,
    pub out_errors: u64,
    /// Not in the MIB: errors that were not sent, because there were too many.
    pub out_rate_limited: u64,
    /// icmpMsgStatsInPkts, by type.
    pub in_types: [u64; 256],
    /// icmpMsgStatsOutPkts, by type.
    pub out_types: [u64; 256],
}

impl Default for IcmpCounters {
    fn default() -> Self {
        IcmpCounters {
            in_msgs: 0,
            in_errors: 0,
            out_msgs: 0,
            out_errors: 0,
            out_rate_limited: 0,
            in_types: [0; 256],
            out_types: [0; 256],
        }
    }
}

impl IcmpCounters {
    /// Every counter by its MIB name; of the types, those that were counted.
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> {
        let fixed = [
            ("icmpStatsInMsgs", self.in_msgs),
            ("icmpStatsInErrors", self.in_errors),
            ("icmpStatsOutMsgs", self.out_msgs),
            ("icmpStatsOutErrors", self.out_errors),
            ("OutRateLimited", self.out_rate_limited),
        ];
        let of = |what: &'static str, types: &[u64; 256]| {
            let counted = types.iter().enumerate().filter(|(_, count)| **count > 0);
            counted.map(|(kind, count)| (format!("{what}.{kind}"), *count)).collect::<Vec<_>>()
        };
        let fixed = fixed.map(|(name, count)| (name.to_owned(), count)).into_iter();
        let types = of("icmpMsgStatsInPkts", &self.in_types);
        fixed.chain(types).chain(of("icmpMsgStatsOutPkts", &self.out_types))
    }
}

/// Counters of IPv4 and ICMP, and of IPv6 and ICMPv6.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// IPv4.
    pub v4: IpCounters,
    /// IPv6.
    pub v6: IpCounters,
    /// ICMP.
    pub icmp: IcmpCounters,
    /// ICMPv6.
    pub icmpv6: IcmpCounters,
}

impl Counters {
    /// Those of the version that `address` belongs to.
    pub fn ip(&mut self, address: IpAddr) -> &mut IpCounters {
        if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }

    /// Those of ICMP for the version that `address` belongs to.
    pub fn icmp(&mut self, address: IpAddr) -> &mut IcmpCounters {
        if address.is_ipv4() { &mut self.icmp } else { &mut self.icmpv6 }
    }
}
