//! Statements read right, and every mistake found where it is.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::definitions::{Backup, Define, Distribute, PortRange, Range, Weights};

fn symbol(name: &str) -> Option<IpAddr> {
    let host = match name.to_uppercase().as_str() {
        "DVA1" => [203, 0, 113, 1],
        "DVB1" => [203, 0, 113, 65],
        "XCF1" => [192, 0, 2, 1],
        "XCF2" => [192, 0, 2, 2],
        _ => return None,
    };
    Some(IpAddr::from(host))
}

fn read(text: &str) -> Result<Definitions, Vec<StatementError>> {
    parse(text, &symbol).map(|(definitions, _)| definitions)
}

/// D1, D2, D3, D5: the seed's own statements, abbreviated, over several lines, with comments.
#[test]
fn the_block_of_figure_4_is_understood() {
    let definitions = read(
        "VIPADynamic ; MVS1\n VIPADEF move immed 255.255.255.192\n   DVA1\n vipab 30 dvb1\n\
         VIPADISTribute DVA1 PORT 60 DESTIP XCF1, XCF2,\n 192.0.2.4 ENDVIPAD",
    )
    .unwrap();
    let (dva1, dvb1) = (symbol("DVA1").unwrap(), symbol("DVB1").unwrap());
    assert_eq!(definitions.defines, [Define { address: dva1, prefix: 26, moveable: Moveable::Immediate }]);
    assert_eq!(definitions.backups, [Backup { address: dvb1, rank: 30, create: None }]);
    let targets = ["192.0.2.1", "192.0.2.2", "192.0.2.4"].map(|address| address.parse().unwrap()).to_vec();
    let ports = Ports::List(vec![PortRange { first: 60, last: 60 }]);
    assert_eq!(
        definitions.distributes,
        [Distribute {
            address: dva1,
            method: Method::default(),
            ports,
            targets: Targets::List(targets),
            options: Options::default(),
        }]
    );
}

/// D1-D4 with IPv6 in z/OS's own words: `[interface] address[/length]` in place of a mask, and the
/// interface's name stands for the DVIPA in what follows.
#[test]
fn ipv6_statements_are_understood() {
    let text = "VIPADYNAMIC\n VIPADEFINE MOVEABLE IMMEDIATE DVA6 2001:db8:1::1/64 2001:db8:1::2\n\
                VIPABACKUP 30 DVB6 2001:db8:1::3\n VIPABACKUP 20 MOVEABLE WHENIDLE DVC6 2001:db8:1::4/64\n\
                VIPARANGE MOVEABLE NONDISRUPTIVE RANGE6 2001:db8:2::/48\n\
                VIPADISTRIBUTE DVA6 PORT 60 DESTIP 2001:db8:9::1 2001:db8:9::2\nENDVIPADYNAMIC";
    let definitions = read(text).unwrap();
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let (first, moveable) = (address("2001:db8:1::1"), Moveable::Immediate);
    assert_eq!(definitions.defines[0], Define { address: first, prefix: 64, moveable });
    assert_eq!(definitions.defines[1], Define { address: address("2001:db8:1::2"), prefix: 128, moveable });
    assert_eq!(definitions.backups[0], Backup { address: address("2001:db8:1::3"), rank: 30, create: None });
    assert_eq!(definitions.backups[1].create, Some((Moveable::WhenIdle, 64)));
    assert_eq!(definitions.ranges, [Range { address: address("2001:db8:2::"), prefix: 48, disruptive: false }]);
    assert_eq!(definitions.distributes[0].address, first);
    assert_eq!(read(&definitions.to_string()).unwrap(), definitions, "printed and read again");
    // A name of the profile may be the interface's, or stand for the address by itself.
    let symbol = |name: &str| (name == "DVA6").then_some(first);
    for text in ["DVA6 2001:db8:1::1/64", "DVA6/64"] {
        let text = format!("VIPADYNAMIC VIPADEFINE {text} VIPADIST DVA6 DESTIP ALL ENDVIPADYNAMIC");
        let (named, _) = parse(&text, &symbol).unwrap();
        assert_eq!(named.defines, [Define { address: first, prefix: 64, moveable }]);
    }
    for (text, reason) in [
        ("VIPADYNAMIC VIPADEFINE 255.255.255.0 2001:db8::1 ENDVIPADYNAMIC", "does not go with an IPv4 mask"),
        ("VIPADYNAMIC VIPARANGE 255.255.255.0 2001:db8::1 ENDVIPADYNAMIC", "does not go with an IPv4 mask"),
        (
            "VIPADYNAMIC VIPABACKUP 9 MOVEABLE IMMEDIATE 255.255.255.0 2001:db8::1 ENDVIPADYNAMIC",
            "does not go with an IPv4 mask",
        ),
        ("VIPADYNAMIC VIPADEFINE 2001:db8::1/129 ENDVIPADYNAMIC", "no address mask"),
        ("VIPADYNAMIC VIPADEFINE 2001:db8::1/64 203.0.113.1 ENDVIPADYNAMIC", "no IPv6 address"),
        ("VIPADYNAMIC VIPARANGE 2001:db8:: ENDVIPADYNAMIC", "without a length"),
        ("VIPADYNAMIC VIPARANGE MOVEABLE DISRUPTIVE 2001:db8::/64 ENDVIPADYNAMIC", "NONDISRUPTIVE"),
    ] {
        let errors = read(text).unwrap_err();
        assert!(errors.iter().any(|error| error.message.contains(reason)), "{text}: {errors:?}");
    }
}

