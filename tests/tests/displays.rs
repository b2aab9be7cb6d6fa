//! Reports and displays: what they show is what clients did, at every moment, over a takeover and back.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::Value;
use tests::{Lab, Running, established, eventually, succeed};

const DVA1: &str = "203.0.113.1";
/// Images of figure 4 by their XCF addresses.
const IMAGES: [(&str, &str); 5] =
    [("MVS1", "192.0.2.1"), ("MVS2", "192.0.2.2"), ("MVS3", "192.0.2.3"), ("MVS4", "192.0.2.4"), ("MVS5", "192.0.2.5")];

/// Connections on DVA1 by the client's end and the XCF address of the image that has them.
type Connections = BTreeSet<(SocketAddr, String)>;

fn rows(report: &Value, list: &str) -> Vec<Value> {
    report[list].as_array().unwrap_or_else(|| panic!("no list {list} in {report}")).clone()
}

/// What the images themselves have, of those that run.
fn truth(lab: &Lab) -> Connections {
    lab.running().iter().flat_map(|image| established(lab, image, DVA1)).collect()
}

fn dvipa(lab: &Lab, image: &str) -> Value {
    let rows = rows(&lab.netstat(image, "VIPADYN"), "dvipas");
    rows.into_iter().find(|row| row["address"] == DVA1).unwrap_or_else(|| panic!("{image} does not know DVA1"))
}

fn display(lab: &Lab, image: &str, command: &str) -> String {
    succeed(lab.command("display").args([image, command]))
}

/// Every report about DVA1 agrees with what the images have, while `router` routes.
fn all_agree(lab: &Lab, router: &str, connections: &Connections) {
    eventually("the router's table is the truth", || lab.routes(router, DVA1) == *connections);
    assert_eq!(truth(lab), *connections);
    // VDPT counts what VCRT lists (I21).
    for row in rows(&lab.netstat(router, "VDPT"), "destinations").iter().filter(|row| row["address"] == DVA1) {
        let on = connections.iter().filter(|(_, xcf)| row["xcf"] == **xcf).count();
        assert_eq!(row["active"], on, "{row}");
        assert_eq!(row["ready"], 1, "{row}");
        assert_eq!(row["flags"], serde_json::json!(["BaseWLM"]), "{row}");
    }
    for (image, xcf) in IMAGES.iter().filter(|(image, _)| lab.running().iter().any(|known| known == image)) {
        let own: Connections = connections.iter().filter(|(_, on)| on == xcf).cloned().collect();
        // VCRT elsewhere: the stack's own endpoints. A surrendering stack forgets the others after its grace.
        if *image != router {
            eventually("VCRT has the own endpoints alone", || lab.routes(image, DVA1) == own);
        }
        // ALL: the listener has as many connections.
        let details = rows(&lab.netstat(image, "ALL"), "connections");
        let listener = details.iter().find(|row| row["connection"]["local"] == format!("{DVA1}..60"));
        let listener = listener.filter(|row| row["connection"]["state"] == "Listen");
        assert_eq!(listener.map(|row| row["listener"]["current_connections"] == own.len()), listener.map(|_| true));
        assert_eq!(listener.is_some(), ["MVS1", "MVS2", "MVS4"].contains(image), "{image}");
        // VIPADYN and HOME: one has it on the network.
        let (row, active) = (dvipa(lab, image), *image == router);
        assert_eq!((row["status"] == "Active", &row["advertised"]), (active, &Value::from(active)), "{row}");
        assert_eq!(row["activated"].is_string(), active, "{row}");
        let home = || rows(&lab.netstat(image, "HOME"), "addresses").into_iter().find(|row| row["address"] == DVA1);
        let candidates = if router == "MVS1" { ["MVS1", "MVS2", "MVS4"] } else { ["MVS2", "MVS3", "MVS4"] };
        let flag = if active { Some("") } else { candidates.contains(image).then_some("I") };
        // F6.124-126: the router and the candidates of its list; a surrendering stack after its grace no more.
        eventually("HOME has it where it is to be", || home().is_some() == flag.is_some());
        assert_eq!(home().as_ref().and_then(|row| row["flag"].as_str()), flag, "{image}");
        // DISPLAY SYSPLEX: all see the same owner.
        let shown = display(lab, image, &format!("TCPIP,,SYSPLEX,VIPADYN,IPADDR={DVA1}"));
        let owners: Vec<&str> = shown.lines().filter(|line| line.contains(" ACTIVE ")).collect();
        assert!(matches!(owners.as_slice(), [owner] if owner.contains(router)), "as {image} sees it:\n{shown}");
    }
}

