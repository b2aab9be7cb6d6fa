//! The scripts that count.

use anyhow::{Context, Result};
use serde::Deserialize;

/// One of them.
#[derive(Debug, Deserialize)]
pub struct Script {
    /// Its name in the list.
    pub name: String,
    /// Where it may be, from the folder of the suites; the first that is there is taken.
    pub files: Vec<String>,
    /// `net.ipv4.*` that it takes for granted.
    #[serde(default)]
    pub sysctl: Vec<(String, String)>,
    /// Arguments of packetdrill that it takes for granted.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// It is of IPv4 alone.
    #[serde(default)]
    pub ipv4_only: bool,
    /// Why the stack may differ, if it may.
    #[serde(default)]
    pub known: Option<String>,
}

/// All of them, in the order of the list.
pub fn scripts() -> Result<Vec<Script>> {
    let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    options.from_str(include_str!("../../../scripts.ron")).context("scripts.ron")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list is the specification's: 82 scripts, each once.
    #[test]
    fn the_list_is_whole() {
        let scripts = scripts().unwrap();
        let mut names: Vec<&str> = scripts.iter().map(|script| script.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), scripts.len()), (82, 82));
        assert!(scripts.iter().all(|script| !script.files.is_empty()));
    }
}