/// D3: without PORT every port, with ALL every stack.
#[test]
fn every_port_and_every_stack() {
    let definitions =
        read("VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1 VIPADISTRIBUTE DVA1 DESTIP ALL ENDVIPADYNAMIC").unwrap();
    assert_eq!(definitions.distributes[0].ports, Ports::Every);
    assert_eq!(definitions.distributes[0].targets, Targets::All);
}

/// Bad input: position and reason of each mistake.
#[test]
fn mistakes_are_found_where_they_are() {
    for (text, line, column, reason) in [
        ("VIPADYNAMIC\nVIPABACKUP 0 DVA1\nENDVIPADYNAMIC", 2, 12, "1 to 254"),
        ("VIPADYNAMIC\nVIPABACKUP 255 DVA1\nENDVIPADYNAMIC", 2, 12, "1 to 254"),
        ("VIPADYNAMIC\n VIPADEFINE 255.255.255.192 DVA1 DVB1\nENDVIPADYNAMIC", 2, 34, "203.0.113.65 is outside"),
        ("VIPADYNAMIC VIPADEFINE 255.0.255.0 DVA1 ENDVIPADYNAMIC", 1, 24, "no address mask"),
        ("VIPADYNAMIC VIPADEFINE 255.255.255.0 DVX ENDVIPADYNAMIC", 1, 38, "neither an address nor a known name"),
        ("VIPADYNAMIC VIPADEFINE 255.255.255.0 ENDVIPADYNAMIC", 1, 38, "cut off: expected an address"),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST DVA1 PORT 0 DESTIP ALL ENDVIPADYNAMIC",
            2,
            20,
            "1 to 65535",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST DVA1 PORT 65536 DESTIP ALL ENDVIPADYNAMIC",
            2,
            20,
            "65535",
        ),
        // Found by fuzzing: it was taken for a distribution without ports.
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST DVA1 PORT DESTIP DESTIP ALL ENDVIPADYNAMIC",
            2,
            20,
            "'DESTIP' after PORT",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST DVA1 PORT 60 ENDVIPADYNAMIC",
            2,
            23,
            "expected PORT or DESTIP",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST DVB1 PORT 60 DESTIP ALL ENDVIPADYNAMIC",
            2,
            10,
            "no DVIPA of this stack",
        ),
        ("VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPABACKUP 5 DVA1 ENDVIPADYNAMIC", 2, 14, "defined twice"),
        ("VIPADYNAMIC\nVIPAROUTE DVA1 DVB1\nENDVIPADYNAMIC", 2, 1, "not for here"),
        (
            "VIPADYNAMIC\nVIPARANGE MOVEABLE IMMEDIATE 255.255.255.0 DVA1 ENDVIPADYNAMIC",
            2,
            20,
            "expected NONDISRUPTIVE",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST DVA1 PORT 60 DESTIP DVB1 WEIGHT 5 ENDVIPADYNAMIC",
            2,
            35,
            "WEIGHT without",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST DISTM TARGCONTROLLED DVA1 DESTIP ALL ENDVIPADYNAMIC",
            2,
            16,
            "expected BASEWLM",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST TIMEDAFF 10000 DVA1 DESTIP ALL ENDVIPADYNAMIC",
            2,
            19,
            "from 0 to 9999",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST OPTLOCAL 17 DVA1 DESTIP ALL ENDVIPADYNAMIC",
            2,
            19,
            "from 0 to 16",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST DISTM SERVERWLM ILWEIGHTING 4 DVA1 DESTIP ALL ENDVIPADYNAMIC",
            2,
            38,
            "from 0 to 3",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST PROCXCOST ZAAP 5 DVA1 DESTIP ALL ENDVIPADYNAMIC",
            2,
            10,
            "without DISTMETHOD SERVERWLM",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST PROCTYPE CP 0 DVA1 DESTIP ALL ENDVIPADYNAMIC",
            2,
            10,
            "with a number above 0",
        ),
        (
            "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1\nVIPADIST DISTM WEIGHTEDA DVA1 PORT 60 DESTIP DVB1 WEIGHT 100 ENDVIPADYNAMIC",
            2,
            58,
            "from 1 to 99",
        ),
        ("VIPADYNAMIC\nNONSENSE\nENDVIPADYNAMIC", 2, 1, "is no statement"),
        ("VIPADYNAMIC\nVIPADEFINE 255.255.255.0 DVA1\n", 3, 1, "expected ENDVIPADYNAMIC"),
        ("VIPADEFINE 255.255.255.0 DVA1", 1, 1, "outside any block"),
        ("", 1, 1, "expected VIPADYNAMIC"),
    ] {
        let errors = read(text).unwrap_err();
        let at = Position { line, column };
        assert!(
            errors.iter().any(|error| error.at == at && error.message.contains(reason)),
            "{text:?}: {errors:?}, not {at:?} {reason}"
        );
    }
}

