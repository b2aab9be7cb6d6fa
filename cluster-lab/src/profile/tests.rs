//! Profiles that are wrong, and those that come with the program.

use super::*;

fn wrong(change: impl FnOnce(&str) -> String) -> Vec<ProfileError> {
    let text = BUILT_IN.iter().find(|(name, _)| *name == "figure4").map(|(_, text)| change(text)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.ron");
    std::fs::write(&file, text).unwrap();
    load(file.to_str().unwrap()).unwrap_err().0
}

/// `from` is replaced by `to`; the error is on the line of `to`, at `column` of what `at` begins, and says `reason`.
#[track_caller]
fn expect(from: &str, to: &str, at: &str, reason: &str) {
    let text = BUILT_IN[0].1.replacen(from, to, 1);
    assert!(BUILT_IN[0].1.contains(from), "{from}");
    let byte = text.find(to).unwrap() + to.find(at).unwrap();
    let line = text[..byte].matches('\n').count() + 1;
    let column = text[..byte].rsplit('\n').next().unwrap().chars().count() + 1;
    let errors = wrong(|_| text.clone());
    assert!(
        errors.iter().any(|error| error.at == (line as u32, column as u32) && error.message.contains(reason)),
        "{from} -> {to}: {errors:?}, not {line}:{column} {reason}"
    );
}

#[test]
fn the_shipped_profiles_are_sound() {
    for (name, _) in BUILT_IN {
        let cluster = load(name).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(cluster.name, name);
    }
    let wide = load("wide").unwrap();
    assert_eq!(wide.images.len(), 16);
}

/// The seed's example: D1, D2, D3, D5.
#[test]
fn figure_4_is_the_seeds_example() {
    let cluster = load("figure4").unwrap();
    let address = |name: &str| cluster.names[name];
    let linked: Vec<&str> =
        cluster.images.iter().filter(|image| image.link.is_some()).map(|image| image.name.as_str()).collect();
    assert_eq!(linked, ["MVS1", "MVS5"]);
    let mvs5 = cluster.image("mvs5").unwrap().definitions();
    assert_eq!(mvs5.backups[0].rank, 10);
    let own = mvs5.distributes.iter().find(|distribute| distribute.address == address("DVA1")).unwrap();
    let targets = vipa::Targets::List(["XCF2", "XCF3", "XCF4"].map(address).to_vec());
    assert_eq!(own.targets, targets);
    assert_eq!(cluster.image("MVS1").unwrap().definitions().backups[0].rank, 30);
}

/// Bad input of the statements, with the RON file's own line and column.
#[test]
fn statement_errors_point_into_the_ron_file() {
    expect("VIPABackup 10 DVA1", "VIPABackup 0 DVA1", "0 DVA1", "1 to 254");
    expect("VIPABackup 10 DVA1", "VIPABackup 255 DVA1", "255", "1 to 254");
    expect("DVA1 PORT 60 DESTIP XCF1", "DVA1 PORT 70000 DESTIP XCF1", "70000", "1 to 65535");
    expect("255.255.255.192 DVA1", "255.255.255.192 DVA1 DVB1", "DVB1", "outside the statement's subnet");
    expect("DESTIP XCF1, XCF2, XCF4", "DESTIP XCF1, XCF2, XCF9", "XCF9", "neither an address nor a known name");
    expect("DESTIP XCF1, XCF2, XCF4", "DESTIP XCF1, 192.0.2.99", "192.0.2.99", "no image's XCF address");
    // A statement that is cut off is missed where the next one stands.
    expect("VIPABackup 30 DVB1\n        ENDVIPADynamic", "VIPABackup 30\n        ENDVIPADynamic", "ENDV", "cut off");
}

/// Bad input across images.
#[test]
fn contradictions_between_images_are_found() {
    expect("VIPABackup 10 DVA1", "VIPADEFine 255.255.255.0 DVA1", "DVA1", "two primaries");
    expect("VIPABackup 30 DVB1", "VIPABackup 30 203.0.113.66", "203.0.113.66", "nobody defines");
    expect("\"DVB1\": \"203.0.113.65\"", "\"DVB1\": \"203.0.113\"", "203.0.113", "no address");
    let range = |mask: &str| format!("VIPABackup 30 DVB1 VIPARange {mask}");
    let (xcf, link, client) = (
        range("255.255.255.0 192.0.2.128"),
        range("255.255.255.240 198.51.100.8"),
        range("255.255.255.252 198.51.100.0"),
    );
    expect("VIPABackup 30 DVB1", &xcf, "192.0.2.128", "192.0.2.128/24 covers 192.0.2.1,");
    expect("VIPABackup 30 DVB1", &link, "198.51.100.8", "covers 198.51.100.11,");
    expect("VIPABackup 30 DVB1", &client, "198.51.100.0", "covers 198.51.100.1,");
    let twice = wrong(|text| text.replacen("name: \"MVS2\"", "name: \"MVS1\"", 1));
    assert!(twice.iter().any(|error| error.message.contains("two images are called MVS1")), "{twice:?}");
    let outside = wrong(|text| text.replacen("198.51.100.15", "192.0.2.77", 1));
    assert!(outside.iter().any(|error| error.message.contains("outside the client network")), "{outside:?}");
    let unknown = wrong(|text| text.replacen("xcf: \"XCF3\"", "xfc: \"XCF3\"", 1));
    assert!(unknown[0].message.contains("xfc") && unknown[0].at.0 > 1, "{unknown:?}");
}

/// What cannot be, and what would be found out only by a lab that runs.
#[test]
fn what_no_lab_could_do_is_refused() {
    expect("\"DVB1\": \"203.0.113.65\"", "\"dva1\": \"203.0.113.65\"", "dva1", "among 'names' twice");
    let app = "(name: \"APPA\", kind: http, bind: \"DVA1\", port: 60)";
    let another = |more: &str| format!("{app}, {more}");
    let twice = another("(name: \"TWO\", kind: echo, bind: \"DVA1\", port: 60)");
    expect(app, &twice, "TWO", "both listen on port 60");
    let stands_by = another("(name: \"TWO\", kind: echo, bind: \"DVA1\", port: 60, start: false)");
    warnings(&BUILT_IN[0].1.replacen(app, &stands_by, 1));
    let odd = another("(name: \"A B\", kind: echo, bind: \"DVA1\", port: 61)");
    expect(app, &odd, "A B", "1 to 15 letters and digits");
    let nowhere = another("(name: \"OUT\", kind: relay(to: \"nowhere\"), bind: \"DVA1\", port: 61)");
    expect(app, &nowhere, "nowhere", "expected ADDRESS:PORT");
    for (timing, reason) in [
        ("heartbeat: 0", "heartbeat: expected 1 to"),
        ("grace: 18446744073709551615", "grace: expected 0 to"),
        ("measure: 1", "measure: expected 10 to"),
        ("silence: 50", "over before the next heartbeat"),
    ] {
        let errors = wrong(|text| text.replacen("names:", &format!("timing: ({timing}), names:"), 1));
        assert!(errors.iter().any(|error| error.message.contains(reason)), "{timing}: {errors:?}");
    }
    let crowd = wrong(|text| {
        let more = (0..60).map(|n| format!("(name: \"M{n}\", xcf: \"192.0.2.{}\"),", n + 100)).collect::<String>();
        text.replacen("images: [", &format!("images: [{more}"), 1)
    });
    assert!(crowd[0].message.contains("65 images: expected 1 to 64"), "{crowd:?}");
}

#[test]
fn equal_ranks_are_refused() {
    let errors = wrong(|text| {
        text.replace(
            "name: \"MVS3\", xcf: \"XCF3\",",
            "name: \"MVS3\", xcf: \"XCF3\", link: Some(\"198.51.100.13\"),\n vipadynamic: r#\" VIPADynamic VIPABackup 10 DVA1 ENDVIPADynamic \"#,",
        )
    });
    assert!(errors.iter().any(|error| error.message.contains("same rank 10")), "{errors:?}");
}

#[test]
fn a_file_that_is_not_there_is_told_with_what_could_be() {
    let errors = load("/nonexistent.ron").unwrap_err();
    assert!(errors.to_string().contains("figure4"), "{errors}");
}

/// What is wrong with a profile in `text`, as warnings.
fn warnings(text: &str) -> Vec<ProfileError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("linted.ron");
    std::fs::write(&file, text).unwrap();
    examine(file.to_str().unwrap()).unwrap_or_else(|errors| panic!("{errors}")).1
}

