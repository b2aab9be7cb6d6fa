//! Fuzz targets for what people write: profiles, VIPADynamic blocks, TCP/IP profile statements.
//!
//! An input is the text itself, or, if it begins with a byte that no text begins with, one of the
//! seeds with changes: `[0x80 or more, which, (place, place, what, value)…]`. The corpora are the seeds.

use std::net::IpAddr;
use std::path::Path;
use std::sync::LazyLock;

use cluster_lab::profile::{BUILT_IN, read};
use cluster_lab::tcpip::{self, Settings};
use vipa::statements;

const LONGEST: usize = 256;

/// Words that mean something somewhere.
#[rustfmt::skip]
const WORDS: [&str; 56] = [
    "VIPADynamic", "ENDVIPADynamic", "VIPADEFine", "VIPABackup", "VIPARange", "VIPADELete", "VIPADISTribute", "DEFINE",
    "DELEte", "MOVEable", "IMMEDiate", "WHENIDLE", "DISRUPTive", "NONDISRUPTive", "PORT", "DESTIP", "ALL", "DISTMethod",
    "WEIGHTEDActive", "ROUNDROBIN", "WEIGHT", "255.255.255.0", "0.0.0.0", "203.0.113.1", "2001:db8::1/64", "::/0",
    "DVA1", "XCF1", "0", "1", "60", "99", "255", "65535", "65536", "18446744073709551616", "-1", "60-61", "61-60", ";",
    ",", "\n", "\"", "r#\"", "\"#", "(", ")", "[", "]", "{", "}", ":", "Some(", "None", "/*", "é",
];

const BLOCKS: [&str; 4] = [
    "VIPADynamic\n VIPADEFine MOVEable IMMEDiate 255.255.255.0 DVA1\n VIPADISTribute DVA1 PORT 60 DESTIP XCF1, XCF2\n\
     VIPABackup 30 DVB1 ; a comment\nENDVIPADynamic\n",
    "VIPADYNAMIC VIPABACKUP 10 MOVEABLE WHENIDLE 255.255.255.0 DVA1 VIPADISTRIBUTE DISTMETHOD WEIGHTEDACTIVE DVA1 \
     PORT 60 70-75 DESTIP XCF1 WEIGHT 5 192.0.2.9 ENDVIPADYNAMIC",
    "VIPADYNAMIC VIPADEFINE DVA6 2001:db8:1::1/64 VIPABACKUP 3 MOVEABLE IMMEDIATE 2001:db8:1::2/64\n\
     VIPARANGE V6 2001:db8:2::/48 VIPADISTRIBUTE DVA6 DESTIP ALL ENDVIPADYNAMIC",
    "VIPADYNAMIC VIPARANGE MOVEABLE DISRUPTIVE 255.255.0.0 203.0.113.1 VIPARANGE DELETE 255.255.0.0 203.0.113.1\n\
     VIPADELETE DVA1 VIPADISTRIBUTE DELETE DVA1 ENDVIPADYNAMIC",
];

const STATEMENTS: [&str; 2] = [
    "TCPCONFIG RECVBUFRSIZE 65536 SENDBUFRSIZE 8388608 TCPMAXRCVBUFRSIZE 262144 FINWAIT2TIME 30 NODELAYACKS INTERVAL 5\n\
     KEEPALIVEPROBES 3 KEEPALIVEPROBEINTERVAL 10 CONGESTIONCONTROL CUBIC EPHEMERALPORTS 20000 30000 ; comment\n\
     UDPCONFIG UDPRCVBUFRSIZE 65536 IPCONFIG DATAGRAMFWD REASSEMBLYTIMEOUT 15\nSOMAXCONN 10",
    "TCPCONFIG NOTCPTIMESTAMP VIPADYNAMIC VIPABACKUP 1 DVA1 ENDVIPADYNAMIC IPCONFIG NODATAGRAMFWD",
];

