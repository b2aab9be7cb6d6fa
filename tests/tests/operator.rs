//! What an operator changes on a running lab, and DVIPAs that applications make.

use serde_json::Value;
use tests::{Lab, Session, succeed, text};

fn vary(lab: &Lab, image: &str, command: &str) {
    succeed(lab.command("vary").args([image, command]));
}

fn app(lab: &Lab, image: &str, verb: &str, name: &str) {
    succeed(lab.command("app").args([image, verb, name]));
}

fn served_by(lab: &Lab, url: &str) -> String {
    lab.curl(&[url]).trim().to_owned()
}

/// D4, F11.500-510, F12.520-528, F12.chain, I17: an address of a VIPARANGE follows the application
/// that binds it, from MVS1 to MVS2 to MVS3; sessions with all three go on; those of living stacks
/// outlive the last owner's death.
#[test]
fn a_dvipa_moves_with_its_application() {
    let lab = Lab::up("moving.ron");
    let mut sessions = Vec::new();
    for image in ["MVS1", "MVS2", "MVS3"] {
        app(&lab, image, "start", "WEB");
        app(&lab, image, "start", "ECHO");
        tests::eventually("the DVIPA has moved", || served_by(&lab, "http://203.0.113.200/") == image);
        let mut session = Session::open(&lab, "203.0.113.200");
        assert!(session.echoes("hello"));
        sessions.push(session);
        assert!(sessions.iter_mut().all(|session| session.echoes("still there?")), "moved to {image}");
    }
    let row = |image: &str| {
        let report = lab.netstat(image, "VIPADYN");
        let rows = report["dvipas"].as_array().expect("a list").clone();
        rows.into_iter().find(|row| row["address"] == "203.0.113.200").expect("known")
    };
    assert_eq!((&row("MVS3")["status"], &row("MVS1")["status"]), (&Value::from("Active"), &Value::from("Moving")));
    lab.kill("MVS3");
    assert!(sessions[..2].iter_mut().all(|session| session.echoes("and now?")));
    tests::eventually("MVS2 has it again", || served_by(&lab, "http://203.0.113.200/") == "MVS2");
}

/// TCPCONFIG, UDPCONFIG and SOMAXCONN count from the start by the profile, and by OBEYFILE from then on;
/// a mistake anywhere in a file changes nothing.
#[test]
fn settings_are_shown_and_changed() {
    let lab = Lab::up("settings.ron");
    let value = |image: &str, name: &str| {
        let report = lab.netstat(image, "CONFIG");
        let rows = report["parameters"].as_array().expect("a list").clone();
        let row = rows.into_iter().find(|row| row["group"] == "TCP" && row["name"] == name).expect(name);
        row["value"].as_str().expect("text").to_owned()
    };
    assert_eq!((value("MVS1", "FinWait2Time"), value("MVS2", "FinWait2Time")), ("30".into(), "30".into()));
    assert_eq!(
        (value("MVS1", "CongestionControl"), value("MVS2", "CongestionControl")),
        ("NEWRENO".into(), "CUBIC".into())
    );
    let folder = tempfile::tempdir().expect("a folder");
    let obey = |text: &str| {
        let file = folder.path().join("profile");
        std::fs::write(&file, text).expect("written");
        lab.command("vary").arg("MVS1").arg(format!("TCPIP,,OBEYFILE,{}", file.display())).output().expect("runs")
    };
    assert!(obey("TCPCONFIG RECVBUFRSIZE 8192 TCPMAXRCVBUFRSIZE 16384 NODELAYACKS\n SOMAXCONN 7").status.success());
    assert_eq!((value("MVS1", "DefltMaxRcvBufSize"), value("MVS1", "SoMaxConn")), ("16384".into(), "7".into()));
    assert_eq!(value("MVS1", "FinWait2Time"), "30", "what is not named stays");
    // Within the small buffer everything still arrives.
    let digest = tests::Download::start(&lab, "http://203.0.113.1/bytes/5000000", "1G").finish();
    assert_eq!(digest, tests::pattern_digest(5_000_000));
    let upload = lab
        .exec("sh")
        .args(["-c", "head -c 3000000 /dev/zero | curl -sS --data-binary @- http://203.0.113.1/sink"])
        .output();
    assert!(upload.expect("runs").status.success());
    for text in
        ["TCPCONFIG FINWAIT2TIME 5\nTCPCONFIG RECVBUFRSIZE 1", "SOMAXCONN 9\nVIPADynamic VIPADELete DVX ENDVIPADynamic"]
    {
        let output = obey(text);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains("2:"), "{errors}");
    }
    assert_eq!((value("MVS1", "FinWait2Time"), value("MVS1", "SoMaxConn")), ("30".into(), "7".into()));
    let statistics = lab.netstat("MVS1", "STATS");
    for (group, name) in [
        ("IPv4", "ipSystemStatsInReceives"),
        ("IPv6", "ipSystemStatsInDelivers"),
        ("ICMPv4", "icmpStatsOutErrors"),
        ("ICMPv6", "icmpStatsInMsgs"),
        ("TCP", "tcpInSegs"),
        ("UDP", "udpNoPorts"),
    ] {
        assert!(statistics[group][name].is_u64(), "{group} {name}: {statistics}");
    }
}

