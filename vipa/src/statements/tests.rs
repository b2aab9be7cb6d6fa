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
        [Distribute { address: dva1, method: Method::RoundRobin, ports, targets: Targets::List(targets) }]
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
            Just("MOVEABLE IMMEDIATE".to_owned()), Just(";\n".to_owned()), "\\PC{0,8}",
        ], 0..20)) {
        if let Ok(definitions) = read(&words.join(" ")) {
            prop_assert_eq!(read(&definitions.to_string()), Ok(definitions));
        }
    }

    /// The printed block of any definitions reads back as the same.
    #[test]
    fn printed_definitions_read_back(weight in proptest::option::of(1u8..=99), disruptive: bool, rank in 1u8..=254, host in 2u8..255, first in 1u16..60_000, count in 0u16..60) {
        let address = IpAddr::from([203, 0, 113, host]);
        let definitions = Definitions {
            defines: vec![Define { address: IpAddr::from([203, 0, 113, 1]), prefix: 24, moveable: Moveable::WhenIdle }],
            backups: vec![Backup { address, rank, create: Some((Moveable::Immediate, 25)) }],
            ranges: vec![Range { address, prefix: 28, disruptive }],
            distributes: vec![Distribute {
                address,
                method: match weight {
                    None => Method::RoundRobin,
                    Some(weight) => Method::WeightedActive(Weights([(IpAddr::from([192, 0, 2, 1]), weight)].into())),
                },
                ports: Ports::List(vec![PortRange { first, last: first + count }]),
                targets: Targets::List(vec![IpAddr::from([192, 0, 2, 1])]),
            }],
        };
        prop_assert_eq!(read(&definitions.to_string()), Ok(definitions));
    }
}
