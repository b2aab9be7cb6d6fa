//! Programs that others made: where they are, and what to install where they are not.

use std::path::PathBuf;

use serde::Serialize;

/// A program, and Debian's package of it.
const PACKAGES: [(&str, &str); 5] =
    [("ip", "iproute2"), ("nginx", "nginx-light"), ("nft", "nftables"), ("haproxy", "haproxy"), ("wrk", "wrk")];

/// A program that is not installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Missing {
    program: String,
    install: String,
    consequence: String,
}

impl Missing {
    pub fn new(program: &str, consequence: &str) -> Missing {
        let package = PACKAGES.iter().find(|(name, _)| *name == program).map_or(program, |(_, package)| package);
        Missing {
            program: program.into(),
            install: format!("apt-get install {package}"),
            consequence: consequence.into(),
        }
    }

    /// One sentence.
    pub fn told(&self) -> String {
        format!("{} is not installed: {}; install it with '{}'", self.program, self.consequence, self.install)
    }
}

/// Where `program` is. A user's path may lack the folders of servers.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}
