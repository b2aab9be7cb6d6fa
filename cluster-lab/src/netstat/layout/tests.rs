//! Reports as z/OS lays them out.

use crate::netstat::*;

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

fn destination() -> DestinationRow {
    DestinationRow {
        address: "201.2.10.11".parse().unwrap(),
        port: 245,
        xcf: "201.1.10.10".parse().unwrap(),
        ready: 1,
        total: 10_000_000_007,
        active: 1,
        method: "ROUNDROBIN".into(),
        server: None,
        weight: 1,
        raw_weight: None,
        flags: vec![Flag::Dynamic, Flag::Roundrobin],
        responsiveness: Responsiveness { tsr: 75, cer: 75, ..Responsiveness::default() },
    }
}

/// The short VDPT report: column by column, and TotalConn wraps.
#[test]
fn vdpt_is_laid_out_as_on_zos() {
    let report = Report::Vdpt { destinations: vec![destination()] };
    let text = report.to_string();
    let lines = lines(&text);
    assert_eq!(lines[1], "Dest IPaddr     DPort DestXCF Addr    Rdy TotalConn  WLM  TSR Flg");
    assert_eq!(lines[3], "201.2.10.11     00245 201.1.10.10     001 0000000007 01   075 DR");
    assert_eq!(report.to_json()["destinations"][0]["port"], 245);
}

/// VDPT DETAIL, line by line.
#[test]
fn vdpt_detail_is_laid_out_as_on_zos() {
    let report = Report::Vdpt { destinations: vec![destination()] };
    let text = report.text(Some(Variant::Detail)).to_string();
    assert_eq!(
        lines(&text)[1..],
        [
            "Dest:        201.2.10.11..245",
            "  DestXCF:   201.1.10.10",
            "  TotalConn: 0000000007  Rdy: 001  WLM: 01 TSR: 075",
            "  DistMethod: ROUNDROBIN",
            "  Flg: Dynamic, Roundrobin",
            "    TCSR: 100 CER: 075 SEF: 100",
            "    Abnorm: 00         Health: 100",
            "  ActiveConn: 0000000001",
            "    QosPlcAct: *DEFAULT*   W/Q: 01",
        ]
    );
    assert!(ReportKind::Vdpt.has(Some(Variant::Dvipa)).is_err());
}

/// ALL: a listener.
#[test]
fn all_is_laid_out_as_on_zos() {
    let connection = ConnectionRow {
        user: "WEB".into(),
        protocol: "TCP".into(),
        local: "201.2.10.11..80".into(),
        foreign: "0.0.0.0..0".into(),
        state: "Listen".into(),
        send_queue: 0,
        receive_queue: 3,
    };
    let listener = ListenerRow {
        maximum_backlog: 10,
        current_backlog: 3,
        half_open: 1,
        current_connections: 7,
        sef: 70,
        quiesced: false,
    };
    let row = DetailRow { connection, listener: Some(listener), tcp: None };
    let report = Report::All { connections: vec![row] };
    let text = report.to_string();
    assert_eq!(
        lines(&text)[..],
        [
            "Client Name: WEB",
            "  Local Socket: 201.2.10.11..80",
            "  Foreign Socket: 0.0.0.0..0",
            "    State: Listen",
            "    ReceiveDataQueued: 0000000003  SendDataQueued: 0000000000",
            "    MaximumBacklog:    0000000010  CurrentBacklog: 0000000003",
            "    CurrentConnections: 0000000007  SEF: 070",
            "    HalfOpen:          0000000001  Quiesced: No",
        ]
    );
    assert_eq!(report.to_json()["connections"][0]["listener"]["sef"], 70);
}

/// VCRT and VCRT DETAIL.
#[test]
fn vcrt_is_laid_out_as_on_zos() {
    let row = RouteRow {
        destination: "201.2.10.11:21".parse().unwrap(),
        source: "201.1.10.85:1027".parse().unwrap(),
        xcf: "201.1.10.10".parse().unwrap(),
        state: "established".into(),
    };
    let report = Report::Vcrt { connections: vec![row] };
    let text = report.to_string();
    assert_eq!(lines(&text)[1].trim_end(), "Dest IPaddr     DPort Src IPaddr      SPort DestXCF Addr");
    assert_eq!(lines(&text)[3], "201.2.10.11     00021 201.1.10.85     01027 201.1.10.10");
    let text = report.text(Some(Variant::Detail)).to_string();
    assert_eq!(
        lines(&text)[1..5],
        [
            "Dest:       201.2.10.11..21",
            "  Source:   201.1.10.85..1027",
            "  DestXCF:  201.1.10.10",
            "    PolicyRule:   *NONE*"
        ]
    );
}

