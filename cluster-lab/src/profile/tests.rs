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
    let twice = wrong(|text| text.replacen("name: \"MVS2\"", "name: \"MVS1\"", 1));
    assert!(twice.iter().any(|error| error.message.contains("two images are called MVS1")), "{twice:?}");
    let outside = wrong(|text| text.replacen("198.51.100.15", "192.0.2.77", 1));
    assert!(outside.iter().any(|error| error.message.contains("outside the client network")), "{outside:?}");
    let unknown = wrong(|text| text.replacen("xcf: \"XCF3\"", "xfc: \"XCF3\"", 1));
    assert!(unknown[0].message.contains("xfc") && unknown[0].at.0 > 1, "{unknown:?}");
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