/// D6, I23: OBEYFILE changes a profile at run time; one with a mistake changes nothing, and says where
/// it is.
#[test]
fn an_obeyfile_changes_the_profile() {
    let lab = Lab::up("moving.ron");
    let folder = tempfile::tempdir().expect("a folder");
    let obey = |text: &str| {
        let file = folder.path().join("profile");
        std::fs::write(&file, text).expect("written");
        lab.command("vary").arg("MVS1").arg(format!("TCPIP,,OBEYFILE,{}", file.display())).output().expect("runs")
    };
    let output = obey("VIPADynamic VIPADISTribute DVA PORT 80 DESTIP XCF3 ENDVIPADynamic");
    assert!(output.status.success(), "{output:?}");
    tests::eventually("MVS3 is the only target", || lab.dvipa("DVA")["targets"] == serde_json::json!(["MVS3"]));
    assert!((0..4).all(|_| served_by(&lab, "http://203.0.113.1/") == "MVS3"));
    let output = obey("VIPADynamic\n VIPADELete DVA\n VIPADEFine 255.255.255.999 DVA\nENDVIPADynamic");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned() + &text(&output);
    assert!(!output.status.success() && complaint.contains("3:13"), "{complaint}");
    assert_eq!(lab.dvipa("DVA")["owner"], "MVS1");
    let output = obey("VIPADynamic VIPADELete DVA ENDVIPADynamic");
    assert!(output.status.success(), "{output:?}");
    lab.wait_for_owner("DVA", "MVS3");
    assert_ne!(served_by(&lab, "http://203.0.113.1/"), "");
}

/// DEACTIVATE, REACTIVATE, QUIESCE, RESUME, LEAVEGROUP and JOINGROUP on a lab that serves clients.
#[test]
fn sysplex_commands_do_not_hurt() {
    let lab = Lab::up("moving.ron");
    let answers = || (0..6).map(|_| served_by(&lab, "http://203.0.113.1/")).collect::<std::collections::BTreeSet<_>>();
    vary(&lab, "MVS1", "TCPIP,,SYSPLEX,DEACTIVATE,DVIPA=DVA");
    lab.wait_for_owner("DVA", "MVS3");
    assert_eq!(answers().len(), 2);
    vary(&lab, "MVS1", "TCPIP,,SYSPLEX,REACTIVATE,DVIPA=203.0.113.1");
    lab.wait_for_owner("DVA", "MVS1");
    vary(&lab, "MVS2", "TCPIP,,SYSPLEX,QUIESCE,TARGET");
    tests::eventually("MVS2 is quiesced", || lab.dvipa("DVA")["targets"] == serde_json::json!(["MVS3"]));
    assert_eq!(answers(), ["MVS3".to_owned()].into());
    vary(&lab, "MVS2", "TCPIP,,SYSPLEX,RESUME,TARGET");
    vary(&lab, "MVS1", "TCPIP,,SYSPLEX,LEAVEGROUP");
    lab.wait_for_owner("DVA", "MVS3");
    assert_eq!(lab.image("MVS1")["state"], "running");
    assert_eq!(answers().len(), 2);
    vary(&lab, "MVS1", "TCPIP,,SYSPLEX,JOINGROUP");
    lab.wait_for_owner("DVA", "MVS1");
    assert_eq!(answers().len(), 2);
    let refused = lab.command("vary").args(["MVS2", "TCPIP,,SYSPLEX,DEACTIVATE,DVIPA=DVA"]).output().expect("runs");
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("in no VIPADEFINE"), "{why}");
}