/// The smallest profile that has everything.
#[rustfmt::skip]
const PROFILE: &str = r##"(name: "one", network: (subnet: "198.51.100.0/24", client: "198.51.100.1", mtu: 1500, offload: false),
 names: {"DVA1": "203.0.113.1", "XCF1": "192.0.2.1"}, timing: (heartbeat: Some(50), silence: Some(250)),
 images: [(name: "MVS1", xcf: "XCF1", link: Some("198.51.100.11"),
  apps: [(name: "WEB", kind: http, bind: "DVA1", port: 80), (name: "R", kind: relay(to: "unix:/x", proxy_protocol: true), bind: "any", port: 81, start: false)],
  vipadynamic: r#" VIPADynamic VIPADEFine MOVEable IMMEDiate 255.255.255.0 DVA1
   VIPADISTribute DVA1 PORT 80 DESTIP ALL ENDVIPADynamic "#)])"##;

fn profiles() -> Vec<String> {
    let built_in = BUILT_IN.iter().filter(|(name, _)| *name != "wide").map(|(_, text)| (*text).to_owned());
    // Most often the small one: it is read fastest.
    std::iter::repeat_n(PROFILE.to_owned(), 13).chain(built_in).collect()
}

fn symbol(name: &str) -> Option<IpAddr> {
    let octets = match name.to_ascii_uppercase().as_str() {
        "DVA1" => [203, 0, 113, 1],
        "DVB1" => [203, 0, 113, 2],
        "XCF1" => [192, 0, 2, 1],
        "XCF2" => [192, 0, 2, 2],
        _ => return None,
    };
    Some(IpAddr::from(octets))
}

/// The text that an input stands for.
fn text(input: &[u8], seeds: &[String]) -> String {
    let [0x80..=0xff, which, changes @ ..] = input else { return String::from_utf8_lossy(input).into_owned() };
    let mut text = seeds[usize::from(*which) % seeds.len()].clone().into_bytes();
    for change in changes.chunks_exact(4).take(1 + changes.len() % 8) {
        let (at, value) = (usize::from(u16::from_be_bytes([change[0], change[1]])), change[3]);
        let at = at % (text.len() + 1);
        let end = text.len().min(at + usize::from(value));
        let word = WORDS[usize::from(value) % WORDS.len()].bytes();
        match change[2] % 7 {
            0 if at < text.len() => text[at] ^= 1 << (value % 8),
            1 => drop(text.splice(at..at, word)),
            // In place of the word that is there.
            2 => {
                let length = text[at..].iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(0);
                drop(text.splice(at..at + length, word));
            }
            3 => drop(text.drain(at..end)),
            4 => {
                let copy = text[at..end].to_vec();
                drop(text.splice(at..at, copy));
            }
            5 if value < 16 => text.truncate(at),
            _ => text.insert(at, value),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Any VIPADynamic block is read or refused, with places inside the text; what is taken is printed and
/// read again as the same; as OBEYFILE text too.
#[test]
fn fuzz_statements() {
    static SEEDS: LazyLock<Vec<String>> = LazyLock::new(|| BLOCKS.map(str::to_owned).into());
    bolero::check!().with_max_len(LONGEST).for_each(|input: &[u8]| {
        let text = text(input, &SEEDS);
        let lines = text.split('\n').count();
        match statements::parse(&text, &symbol) {
            Ok((definitions, places)) => {
                assert_eq!(places.defines.len(), definitions.defines.len());
                assert_eq!(places.distributes.len(), definitions.distributes.len());
                let printed = definitions.to_string();
                let again = statements::parse(&printed, &|_| None).map(|(definitions, _)| definitions);
                assert_eq!(again.as_ref(), Ok(&definitions), "{text}\n{printed}");
                let _ = statements::obey(&definitions, &text, &symbol);
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                for error in &errors {
                    assert!((1..=lines).contains(&(error.at.line as usize)), "{error:?} in {text}");
                }
            }
        }
    });
}

/// Any TCP/IP statements are read or refused, beside a block or without one.
#[test]
fn fuzz_tcpip() {
    static SEEDS: LazyLock<Vec<String>> = LazyLock::new(|| STATEMENTS.map(str::to_owned).into());
    bolero::check!().with_max_len(LONGEST).for_each(|input: &[u8]| {
        let text = text(input, &SEEDS);
        let (own, block) = tcpip::split(&text);
        assert_eq!(own.chars().count(), text.chars().count());
        assert!(block.is_none_or(|block| block.chars().count() == text.chars().count()));
        let settings = match tcpip::parse(&own, &Settings::default()) {
            Ok(settings) => settings,
            Err(errors) => return assert!(!errors.is_empty()),
        };
        assert!(!settings.rows().is_empty());
        let mut stack = stack::Stack::new(stack::Config::default(), 1);
        stack.configure(settings.stack);
    });
}

/// Any profile is read or refused, with places; what is taken holds together.
#[test]
fn fuzz_profile() {
    static SEEDS: LazyLock<Vec<String>> = LazyLock::new(profiles);
    bolero::check!().with_max_len(LONGEST).for_each(|input: &[u8]| {
        let text = text(input, &SEEDS);
        match read("fuzz.ron", &text, Path::new("/nonexistent")) {
            Ok(cluster) => {
                assert!(!cluster.images.is_empty() && cluster.network.contains(cluster.network.client));
                for image in &cluster.images {
                    let again = statements::parse(&image.vipadynamic, &|_| None);
                    assert_eq!(again.map(|(definitions, _)| definitions), Ok(image.definitions()), "{text}");
                }
            }
            Err(errors) => {
                assert!(!errors.0.is_empty());
                assert!(errors.0.iter().all(|error| error.at.0 > 0 && error.at.1 > 0), "{errors} in {text}");
            }
        }
    });
}

/// The seeds are right, and so worth changing.
#[test]
fn the_seeds_are_sound() {
    for text in profiles() {
        read("seed", &text, Path::new("/nonexistent")).unwrap_or_else(|errors| panic!("{errors}"));
    }
    for text in &BLOCKS[..3] {
        statements::parse(text, &symbol).unwrap_or_else(|errors| panic!("{errors:?}"));
    }
}

/// Writes the corpus.
#[test]
#[ignore = "writes into the source tree"]
fn write_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/__fuzz__");
    let blocks = BLOCKS.map(str::to_owned).to_vec();
    for (target, seeds) in [
        ("profile", vec![PROFILE.to_owned()]),
        ("statements", blocks),
        ("tcpip", STATEMENTS.map(str::to_owned).to_vec()),
    ] {
        let corpus = folder.join(target).join("corpus");
        std::fs::create_dir_all(&corpus).unwrap();
        for (index, text) in seeds.iter().enumerate() {
            std::fs::write(corpus.join(format!("seed{index}")), text).unwrap();
        }
    }
}
