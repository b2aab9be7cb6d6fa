//! Counters, with the names of the TCP MIB (RFC 4022) and, where it has none, of Linux's TcpExt.

use crate::counters::counters;

counters! {
    /// What TCP has counted since it began.
    TcpCounters:
    /// SYN_SENT reached from CLOSED.
    active_opens = "tcpActiveOpens",
    /// SYN_RCVD reached from LISTEN.
    passive_opens = "tcpPassiveOpens",
    /// CLOSED reached from SYN_SENT or SYN_RCVD.
    attempt_fails = "tcpAttemptFails",
    /// CLOSED reached from ESTABLISHED or CLOSE_WAIT.
    estab_resets = "tcpEstabResets",
    /// Segments received, each piece of a super-segment counted.
    in_segs = "tcpInSegs",
    /// Segments sent, without those that were only retransmitted.
    out_segs = "tcpOutSegs",
    /// Segments retransmitted.
    retrans_segs = "tcpRetransSegs",
    /// Segments received in error.
    in_errs = "tcpInErrs",
    /// Segments sent with RST.
    out_rsts = "tcpOutRsts",
    /// SYNs dropped, or completed handshakes kept waiting, because an accept queue was full.
    listen_overflows = "ListenOverflows",
    /// Half-open records that gave way to newer ones, and SYNs for which there was no room.
    syn_queue_drops = "TCPReqQFullDrop",
    /// SYNs answered by a SYN cookie for lack of room.
    syn_queue_cookies = "TCPReqQFullDoCookies",
    /// SYN cookies sent.
    syncookies_sent = "SyncookiesSent",
    /// SYN cookies that came back.
    syncookies_recv = "SyncookiesRecv",
    /// Segments that should have brought one and did not.
    syncookies_failed = "SyncookiesFailed",
    /// Segments refused by PAWS.
    paws_estab = "PAWSEstab",
    /// Challenge ACKs sent (RFC 5961).
    challenge_acks = "TCPChallengeACK",
    /// Segments that came out of order.
    ofo_queue = "TCPOFOQueue",
    /// Segments that found no room out of order.
    ofo_drop = "TCPOFODrop",
    /// Segments refused for what they have beyond the window.
    beyond_window = "BeyondWindow",
    /// DSACK blocks sent.
    dsack_sent = "TCPDSACKOldSent",
    /// DSACK blocks received.
    dsack_received = "TCPDSACKRecv",
    /// Retransmission timeouts.
    timeouts = "TCPTimeouts",
    /// Timeouts that turned out spurious (RFC 4015).
    spurious_rtos = "TCPSpuriousRTOs",
    /// Reductions of the window that were taken back (RFC 4015, RFC 3708).
    undone = "TCPFullUndo",
    /// Packet sizes that did not arrive (RFC 4821).
    mtu_failures = "TCPMTUPFail",
    /// Larger packet sizes that did.
    mtu_successes = "TCPMTUPSuccess",
    /// Tail loss probes sent (RFC 8985).
    loss_probes = "TCPLossProbes",
    /// Fast recoveries entered.
    fast_recoveries = "TCPSackRecovery",
    /// Delayed ACKs sent by their timer.
    delayed_acks = "DelayedACKs",
    /// Segments received with a congestion mark (RFC 3168).
    delivered_ce = "TCPDeliveredCE",
    /// Keepalive probes sent.
    keepalives = "TCPKeepAlive",
    /// Zero window probes sent.
    window_probes = "TCPWinProbe",
    /// Connections ended because their data was not acknowledged for too long.
    abort_on_timeout = "TCPAbortOnTimeout",
    /// Connections reset because data came that nobody would read.
    abort_on_data = "TCPAbortOnData",
    /// Connections closed by their application with data unread.
    abort_on_close = "TCPAbortOnClose",
    /// TIME_WAIT entered.
    time_wait = "TW",
    /// TIME_WAIT records that a new connection replaced.
    time_wait_reused = "TWRecycled",
    /// TIME_WAIT records that gave way for lack of room.
    time_wait_overflow = "TCPTimeWaitOverflow",
    /// Answers lost because too many waited.
    reply_drops = "TCPReplyQueueDrop",
    /// Turns in which a connection had something to send and there was no route.
    no_route = "OutNoRoutes",
}