/// Everything that a profile sets on an image, as its reports show it.
fn in_force(lab: &Lab, image: &str) -> [Value; 3] {
    ["VIPADCFG", "CONFIG", "HOME"].map(|report| lab.netstat(image, report))
}

/// OBEYFILE and SYNTAXCHECK: a file with a mistake anywhere changes nothing at all, and every mistake is told with
/// file, line and column; a right one changes nothing by SYNTAXCHECK, and all of it by OBEYFILE.
#[test]
fn a_file_is_checked_whole_before_any_of_it_is_applied() {
    let lab = Lab::up("moving.ron");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("more.profile");
    let name = file.display().to_string();
    let order = |verb: &str, text: &str| {
        std::fs::write(&file, text).expect("written");
        lab.command("vary").arg("MVS1").arg(format!("TCPIP,,{verb},{name}")).output().expect("runs")
    };
    let before = in_force(&lab, "MVS1");
    for (wrong, places) in [
        // Right statements stand before and behind the wrong ones.
        (
            "SOMAXCONN 9\nVIPADynamic\n VIPADELete DVA\n VIPARange SAF\nENDVIPADynamic\nTCPCONFIG NODELAYACKS",
            vec!["4:12"],
        ),
        ("SOMAXCONN 9\nTCPCONFIG NONSENSE\nVIPADynamic\n  VIPABackup 300 DVA\nENDVIPADynamic", vec!["2:11", "4:14"]),
        // Right by itself, and wrong in this cluster.
        ("VIPADynamic\n VIPADEFine 255.255.255.0 198.51.100.12\nENDVIPADynamic", vec!["2:27"]),
        ("VIPADynamic\n VIPADISTribute DVA DESTIP XCF2 192.0.2.77\nENDVIPADynamic", vec!["2:33"]),
    ] {
        for verb in ["SYNTAXCHECK", "OBEYFILE"] {
            let output = order(verb, wrong);
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{errors}");
            assert!(errors.contains("EZZ0059I") && errors.contains("nothing is changed"), "{errors}");
            for place in &places {
                assert!(errors.contains(&format!("{name}:{place}: ")), "{place} is not in {errors}");
            }
            assert_eq!(in_force(&lab, "MVS1"), before, "{verb} of {wrong}");
        }
    }
    let output = order("OBEYFILE", "VIPADynamic\n VIPADEFine 255.255.255.0 198.51.100.12\nENDVIPADynamic");
    assert!(String::from_utf8_lossy(&output.stderr).contains("EZZ8307I"), "{output:?}");
    let right = "SOMAXCONN 9\nVIPADynamic VIPADEFine 255.255.255.0 203.0.113.77 ENDVIPADynamic";
    let output = order("SYNTAXCHECK", right);
    assert_eq!(text(&output), "EZZ0053I COMMAND SYNTAXCHECK COMPLETED SUCCESSFULLY\n");
    assert_eq!(in_force(&lab, "MVS1"), before);
    let output = order("OBEYFILE", right);
    assert_eq!(text(&output), "EZZ0053I COMMAND VARY OBEY COMPLETED SUCCESSFULLY\n");
    tests::eventually("the DVIPA is there", || {
        let home = lab.netstat("MVS1", "HOME");
        home["addresses"].as_array().is_some_and(|rows| rows.iter().any(|row| row["address"] == "203.0.113.77"))
    });
    let log = lab.log();
    let command = format!("EZZ0060I PROCESSING COMMAND: VARY TCPIP,,OBEYFILE,{name}");
    assert!(log.iter().any(|line| line.contains(&command)), "{log:?}");
}

