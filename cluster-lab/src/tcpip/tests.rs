//! Statements read right, and every mistake found where it is.

use super::*;

fn value(settings: &Settings, name: &str) -> String {
    settings.rows().into_iter().find(|(_, known, _)| *known == name).map(|(_, _, value)| value).unwrap()
}

#[test]
fn statements_change_what_they_name() {
    let text = "TCPCONFIG RECVBUFRSIZE 65536 SENDBUFRSIZE 8388608 ; buffers\n FINWAIT2TIME 30 nodelayacks\n\
                TCPCONFIG INTERVAL 5 KEEPALIVEPROBES 3 CONGESTIONCONTROL newreno EPHEMERALPORTS 20000 30000 NOPACING\n\
                UDPCONFIG UDPRCVBUFRSIZE 65536 IPCONFIG DATAGRAMFWD REASSEMBLYTIMEOUT 15\nSOMAXCONN 10";
    let settings = parse(text, &Settings::default()).unwrap();
    for (name, expected) in [
        ("DefaultRcvBufSize", "65536"),
        ("DefltMaxSndBufSize", "8388608"),
        ("FinWait2Time", "30"),
        ("DelayAck", "No"),
        ("DefaultKeepAlive", "5"),
        ("KeepAliveProbes", "3"),
        ("CongestionControl", "NEWRENO"),
        ("Pacing", "No"),
        ("EphemeralPorts", "20000-30000"),
        ("RsmTimeOut", "15"),
        ("Forwarding", "Yes"),
        ("SoMaxConn", "10"),
        ("TimeWaitInterval", "60"),
    ] {
        assert_eq!(value(&settings, name), expected, "{name}");
    }
    // What is not named stays.
    let changed = parse("TCPCONFIG DELAYACKS INTERVAL 0", &settings).unwrap();
    assert_eq!((value(&changed, "DelayAck"), value(&changed, "FinWait2Time")), ("Yes".into(), "30".into()));
    assert_eq!((changed.keepalive(), value(&changed, "KeepAliveProbes")), (None, "3".into()));
}

/// How many probes there are, and how often, says not that there are any.
#[test]
fn keepalive_is_switched_on_by_its_interval_alone() {
    let counted = parse("TCPCONFIG KEEPALIVEPROBES 3 KEEPALIVEPROBEINTERVAL 5", &Settings::default()).unwrap();
    assert_eq!((counted.keepalive(), value(&counted, "DefaultKeepAlive")), (None, "Off".into()));
    let on = parse("TCPCONFIG INTERVAL 2", &counted).unwrap();
    let expected = Keepalive { idle: Duration::from_secs(120), interval: Duration::from_secs(5), count: 3 };
    assert_eq!(on.keepalive(), Some(expected));
}

#[test]
fn mistakes_are_found_where_they_are() {
    for (text, line, column, reason) in [
        ("TCPCONFIG RECVBUFRSIZE 255", 1, 24, "256 to 8388608"),
        ("TCPCONFIG\n RECVBUFRSIZE IPCONFIG DATAGRAMFWD", 2, 15, "without its number"),
        ("TCPCONFIG CONGESTIONCONTROL VEGAS", 1, 29, "CUBIC"),
        ("TCPCONFIG EPHEMERALPORTS 3000 2000", 1, 11, "lower port first"),
        ("TCPCONFIG TTLS", 1, 11, "there is no AT-TLS"),
        ("TCPCONFIG FASTPATH", 1, 11, "not supported"),
        ("PORT 80", 1, 8, "cut off: expected TCP or UDP"),
        ("PORT 0 TCP WEB", 1, 6, "1 to 65535"),
        ("PORT 80 SCTP WEB", 1, 9, "expected TCP or UDP"),
        ("PORT 80 TCP WEB BIND nowhere", 1, 22, "expected an address"),
        ("PORT 80 TCP WEB SHAREPORT", 1, 17, "one listener"),
        ("PORT 80 TCP WEB SAF NAME", 1, 17, "no SAF"),
        ("IPCONFIG DYNAMICXCF 192.0.2.1 255.255.255.0 1", 1, 10, "'xcf' of an image"),
        ("IPCONFIG TTL 0", 1, 14, "1 to 255"),
        ("IPCONFIG6 DATAGRAMFWD", 1, 1, "both IP versions"),
        ("GLOBALCONFIG SYSPLEXMONITOR AUTOREJOIN", 1, 29, "by itself"),
        ("GLOBALCONFIG SYSPLEXMONITOR TIMERSECS 60", 1, 29, "heartbeats"),
        ("DEVICE V1 VIRTUAL 0", 1, 1, "'link' and 'xcf'"),
        ("AUTOLOG 1 WEB ENDAUTOLOG", 1, 1, "'apps' of an image"),
        ("NONSENSE 80", 1, 1, "no statement"),
        ("SOMAXCONN", 1, 10, "without its number"),
    ] {
        let errors = parse(text, &Settings::default()).unwrap_err();
        assert_eq!((errors[0].at.line, errors[0].at.column), (line, column), "{errors:?}");
        assert!(errors[0].message.contains(reason), "{errors:?}");
    }
}