/// Figure 4 with `from` replaced by `to` has a warning more: on the line and at the column of what `at` begins.
#[track_caller]
fn expect_warning(from: &str, to: &str, at: &str, reason: &str) {
    let figure4 = BUILT_IN[0].1;
    assert!(figure4.contains(from), "{from}");
    let text = figure4.replacen(from, to, 1);
    let byte = text.find(to).unwrap() + to.find(at).unwrap();
    let line = text[..byte].matches('\n').count() + 1;
    let column = text[..byte].rsplit('\n').next().unwrap().chars().count() + 1;
    let found = warnings(&text);
    assert!(
        found.iter().any(|one| one.at == (line as u32, column as u32) && one.message.contains(reason)),
        "{from} -> {to}: {found:#?}, not {line}:{column} {reason}"
    );
    assert!(!warnings(figure4).iter().any(|one| one.message.contains(reason)), "{reason} without the change");
}

/// What `check` says of the shipped profiles is right: figure 4's backups lack MOVEABLE, as the patent has them,
/// and MVS3 is named as a target of DVA1 without serving it.
#[test]
fn the_shipped_profiles_have_the_warnings_that_are_right() {
    let of = |name: &str| examine(name).unwrap().1.into_iter().map(|one| one.message).collect::<Vec<_>>();
    let figure4 = of("figure4");
    assert_eq!(figure4.len(), 3, "{figure4:#?}");
    assert_eq!(figure4.iter().filter(|message| message.contains("without MOVEABLE")).count(), 2);
    assert!(figure4.iter().any(|message| message.contains("MVS3 is a target for DVA1, but no application there")));
    for name in ["pair", "wide", "tiers"] {
        assert!(of(name).iter().all(|message| message.contains("without MOVEABLE")), "{:#?}", of(name));
    }
}