/// What z/OS has and what has no meaning here is read, and refused where it stands with the reason.
#[test]
fn what_has_no_meaning_here_is_refused_with_a_reason() {
    for (statement, column, reason) in [
        ("VIPADEFINE TIER1 MOVEABLE IMMEDIATE 255.255.255.0 DVA1", 12, "no stacks of the cluster"),
        ("VIPADEFINE TIER2 CPCSCOPE 255.255.255.0 DVA1", 18, "no CPC"),
        ("VIPADEFINE MOVEABLE WHENIDLE SERVICEMGR 255.255.255.0 DVA1", 30, "service manager"),
        ("VIPABACKUP 10 CPCSCOPE DVA1", 15, "no CPC"),
        ("VIPABACKUP 10 TIER2 DVA1", 15, "first tier"),
        ("VIPABACKUP 10 MOVEABLE IMMEDIATE SERVICEMGR 255.255.255.0 DVA1", 34, "service manager"),
        ("VIPARANGE 255.255.255.0 10.0.0.0 SAF NAME", 34, "no SAF"),
        ("VIPARANGE DEFINE 255.255.255.0 10.0.0.0 ZCX", 41, "zCX"),
        ("VIPARANGE 2001:db8::/64 ZCX", 25, "zCX"),
        ("VIPAROUTE DEFINE XCF1 198.51.100.11", 1, "over XCF"),
        ("VIPAROUTE DELETE XCF1 198.51.100.11", 1, "over XCF"),
        ("VIPAROUTE XCF1", 1, "cut off"),
        ("VIPASM SMMCAST 224.0.1.2 SMPORT 1637 SMPASS X", 1, "service manager"),
        ("VIPASMPARMS SMMCAST", 1, "cut off"),
        ("VIPABACKUP 10 DVA1 SAF NAME", 20, "end of the statement"),
    ] {
        let text = format!("VIPADYNAMIC\n{statement}\nENDVIPADYNAMIC");
        let errors = read(&text).unwrap_err();
        let found = errors
            .iter()
            .any(|error| error.message.contains(reason) && (error.at.column == column || reason == "cut off"));
        assert!(found, "{statement}: {errors:?}");
    }
}