/// F7.142-150, F8.164, F9.206-210, F10.304-310, I9, I21: VCRT, VDPT, CONN, ALL, HOME, VIPADYN and DISPLAY SYSPLEX
/// say what a client did: connections opened, routed by another after a takeover, taken back, and closed; and the
/// log has z/OS's messages for it.
#[test]
fn reports_are_true_over_a_takeover() {
    let lab = Lab::up("figure4");
    let mut sessions: Vec<Running> = (0..6).map(|_| lab.spawn("ncat", &[DVA1, "60"])).collect();
    eventually("six connections", || truth(&lab).len() == 6);
    let all = truth(&lab);
    for xcf in ["192.0.2.1", "192.0.2.2", "192.0.2.4"] {
        assert_eq!(all.iter().filter(|(_, on)| on == xcf).count(), 2, "round robin: {all:?}");
    }
    all_agree(&lab, "MVS1", &all);
    lab.kill("MVS1");
    lab.wait_for_owner("DVA1", "MVS5");
    let survivors: Connections = all.into_iter().filter(|(_, xcf)| xcf != "192.0.2.1").collect();
    all_agree(&lab, "MVS5", &survivors);
    lab.start("MVS1");
    lab.wait_for_owner("DVA1", "MVS1");
    all_agree(&lab, "MVS1", &survivors);
    for session in &mut sessions {
        session.child().kill().expect("ncat has not been waited for");
    }
    eventually("every connection is closed", || lab.routes("MVS1", DVA1).is_empty());
    let destinations = rows(&lab.netstat("MVS1", "VDPT"), "destinations");
    assert!(destinations.iter().all(|row| row["active"] == 0), "{destinations:?}");
    let log = lab.log();
    for (image, message) in [
        ("MVS1", "EZD1176I TCPIP HAS SUCCESSFULLY JOINED THE TCP/IP SYSPLEX GROUP EZBTCPCS"),
        ("MVS5", "EZZ8301I VIPA 203.0.113.1 TAKEN OVER FROM TCPIP ON MVS1"),
        ("MVS1", "EZZ8302I VIPA 203.0.113.1 TAKEN BACK FROM TCPIP ON MVS5"),
        ("MVS5", "EZZ8303I VIPA 203.0.113.1 GIVEN TO TCPIP ON MVS1"),
    ] {
        let told = |line: &String| line.contains(image) && line.contains(message);
        assert!(log.iter().any(told), "{image}: {message} is not in the log");
    }
}

/// Every report, with its filters, MAX and DETAIL, by NETSTAT and by DISPLAY.
#[test]
fn every_report_can_be_asked_for() {
    let lab = Lab::up("figure4");
    let _session = lab.spawn("ncat", &[DVA1, "60"]);
    eventually("the connection is routed", || lab.routes("MVS1", DVA1).len() == 1);
    for (image, arguments, expected) in [
        ("MVS1", "VDPT DETAIL", "  Flg: BaseWLM"),
        ("MVS1", "VDPT -I 203.0.113.1 -P 60 --max 1", "1 OF 3 RECORDS DISPLAYED"),
        ("MVS1", "VCRT DETAIL", "    PolicyRule:   *NONE*"),
        ("MVS1", "VCRT --ipaddr 198.51.100.* --max 5", "1 OF 1 RECORDS DISPLAYED"),
        ("MVS5", "VCRT -P 61 --max 5", "0 OF 0 RECORDS DISPLAYED"),
        ("MVS1", "VIPADYN DVIPA", "    ActTime: "),
        ("MVS1", "VIPADYN VIPAROUTE", "VIPA Route:"),
        ("MVS5", "VIPADCFG", "      Rank: 000010  Moveable:             SrvMgr:"),
        ("MVS1", "ROUTE", "Default            0.0.0.0         US     01500 NETWORK"),
        ("MVS2", "ROUTE -I 192.0.2.0/24", "192.0.2.1/32"),
        ("MVS1", "CONN -E appa", "APPA     203.0.113.1..60        0.0.0.0..0             Listen"),
        ("MVS1", "ALLCONN", "Establsh"),
        ("MVS1", "ALL -P 60", "    MaximumBacklog:"),
        ("MVS1", "ALL -P 60", "  SEF: 100"),
        ("MVS1", "ALL -P 60", "    CongestionWindow:"),
        ("MVS1", "CONFIG", "  SysplexMonitor:      Join: Yes"),
        ("MVS1", "STATS", "TCP Statistics"),
    ] {
        let shown = succeed(lab.command("netstat").arg(image).args(arguments.split(' ')));
        assert!(
            shown.lines().any(|line| line.starts_with(expected) || line.ends_with(expected) || line.contains(expected)),
            "{arguments} of {image} lacks {expected:?}:\n{shown}"
        );
    }
    let shown = display(&lab, "MVS1", "TCPIP,,NETSTAT,VDPT,DETAIL,PORT=60,MAX=2");
    assert!(shown.starts_with("EZZ2500I NETSTAT CS ") && shown.ends_with("2 OF 3 RECORDS DISPLAYED\n"), "{shown}");
    let shown = display(&lab, "MVS2", "TCPIP,,SYSPLEX,GROUP");
    assert!(shown.starts_with("EZZ8270I SYSPLEX GROUP FOR TCPIP AT MVS2 IS EZBTCPCS\n"), "{shown}");
    assert!(IMAGES.iter().all(|(image, xcf)| shown.contains(image) && shown.contains(xcf)), "{shown}");
    let shown = display(&lab, "MVS1", "TCPIP,,SYSPLEX,PORTS");
    assert!(shown.contains("SYSPLEX PORTS DISPLAY FROM TCPIP AT MVS1"), "{shown}");
    let wrong = lab.command("netstat").args(["MVS1", "HOME", "-P", "60"]).output().expect("runs");
    let why = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(1) && why.contains("nothing that PORT could select"), "{why}");
}