/// Each of the warnings, where it belongs.
#[test]
fn what_is_probably_not_meant_is_told() {
    let backup = "VIPABackup 10 DVA1";
    expect_warning(
        backup,
        "VIPABackup 10 MOVEable IMMEDiate 255.255.255.192 DVA1\n VIPADEFine 255.255.255.192 203.0.113.80",
        "203.0.113.80",
        "nobody backs up 203.0.113.80: without MVS5 it is gone; a VIPABACKUP on MVS1 would keep it",
    );
    expect_warning(
        "DVB1 PORT 60 DESTIP ALL",
        "DVB1 PORT 60 DESTIP XCF2 XCF3 XCF4 XCF5",
        "XCF4",
        "MVS4 is a target for DVB1, but no application there listens on port 60",
    );
    expect_warning("DVB1 PORT 60 DESTIP ALL", "DVB1 PORT 60 61 DESTIP ALL", "DVB1", "listens on port 61 of DVB1");
    expect_warning(
        "(name: \"APPA\", kind: http, bind: \"DVA1\", port: 60)]",
        "(name: \"APPA\", kind: http, bind: \"DVA1\", port: 60), (name: \"LOST\", kind: echo, bind: \"203.0.113.99\", port: 7)]",
        "LOST",
        "no address of the image",
    );
    expect_warning(
        "\"XCF1\": \"192.0.2.1\",",
        "\"XCF1\": \"192.0.2.1\",\n \"XFC2\": \"192.0.2.1\",",
        "XFC2",
        "nothing uses the name XFC2",
    );
}

/// An application that no list names, a lone link, and a range without one.
#[test]
fn what_no_connection_reaches_is_told() {
    let list = BUILT_IN[0].1.replacen("DVB1 PORT 60 DESTIP ALL", "DVB1 PORT 60 DESTIP XCF2", 1);
    let lost: Vec<String> = warnings(&list).into_iter().map(|one| one.message).collect();
    for image in ["MVS3", "MVS5"] {
        let reason = format!("nothing sends connections for DVB1 port 60 to APPB of {image}");
        assert!(lost.iter().any(|message| message.starts_with(&reason)), "{lost:#?}");
    }
    let text = r#"(
      name: "lone", network: (subnet: "198.51.100.0/24", client: "198.51.100.1"), names: {},
      images: [
        (name: "MVS1", xcf: "192.0.2.1", link: "198.51.100.11", vipadynamic: "VIPADynamic
          VIPADEFine 255.255.255.0 203.0.113.1 VIPADISTribute 203.0.113.1 PORT 80 DESTIP ALL ENDVIPADynamic"),
        (name: "MVS2", xcf: "192.0.2.2", apps: [(name: "WEB", kind: http, bind: "any", port: 80)],
         vipadynamic: "VIPADynamic VIPARange 255.255.255.0 203.0.113.0 ENDVIPADynamic"),
      ])"#;
    let found: Vec<((u32, u32), String)> = warnings(text).into_iter().map(|one| (one.at, one.message)).collect();
    let has = |line: u32, reason: &str| found.iter().any(|(at, message)| at.0 == line && message.contains(reason));
    assert!(has(5, "give another image a 'link' and a VIPABACKUP"), "{found:#?}");
    assert!(has(5, "MVS2 without a link answer through MVS1 alone"), "{found:#?}");
    assert!(has(7, "MVS2 has no network link"), "{found:#?}");
    assert_eq!(found.len(), 3, "{found:#?}");
}

/// A relay from an image takes names of the profile, and says what is wrong with anything else; where nothing of
/// the cluster is there is a warning.
#[test]
fn relays_from_images_know_names() {
    let tiers = BUILT_IN.iter().find(|(name, _)| *name == "tiers").unwrap().1;
    let image = load("tiers").unwrap().images.swap_remove(2);
    let to = |index: usize| image.apps[index].kind.to_string();
    assert_eq!(to(0), "relay to 203.0.113.65:80 from the image");
    for wrong in ["BACK", "BACK:0", "BACK:x", "BAKC:80", "unix:/run/my.sock"] {
        let text = tiers.replacen("BACK:80", wrong, 1);
        let errors = read("tiers.ron", &text, std::path::Path::new(".")).unwrap_err().0;
        let byte = text.find(&format!("\"{wrong}\"")).unwrap();
        let line = u32::try_from(text[..byte].matches('\n').count() + 1).unwrap();
        assert!(errors.len() == 1 && errors[0].message.contains(wrong) && errors[0].at.0 == line, "{errors:?}");
    }
    let found = warnings(&tiers.replacen("BACK:80", "203.0.113.99:80", 1));
    assert!(found.len() == 1 && found[0].message.contains("FRONT80 of MVS3 relays to 203.0.113.99:80"), "{found:?}");
}