/// One VIPADEFINE or VIPABACKUP for each DVIPA in a profile, unless a VIPADELETE stands between them.
#[test]
fn a_delete_makes_room_for_another_definition() {
    let twice = "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1 {} VIPABACKUP 10 DVA1 ENDVIPADYNAMIC";
    let errors = read(&twice.replace("{}", "")).unwrap_err();
    assert!(errors[0].message.contains("defined twice"), "{errors:?}");
    let definitions = read(&twice.replace("{}", "VIPADIST DVA1 DESTIP ALL VIPADELETE DVA1")).unwrap();
    let Definitions { defines, backups, distributes, .. } = &definitions;
    assert_eq!((defines.len(), backups.len(), distributes.len()), (0, 1, 0));
}

/// z/OS's limits: 1024 DVIPAs and 1024 ranges for each stack.
#[test]
fn more_than_a_stack_may_have_is_refused() {
    let block = |statements: String| format!("VIPADYNAMIC\n{statements}ENDVIPADYNAMIC");
    let address = |index: usize| format!("10.0.{}.{}", index >> 8, index & 255);
    let backups = |count: usize| (0..count).map(|index| format!("VIPABACKUP {}\n", address(index))).collect::<String>();
    assert_eq!(read(&block(backups(1024))).unwrap().backups.len(), 1024);
    let errors = read(&block(backups(1025))).unwrap_err();
    assert!(errors[0].at.line == 1026 && errors[0].message.contains("more than 1024 DVIPAs"), "{errors:?}");
    let range = |index: usize| format!("VIPARANGE 255.255.255.255 {}\n", address(index));
    let errors = read(&block((0..1025).map(range).collect())).unwrap_err();
    assert!(errors[0].at.line == 1026 && errors[0].message.contains("more than 1024 VIPARANGE"), "{errors:?}");
}

/// D4: the most specific VIPARANGE is the one that counts.
#[test]
fn the_most_specific_range_wins() {
    let text = "VIPADYNAMIC VIPARANGE MOVEABLE DISRUPTIVE 255.0.0.0 10.0.0.0 VIPARANGE 255.255.255.0 10.1.1.0
                VIPARANGE 255.255.0.0 10.1.0.0 ENDVIPADYNAMIC";
    let definitions = read(text).unwrap();
    let of =
        |address: &str| definitions.range_of(address.parse().unwrap()).map(|range| (range.prefix, range.disruptive));
    assert_eq!(of("10.1.1.9"), Some((24, false)));
    assert_eq!(of("10.1.2.9"), Some((16, false)));
    assert_eq!(of("10.2.2.9"), Some((8, true)));
    assert_eq!(of("11.1.1.9"), None);
}