/// Outside the sysplex group: reports and displays say so, changes of VIPADYNAMIC are cancelled, settings are not.
#[test]
fn outside_the_group_vipadynamic_cannot_be_changed() {
    let lab = Lab::up("moving.ron");
    let display = |what: &str| succeed(lab.command("display").args(["MVS1", &format!("TCPIP,,SYSPLEX,{what}")]));
    assert!(display("GROUP").starts_with("EZZ8270I"));
    vary(&lab, "MVS1", "TCPIP,,SYSPLEX,LEAVEGROUP");
    for what in ["VIPADYN", "GROUP", "PORTS"] {
        tests::eventually("MVS1 has left", || {
            display(what) == "EZZ8269I TCPIP MVS1 IS NOT A MEMBER OF A SYSPLEX GROUP\n"
        });
    }
    let shown = succeed(lab.command("netstat").args(["MVS1", "VIPADCFG"]));
    assert!(shown.starts_with("EZZ2502I ") && shown.contains("\nEZZ2503I "), "{shown}");
    let folder = tempfile::tempdir().expect("a folder");
    let obey = |text: &str| {
        let file = folder.path().join("profile");
        std::fs::write(&file, text).expect("written");
        lab.command("vary").arg("MVS1").arg(format!("TCPIP,,OBEYFILE,{}", file.display())).output().expect("runs")
    };
    let before = in_force(&lab, "MVS1");
    let output = obey("SOMAXCONN 9\nVIPADynamic VIPADELete DVA ENDVIPADynamic");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && why.contains("cancelled") && why.contains("JOINGROUP first"), "{why}");
    assert_eq!(in_force(&lab, "MVS1"), before);
    assert!(obey("SOMAXCONN 9").status.success());
    let again = lab.command("vary").args(["MVS1", "TCPIP,,SYSPLEX,LEAVEGROUP"]).output().expect("runs");
    assert!(String::from_utf8_lossy(&again.stderr).contains("EZZ8269I"), "{again:?}");
    vary(&lab, "MVS1", "TCPIP,,SYSPLEX,JOINGROUP");
    lab.wait_for_owner("DVA", "MVS1");
    tests::eventually("the definitions are in force again", || {
        lab.log().iter().any(|line| line.contains("MVS1") && line.contains("EZD1192I"))
    });
}

/// QUIESCE and RESUME of one application by its name (JOBNAME): others on the image go on.
#[test]
fn one_application_is_quiesced_by_name() {
    let lab = Lab::up("moving.ron");
    vary(&lab, "MVS2", "TCPIP,,SYSPLEX,QUIESCE,PORT=80,JOBNAME=SERVER");
    tests::eventually("MVS2 is no target", || lab.dvipa("DVA")["targets"] == serde_json::json!(["MVS3"]));
    let quiesced = |image: &str| {
        let report = lab.netstat(image, "ALL");
        let rows = report["connections"].as_array().expect("a list").clone();
        let row = rows.into_iter().find(|row| row["connection"]["user"] == "SERVER").expect("it listens");
        row["listener"]["quiesced"].clone()
    };
    assert_eq!((quiesced("MVS2"), quiesced("MVS3")), (true.into(), false.into()));
    vary(&lab, "MVS2", "TCPIP,,SYSPLEX,RESUME,JOBNAME=SERVER");
    tests::eventually("MVS2 is a target again", || lab.dvipa("DVA")["targets"] == serde_json::json!(["MVS2", "MVS3"]));
    for (command, reason) in [
        ("TCPIP,,SYSPLEX,QUIESCE,JOBNAME=NOBODY", "has no application NOBODY"),
        ("TCPIP,,SYSPLEX,QUIESCE,PORT=81,JOBNAME=SERVER", "listens on port 80"),
    ] {
        let output = lab.command("vary").args(["MVS2", command]).output().expect("runs");
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && why.contains(reason), "{why}");
    }
}

/// PORT: BIND gives a server at every address its own DVIPA, as on z/OS; a port that is for others stays free.
#[test]
fn a_port_statement_binds_a_server_to_a_dvipa() {
    let lab = Lab::up("ports.ron");
    assert_eq!(served_by(&lab, "http://203.0.113.1/"), "MVS1");
    let list = lab.netstat("MVS1", "CONN");
    let rows = list["connections"].as_array().expect("a list");
    let listens = |user: &str| rows.iter().find(|row| row["user"] == user).map(|row| row["local"].clone());
    assert_eq!(listens("WEB"), Some("203.0.113.1..80".into()), "{list}");
    assert_eq!(listens("OTHER"), None, "{list}");
    let output = lab.command("app").args(["MVS1", "start", "OTHER"]).output().expect("runs");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && why.contains("a PORT statement names others"), "{why}");
    // GLOBALCONFIG SYSPLEXMONITOR NOJOIN: MVS2 waits for an operator.
    let group = || succeed(lab.command("display").args(["MVS2", "TCPIP,,SYSPLEX,GROUP"]));
    assert!(group().starts_with("EZZ8269I"), "{}", group());
    assert_eq!(lab.dvipa("DVA")["backups"], serde_json::json!([]));
    vary(&lab, "MVS2", "TCPIP,,SYSPLEX,JOINGROUP");
    tests::eventually("MVS2 is in the group", || lab.dvipa("DVA")["backups"] == serde_json::json!(["MVS2"]));
}
