//! What IP and ICMP count, by the names of the MIB (RFC 4293).

use std::net::IpAddr;

/// ipSystemStatsTable, for one version of IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the MIB's names")]
pub struct IpCounters {
    pub in_receives: u64,
    pub in_octets: u64,
    pub in_hdr_errors: u64,
    pub in_no_routes: u64,
    pub in_addr_errors: u64,
    pub in_unknown_protos: u64,
    pub in_truncated_pkts: u64,
    pub in_forw_datagrams: u64,
    pub reasm_reqds: u64,
    pub reasm_oks: u64,
    pub reasm_fails: u64,
    pub in_discards: u64,
    pub in_delivers: u64,
    pub out_requests: u64,
    pub out_no_routes: u64,
    pub out_forw_datagrams: u64,
    pub out_discards: u64,
    pub out_frag_reqds: u64,
    pub out_frag_oks: u64,
    pub out_frag_fails: u64,
    pub out_frag_creates: u64,
    pub out_transmits: u64,
    /// Not in the MIB: of `in_addr_errors`, those with a source that no host has (RFC 1812, 5.3.7).
    pub in_martians: u64,
    /// Not in the MIB: of `in_discards`, those whose offload facts contradict the packet.
    pub in_bad_offload: u64,
}

impl IpCounters {
    /// All of them, with the MIB's names.
    pub fn named(&self) -> [(&'static str, u64); 24] {
        [
            ("InReceives", self.in_receives),
            ("InOctets", self.in_octets),
            ("InHdrErrors", self.in_hdr_errors),
            ("InNoRoutes", self.in_no_routes),
            ("InAddrErrors", self.in_addr_errors),
            ("InUnknownProtos", self.in_unknown_protos),
            ("InTruncatedPkts", self.in_truncated_pkts),
            ("InForwDatagrams", self.in_forw_datagrams),
            ("ReasmReqds", self.reasm_reqds),
            ("ReasmOKs", self.reasm_oks),
            ("ReasmFails", self.reasm_fails),
            ("InDiscards", self.in_discards),
            ("InDelivers", self.in_delivers),
            ("OutRequests", self.out_requests),
            ("OutNoRoutes", self.out_no_routes),
            ("OutForwDatagrams", self.out_forw_datagrams),
            ("OutDiscards", self.out_discards),
            ("OutFragReqds", self.out_frag_reqds),
            ("OutFragOKs", self.out_frag_oks),
            ("OutFragFails", self.out_frag_fails),
            ("OutFragCreates", self.out_frag_creates),
            ("OutTransmits", self.out_transmits),
            ("InMartians", self.in_martians),
            ("InBadOffload", self.in_bad_offload),
        ]
    }
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
    /// All of them, with the MIB's names; of the types, those that were counted.
    pub fn named(&self) -> Vec<(String, u64)> {
        let fixed = [
            ("InMsgs", self.in_msgs),
            ("InErrors", self.in_errors),
            ("OutMsgs", self.out_msgs),
            ("OutErrors", self.out_errors),
            ("OutRateLimited", self.out_rate_limited),
        ];
        let of = |what: &'static str, types: &[u64; 256]| {
            let counted = types.iter().enumerate().filter(|(_, count)| **count > 0);
            counted.map(|(kind, count)| (format!("{what}.{kind}"), *count)).collect::<Vec<_>>()
        };
        let fixed = fixed.into_iter().map(|(name, count)| (name.to_owned(), count));
        fixed.chain(of("InPkts", &self.in_types)).chain(of("OutPkts", &self.out_types)).collect()
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