/// HOTSTANDBY has one PREFERRED target and its BACKUPs, and what is its own stands nowhere else.
#[test]
fn hot_standby_has_its_rules() {
    let read = |statement: &str| {
        self::read(&format!("VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1 VIPADIST {statement} ENDVIPADYNAMIC"))
    };
    let many: String = (1..=32).map(|host| format!(" 192.0.3.{host} BACKUP")).collect();
    for (statement, ids) in [
        ("DISTM HOTSTANDBY DVA1 DESTIP XCF1 BACKUP XCF2 BACKUP 5", vec!["EZZ0827I"]),
        ("DISTM HOTSTANDBY DVA1 DESTIP XCF1 PREFERRED XCF2 PREFERRED 192.0.2.3 BACKUP", vec!["EZZ0827I"]),
        ("DISTM HOTSTANDBY DVA1 DESTIP XCF1 PREFERRED", vec!["EZZ0829I"]),
        (&format!("DISTM HOTSTANDBY DVA1 DESTIP XCF1 PREFERRED{many}"), vec!["EZZ0829I", "more than 32"]),
        ("DISTM HOTSTANDBY DVA1 DESTIP ALL", vec!["EZZ0165I"]),
        ("DISTM HOTSTANDBY DVA1 DESTIP XCF1 PREFERRED XCF1 BACKUP", vec!["EZZ0830I"]),
        ("DISTM HOTSTANDBY DVA1 DESTIP XCF1 PREFERRED XCF2", vec!["XCF", "EZZ0829I"]),
        ("DVA1 DESTIP XCF1 PREFERRED", vec!["EZZ0831I PREFERRED"]),
        ("DISTM ROUNDROBIN DVA1 DESTIP XCF1 BACKUP 5", vec!["EZZ0831I BACKUP"]),
        ("NOAUTOSWITCHBACK DVA1 DESTIP ALL", vec!["EZZ0831I NOAUTOSWITCHBACK"]),
        ("HEALTHSWITCH DISTM SERVERWLM DVA1 DESTIP ALL", vec!["EZZ0831I HEALTHSWITCH"]),
        ("DISTM HOTSTANDBY DVA1 DESTIP XCF1 PREFERRED XCF2 BACKUP 255", vec!["from 1 to 254"]),
    ] {
        let errors = read(statement).unwrap_err();
        let told = |id: &&str| errors.iter().any(|error| error.message.contains(*id) || *id == "XCF");
        assert!(ids.iter().all(told), "{statement}: {errors:?}");
    }
    let read = read("NOHEALTHSWITCH DISTM HOTSTANDBY NOAUTOSWITCHBACK DVA1 PORT 60 DESTIP XCF1 BACKUP XCF2 PREFERRED")
        .unwrap();
    let ranks = [(symbol("XCF1").unwrap(), Standby::BACKUP), (symbol("XCF2").unwrap(), Standby::PREFERRED)].into();
    let expected = Method::HotStandby(Standby { ranks, switch_back: false, health_switch: false });
    assert_eq!(read.distributes[0].method, expected);
}

/// Options stand in any order, abbreviated too; IBM's own sample has one at the end.
#[test]
fn options_stand_in_any_order() {
    let read = |statement: &str| {
        let text = format!("VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1 VIPADIST {statement} ENDVIPADYNAMIC");
        self::read(&text).unwrap().distributes.remove(0)
    };
    let options = Options { sysplex_ports: true, optlocal: Some(1), timed_affinity: 30 };
    for statement in [
        "DEFINE SYSPLEXP OPTLOCAL TIMEDAFF 30 DISTM BASEWLM PROCTYPE CP 20 ZIIP 40 DVA1 PORT 60 DESTIP ALL",
        "TIMEDAFFINITY 30 DISTMETHOD BASEWLM NOOPTLOCAL OPTLOCAL 1 DVA1 PORT 60 DESTIP ALL PROCTYPE CP 20 ZIIP 40 SYSPLEXPORTS",
        "DISTM BASEWLM TIMEDAFF 30 OPTLOCAL SYSPLEXPORTS DVA1 PORT 60 DESTIP XCF1 XCF2 PROCTYPE ZIIP 40 CP 20 ZAAP 0",
    ] {
        let read = read(statement);
        assert_eq!(read.method, Method::BaseWlm(Processors { cp: 20, zaap: 0, ziip: 40 }), "{statement}");
        assert_eq!(read.options, options, "{statement}");
    }
    let costs = Method::ServerWlm(Crossover { zaap: 100, ziip: 1, importance: 3 });
    assert_eq!(read("DISTM SERVERWLM PROCXCOST ZAAP 100 ILWEIGHTING 3 DVA1 DESTIP ALL").method, costs);
}

