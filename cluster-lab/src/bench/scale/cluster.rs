//! Clusters of any size, as profiles.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Result, ensure};

use crate::profile::{self, Cluster};

/// Who routes every DVIPA, and who backs it up.
pub(super) const ROUTER: &str = "MVS1";
pub(super) const BACKUP: &str = "MVS2";
/// The first port of the echo servers.
const ECHO: u16 = 7001;
/// z/OS takes as many in one VIPADISTRIBUTE.
const MOST_PORTS: usize = 64;

/// What is generated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The router and its backup among them.
    pub images: usize,
    pub dvipas: usize,
    /// Echo servers on each target. A client can have some 28,000 connections to each.
    pub ports: usize,
    /// The router and its backup serve, too. Else nothing ends with the router.
    pub all_serve: bool,
}

impl Shape {
    pub fn dvipa(index: usize) -> IpAddr {
        // 198.18.0.0/15 is for benchmarks (RFC 2544).
        IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 1).to_bits() + index as u32))
    }

    /// The echo server on a DVIPA that a client is to use.
    pub fn server(dvipa: usize, port: usize) -> SocketAddr {
        SocketAddr::new(Shape::dvipa(dvipa), ECHO + port as u16)
    }

    /// How many images serve.
    pub fn targets(self) -> usize {
        if self.all_serve { self.images } else { self.images - 2 }
    }

    /// The images that serve.
    pub fn serving(self) -> impl Iterator<Item = String> {
        (self.images - self.targets()..self.images).map(|index| format!("MVS{}", index + 1))
    }

    /// The cluster: all images have a link of their own, so that answers go the short way.
    pub fn cluster(self) -> Result<Cluster> {
        let Shape { images, dvipas, ports, all_serve } = self;
        ensure!((2..=200).contains(&images), "{images} images: expected 2 to 200");
        ensure!((1..=MOST_PORTS).contains(&ports), "{ports} servers: expected up to {MOST_PORTS}");
        Ok(profile::read("scale", &text(images, dvipas, ports, all_serve)?, Path::new("."))?)
    }
}

fn text(images: usize, dvipas: usize, ports: usize, all_serve: bool) -> Result<String> {
    let ports: Vec<u16> = (0..ports).map(|port| ECHO + port as u16).collect();
    let words = |numbers: &[u16]| numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    let serving = |index: usize| all_serve || index >= 2;
    // As a list z/OS takes 32 at most.
    let targets = match all_serve {
        true => "ALL".to_owned(),
        false => (2..images).map(|index| format!("192.0.2.{}", index + 1)).collect::<Vec<_>>().join(" "),
    };
    let mut text = String::from(
        "(name: \"scale\", network: (subnet: \"198.51.100.0/24\", client: \"198.51.100.254\"), names: {\n",
    );
    for dvipa in 0..dvipas {
        writeln!(text, "\"D{dvipa}\": \"{}\",", Shape::dvipa(dvipa))?;
    }
    text += "}, images: [\n";
    for index in 0..images {
        let number = index + 1;
        write!(
            text,
            "(name: \"MVS{number}\", xcf: \"192.0.2.{number}\", link: Some(\"198.51.100.{number}\"), apps: ["
        )?;
        for port in ports.iter().filter(|_| serving(index)) {
            write!(text, "(name: \"ECHO{port}\", kind: echo, bind: \"0.0.0.0\", port: {port}), ")?;
        }
        text += "]";
        if index < 2 {
            text += ", vipadynamic: r#\"VIPADynamic\n";
            for dvipa in 0..dvipas {
                match index {
                    0 => {
                        writeln!(text, "VIPADEFine MOVEable IMMEDiate 255.255.255.255 D{dvipa}")?;
                        let ports = words(&ports);
                        writeln!(text, "VIPADISTribute DISTMethod ROUNDROBIN D{dvipa} PORT {ports} DESTIP {targets}")?;
                    }
                    _ => writeln!(text, "VIPABackup 10 D{dvipa}")?,
                }
            }
            text += "ENDVIPADynamic\"#";
        }
        text += "),\n";
    }
    Ok(text + "])")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_of_every_size_are_sound() {
        for (images, dvipas, ports, all_serve) in
            [(2, 1, 1, true), (64, 1, 1, true), (4, 256, 1, false), (6, 1, 64, false)]
        {
            let shape = Shape { images, dvipas, ports, all_serve };
            let cluster = shape.cluster().unwrap();
            assert_eq!(cluster.images.len(), images);
            assert_eq!(cluster.images[0].definitions().defines.len(), dvipas);
            assert_eq!(cluster.images[1].definitions().backups.len(), dvipas);
            let serving: Vec<&str> = cluster
                .images
                .iter()
                .filter(|image| image.apps.len() == ports)
                .map(|image| image.name.as_str())
                .collect();
            assert_eq!(serving, shape.serving().collect::<Vec<_>>());
            assert_eq!(serving.len(), shape.targets());
        }
        assert!(Shape { images: 2, dvipas: 1, ports: 65, all_serve: true }.cluster().is_err());
    }
}