/// Every word of z/OS that is not for here is refused with its own reason, where it stands.
#[test]
fn what_is_not_for_here_is_refused_with_its_reason() {
    let parameters = elsewhere::PARAMETERS.iter().map(|(statement, word, why)| {
        let before = if *statement == "PORT" { "PORT 80 TCP WEB" } else { statement };
        (format!("{before} {word}"), why)
    });
    let statements = elsewhere::REFUSED.iter().map(|(word, why)| ((*word).to_owned(), why));
    for (text, why) in statements.chain(parameters) {
        let errors = parse(&text, &Settings::default()).unwrap_err();
        let column = text.rfind(' ').map_or(1, |at| at + 2) as u32;
        assert_eq!((errors[0].at.line, errors[0].at.column), (1, column), "{text}: {errors:?}");
        assert!(errors[0].message.contains(why), "{text}: {errors:?}");
    }
}

/// A profile holds both kinds of statements; errors in either stand where they stand.
#[test]
fn profiles_are_split_in_place() {
    let text = "TCPCONFIG DELAYACKS\nVIPADynamic é\n VIPABackup 1 DVA1 ENDVIPADynamic\nSOMAXCONN 5";
    let (own, block) = split(text);
    let block = block.unwrap();
    assert_eq!(own.split_whitespace().collect::<Vec<_>>(), ["TCPCONFIG", "DELAYACKS", "SOMAXCONN", "5"]);
    assert!(block.trim().starts_with("VIPADynamic é") && block.trim().ends_with("ENDVIPADynamic"));
    let place = |text: &str, word: &str| words(text).0.into_iter().find(|found| found.text == word).map(|w| w.at);
    assert_eq!(place(&own, "SOMAXCONN"), place(text, "SOMAXCONN"));
    assert_eq!(place(&block, "VIPABackup"), place(text, "VIPABackup"));
    assert_eq!(split("SOMAXCONN 5").1, None);
    assert!(!says_anything(&split("VIPADYN ENDVIPADYN what").0), "the block's parser complains");
}

/// PORT: who may have a port and where; the same port again takes the place of what was said before.
#[test]
fn ports_are_reserved_and_bound() {
    let text = "PORT 80 TCP WEB NOAUTOLOG BIND 203.0.113.1 ; one\n 81 TCP * 7 UDP RESERVED\nSOMAXCONN 5";
    let settings = parse(text, &Settings::default()).unwrap();
    let entries: Vec<String> = settings.ports.iter().map(Port::to_string).collect();
    assert_eq!(entries, ["80 TCP WEB BIND 203.0.113.1", "81 TCP *", "7 UDP RESERVED"]);
    let of = |settings: &Settings, number: u16, name: &str| {
        settings.ports.iter().find(|port| port.number == number).unwrap().is_for(name)
    };
    assert!(of(&settings, 80, "web") && !of(&settings, 80, "FTPD") && of(&settings, 81, "FTPD"));
    assert!(!of(&settings, 7, "RESERVED"));
    let changed = parse("PORT 80 TCP FTPD", &settings).unwrap();
    assert!(of(&changed, 80, "FTPD") && !of(&changed, 80, "WEB") && changed.ports.len() == 3);
    assert_eq!(settings.backlog, Some(5));
}

/// GLOBALCONFIG SYSPLEXMONITOR: NOJOIN, and what is so anyway.
#[test]
fn the_monitor_can_be_told_not_to_join() {
    let text = "GLOBALCONFIG SYSPLEXMONITOR NOJOIN NORECOVERY NOMONINTERFACE NODYNROUTE IPCONFIG SYSPLEXROUTING TTL 9";
    let settings = parse(text, &Settings::default()).unwrap();
    assert!(settings.stays_out && value(&settings, "SysplexMonitor").starts_with("Join: No"));
    assert_eq!(value(&settings, "TimeToLive"), "9");
    assert!(!parse("GLOBALCONF SYSPLEXMON JOIN", &settings).unwrap().stays_out);
}