/// SYSPLEXPORTS is said first or never: it changes only once all distribution was deleted by a file of its own.
#[test]
fn sysplexports_does_not_change() {
    let block = |statement: &str| format!("VIPADYNAMIC {statement} ENDVIPADYNAMIC");
    let known = read(&block("VIPADEFINE 255.255.255.0 DVA1 VIPADIST DVA1 PORT 60 DESTIP ALL")).unwrap();
    for refused in
        ["VIPADIST SYSPLEXP DVA1 PORT 60 DESTIP ALL", "VIPADIST DELETE DVA1 VIPADIST SYSPLEXP DVA1 DESTIP ALL"]
    {
        let errors = obey(&known, &block(refused), &symbol).unwrap_err();
        assert!(errors[0].message.contains("SYSPLEXPORTS cannot change"), "{errors:?}");
    }
    let (less, _) = obey(&known, &block("VIPADIST DELETE DVA1"), &symbol).unwrap();
    let (more, _) = obey(&less, &block("VIPADIST SYSPLEXP DVA1 PORT 60 DESTIP ALL"), &symbol).unwrap();
    assert!(more.distributes[0].options.sysplex_ports);
}

/// All mistakes are told, not only the first.
#[test]
fn every_mistake_is_told() {
    let errors =
        read("VIPADYNAMIC\nVIPABACKUP 0 DVA1\nNONSENSE\nVIPADEFINE 255.255.255.0 DVX\nENDVIPADYNAMIC").unwrap_err();
    assert_eq!(errors.iter().map(|error| error.at.line).collect::<Vec<_>>(), [2, 3, 4]);
}

/// D6: an OBEYFILE adds, deletes and replaces; one with a mistake changes nothing.
#[test]
fn an_obeyfile_changes_what_is_in_force() {
    let known = read(
        "VIPADYNAMIC VIPADEFINE 255.255.255.0 DVA1 VIPABACKUP 30 DVB1 VIPARANGE 255.255.255.0 10.0.0.0
         VIPADIST DVA1 PORT 60 DESTIP XCF1 ENDVIPADYNAMIC",
    )
    .unwrap();
    let obey = |text: &str| {
        obey(&known, &format!("VIPADYNAMIC {text} ENDVIPADYNAMIC"), &symbol).map(|(definitions, _)| definitions)
    };
    assert_eq!(obey("VIPADEFINE 255.255.255.0 DVA1"), Ok(known.clone()), "I23");
    let changed = obey("VIPADIST DVA1 PORT 61 DESTIP ALL VIPADELETE DVB1 VIPADEFINE 255.255.255.0 DVB1").unwrap();
    assert_eq!((changed.defines.len(), changed.backups.len(), changed.distributes.len()), (2, 0, 1));
    assert_eq!(changed.distributes[0].targets, Targets::All);
    let changed = obey("VIPADIST DELETE DVA1 PORT 60 DESTIP XCF1 VIPARANGE DELETE 255.255.255.0 10.0.0.0").unwrap();
    assert_eq!((changed.distributes.len(), changed.ranges.len(), changed.defines.len()), (0, 0, 1));
    for (text, reason) in [
        ("VIPADEFINE 255.255.0.0 DVA1", "expected a VIPADELETE"),
        ("VIPADEFINE 255.255.255.0 DVB1", "expected a VIPADELETE"),
        ("VIPADELETE 10.1.1.1", "nothing to delete"),
        ("VIPADIST DELETE DVB1", "nothing to delete"),
        ("VIPADELETE DVA1 VIPADIST DVA1 PORT 60 DESTIP ALL", "no DVIPA of this stack"),
    ] {
        let errors = obey(text).unwrap_err();
        assert!(errors.iter().any(|error| error.message.contains(reason)), "{text}: {errors:?}");
    }
}