/// VIPADCFG: every section, the deactivated definitions by themselves, and the messages outside the group.
#[test]
fn vipadcfg_has_every_section() {
    let address = "201.2.10.11".parse().unwrap();
    let backup = |moveable: &str, prefix, deactivated| BackupRow {
        address: "201.2.10.12".parse().unwrap(),
        prefix,
        rank: 100,
        moveable: moveable.into(),
        deactivated,
    };
    let define = DefineRow { address, prefix: 28, moveable: "Immediate".into(), deactivated: false };
    let range = RangeRow { address: "201.2.10.192".parse().unwrap(), prefix: 28, moveable: "NonDisr".into() };
    let distribute = DistributeRow {
        address,
        ports: vec!["20".into()],
        destinations: vec!["201.1.10.10".into()],
        method: "WEIGHTEDACTIVE".into(),
        weights: vec![9],
        standby: None,
        sysplex_ports: false,
        timed_affinity: 30,
        optlocal: Some(1),
    };
    let report = Report::Vipadcfg {
        in_group: false,
        backups: vec![backup("", None, false), backup("Immediate", Some(28), true)],
        defines: vec![define],
        ranges: vec![range],
        distributes: vec![distribute],
    };
    let text = report.to_string();
    let lines = lines(&text);
    assert!(lines[0].starts_with("EZZ2502I") && lines[1].starts_with("EZZ2503I"), "{text}");
    assert_eq!(
        lines[2..],
        [
            "Dynamic VIPA Information:",
            "  VIPA Backup:",
            "    IpAddr/PrefixLen: 201.2.10.12",
            "      Rank: 000100  Moveable:             SrvMgr:",
            "  VIPA Define:",
            "    IpAddr/PrefixLen: 201.2.10.11/28",
            "      Moveable: Immediate  SrvMgr: No",
            "  VIPA Range:",
            "    IpAddr/PrefixLen: 201.2.10.192/28",
            "      Moveable: NonDisr",
            "  VIPA Distribute:",
            "    Dest:      201.2.10.11..20",
            "      DestXCF:    201.1.10.10",
            "      DistMethod: WEIGHTEDACTIVE",
            "      Weight:     09",
            "      SysPt: No   TimAff: 0030",
            "      OptLoc: Yes  Value: 01",
            "Deactivated Dynamic VIPA Information:",
            "  VIPA Backup:",
            "    IpAddr/PrefixLen: 201.2.10.12/28",
            "      Rank: 000100  Moveable: Immediate   SrvMgr: No",
        ]
    );
}

/// VIPADYN: status, origin and the time of activation; VIPAROUTE has no rows here.
#[test]
fn vipadyn_tells_when_a_dvipa_was_activated() {
    let row = DvipaRow {
        address: "201.2.10.11".parse().unwrap(),
        prefix: 28,
        status: "Active".into(),
        rank: Some(255),
        origin: "VIPADEFINE".into(),
        distribution: "Dist/Dest".into(),
        activated: Some("2012-07-30T20:05:42Z".parse().unwrap()),
        owner: None,
        epoch: (1, 255),
        advertised: true,
    };
    let made = DvipaRow {
        address: "201.2.10.12".parse().unwrap(),
        rank: None,
        origin: "VIPARANGE BIND".into(),
        distribution: String::new(),
        activated: None,
        ..row.clone()
    };
    let report = Report::Vipadyn { dvipas: vec![row, made] };
    let text = report.to_string();
    assert_eq!(
        lines(&text),
        [
            "Dynamic VIPA:",
            "  IpAddr/PrefixLen: 201.2.10.11/28",
            "    Status: Active     Origin: VIPADEFINE       DistStat: Dist/Dest  Rank: 255",
            "    ActTime: 07/30/2012 20:05:42",
            "  IpAddr/PrefixLen: 201.2.10.12/28",
            "    Status: Active     Origin: VIPARANGE BIND",
        ]
    );
    assert_eq!(report.text(Some(Variant::Viparoute)).to_string(), "VIPA Route:\n");
}

/// CONN, ROUTE and HOME.
#[test]
fn tables_of_the_stack_have_their_columns() {
    let row = ConnectionRow {
        user: "FTPD1".into(),
        protocol: "TCP".into(),
        local: "0.0.0.0..21".into(),
        foreign: "0.0.0.0..0".into(),
        state: "Listen".into(),
        send_queue: 0,
        receive_queue: 0,
    };
    let text = Report::Conn { connections: vec![row] }.to_string();
    assert_eq!(lines(&text)[0], "User Id  Local Socket           Foreign Socket         State");
    assert_eq!(lines(&text)[2], "FTPD1    0.0.0.0..21            0.0.0.0..0             Listen");
    let path = |destination: &str, prefix, gateway: Option<&str>, flags: &str| PathRow {
        destination: destination.parse().unwrap(),
        prefix,
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        flags: flags.into(),
        link: "XCF".into(),
        mtu: 1500,
    };
    let routes = vec![path("0.0.0.0", 0, Some("192.0.2.1"), "UGS"), path("192.0.2.1", 32, None, "UHS")];
    let text = Report::Route { routes }.to_string();
    assert_eq!(lines(&text)[0], "IPv4 Destinations");
    assert_eq!(lines(&text)[3], "Default            192.0.2.1       UGS    01500 XCF");
    assert_eq!(lines(&text)[4], "192.0.2.1/32       0.0.0.0         UHS    01500 XCF");
    let home = HomeRow { address: "203.0.113.1".parse().unwrap(), link: "VIPLCB007101".into(), flag: "I".into() };
    let text = Report::Home { addresses: vec![home] }.to_string();
    assert_eq!(lines(&text)[3], "VIPLCB007101     203.0.113.1      I");
}
