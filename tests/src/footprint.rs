//! What a lab or a bench could leave behind on the host.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::{eventually, succeed};

/// All of it at one moment.
#[derive(Debug, PartialEq)]
pub struct Footprint {
    /// Network devices.
    pub devices: String,
    routes: String,
    namespaces: BTreeSet<String>,
    labs: BTreeSet<String>,
    /// Folders for temporary files.
    folders: BTreeSet<String>,
    /// Every `cluster-lab` that runs.
    processes: BTreeSet<u32>,
}

/// How it is now.
pub fn footprint() -> Footprint {
    let own = succeed(Command::new("ip").args(["-o", "link"]));
    let temporary = names(&std::env::temp_dir().to_string_lossy());
    Footprint {
        devices: own.lines().filter_map(|line| line.split(':').nth(1)).collect::<Vec<_>>().join(" "),
        routes: succeed(Command::new("ip").args(["route", "show", "table", "all"])),
        namespaces: names("/run/netns"),
        labs: names("/run/cluster-lab"),
        folders: temporary.into_iter().filter(|name| name.starts_with("cluster-lab-")).collect(),
        processes: lab_processes(),
    }
}

impl Footprint {
    /// Waits until there is no more than this again. There may be less: something of a test before may have
    /// been about to end.
    ///
    /// # Panics
    /// If something stays.
    pub fn is_all_there_is(&self) {
        eventually("nothing is left behind", || footprint().is_within(self));
    }

    /// Whether a lab of that name has its folder.
    pub fn has_lab(&self, name: &str) -> bool {
        self.labs.contains(name)
    }

    /// Waits until no `cluster-lab` runs but those that ran then.
    ///
    /// # Panics
    /// If one stays.
    pub fn are_all_that_run(&self) {
        eventually("its processes have ended", || footprint().processes.is_subset(&self.processes));
    }

    fn is_within(&self, before: &Footprint) -> bool {
        let Footprint { devices, routes, namespaces, labs, folders, processes } = self;
        *devices == before.devices
            && *routes == before.routes
            && namespaces.is_subset(&before.namespaces)
            && labs.is_subset(&before.labs)
            && folders.is_subset(&before.folders)
            && processes.is_subset(&before.processes)
    }
}

/// Process ids of every `cluster-lab` that runs. One that has ended and only waits for whoever
/// adopted it to notice does not.
fn lab_processes() -> BTreeSet<u32> {
    let runs = |stat: String| stat.contains("(cluster-lab) ") && !stat.contains("(cluster-lab) Z");
    processes().filter(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(runs)).collect()
}

/// Process ids of whatever runs with `word` in its command line.
pub fn processes_with(word: &str) -> Vec<u32> {
    let has = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
    };
    processes().filter(has).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    names("/proc").into_iter().filter_map(|name| name.parse().ok())
}

fn names(folder: &str) -> BTreeSet<String> {
    fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default()
}