proptest! {
    /// No text makes the parser panic, and what it takes reads back as the same.
    #[test]
    fn any_text_is_read_or_refused(words in proptest::collection::vec(
        prop_oneof![
            Just("VIPADYNAMIC".to_owned()), Just("ENDVIPADYNAMIC".to_owned()), Just("VIPADEFINE".to_owned()),
            Just("VIPABACKUP".to_owned()), Just("VIPARANGE".to_owned()), Just("WEIGHT".to_owned()),
            Just("DISTMETHOD WEIGHTEDACTIVE".to_owned()), Just("VIPADISTRIBUTE".to_owned()), Just("PORT".to_owned()),
            Just("DESTIP".to_owned()), Just("ALL".to_owned()), Just("255.255.255.0".to_owned()),
            Just("DVA1".to_owned()), Just("DVB1".to_owned()), Just("60".to_owned()), Just("60-61".to_owned()),
            Just("MOVEABLE IMMEDIATE".to_owned()), Just(";\n".to_owned()), Just("PREFERRED".to_owned()),
            Just("DISTMETHOD HOTSTANDBY".to_owned()), Just("BACKUP 7".to_owned()), Just("OPTLOCAL".to_owned()),
            Just("PROCTYPE CP 5".to_owned()), Just("TIMEDAFF 9".to_owned()), Just("DISTM SERVERWLM".to_owned()), "\\PC{0,8}",
        ], 0..20)) {
        if let Ok(definitions) = read(&words.join(" ")) {
            prop_assert_eq!(read(&definitions.to_string()), Ok(definitions));
        }
    }

    /// The printed block of any definitions reads back as the same.
    #[test]
    fn printed_definitions_read_back(
        distribution in (methods(), options()),
        disruptive: bool,
        rank in 1u8..=254,
        host in 2u8..255,
        first in 1u16..60_000,
        count in 0u16..60,
    ) {
        let address = IpAddr::from([203, 0, 113, host]);
        let (method, options) = distribution;
        let targets = match &method {
            Method::WeightedActive(Weights(weights)) => weights.keys().copied().collect(),
            Method::HotStandby(standby) => standby.ranks.keys().copied().collect(),
            _ => vec![IpAddr::from([192, 0, 2, 1])],
        };
        let definitions = Definitions {
            defines: vec![Define { address: IpAddr::from([203, 0, 113, 1]), prefix: 24, moveable: Moveable::WhenIdle }],
            backups: vec![Backup { address, rank, create: Some((Moveable::Immediate, 25)) }],
            ranges: vec![Range { address, prefix: 28, disruptive }],
            distributes: vec![Distribute {
                address,
                method,
                ports: Ports::List(vec![PortRange { first, last: first + count }]),
                targets: Targets::List(targets),
                options,
            }],
        };
        prop_assert_eq!(read(&definitions.to_string()), Ok(definitions));
    }
}

fn xcfs() -> impl Strategy<Value = IpAddr> {
    any::<[u8; 2]>().prop_map(|[a, b]| IpAddr::from([192, 0, a, b]))
}

/// Every method, within its limits.
fn methods() -> impl Strategy<Value = Method> {
    let processors = (0..=99u8, 0..=99u8, 1..=99u8).prop_map(|(cp, zaap, ziip)| Processors { cp, zaap, ziip });
    let crossover = (1..=100u8, 1..=100u8, 0..=3u8);
    let crossover = crossover.prop_map(|(zaap, ziip, importance)| Crossover { zaap, ziip, importance });
    let weights = proptest::collection::btree_map(xcfs(), 1..=99u8, 1..32).prop_map(Weights);
    let ranks = proptest::collection::btree_map(xcfs(), 1..=254u8, 2..32);
    let standby = (ranks, any::<[bool; 2]>()).prop_map(|(mut ranks, [switch_back, health_switch])| {
        ranks.iter_mut().take(1).for_each(|(_, rank)| *rank = Standby::PREFERRED);
        Standby { ranks, switch_back, health_switch }
    });
    prop_oneof![
        Just(Method::RoundRobin),
        Just(Method::default()),
        processors.prop_map(Method::BaseWlm),
        crossover.prop_map(Method::ServerWlm),
        weights.prop_map(Method::WeightedActive),
        standby.prop_map(Method::HotStandby),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    (any::<bool>(), proptest::option::of(0..=16u8), 0..=9999u16)
        .prop_map(|(sysplex_ports, optlocal, timed_affinity)| Options { sysplex_ports, optlocal, timed_affinity })
}
