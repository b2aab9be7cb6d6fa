//! What has to hold across the images of a cluster.

use std::collections::HashMap;
use std::net::IpAddr;

use vipa::definitions::{Definitions, Targets};
use vipa::messages::ALREADY_HOME;
use vipa::statements::{Places, Position, StatementError};

use super::load::{Placed, Source, offset};
use super::{Image, Network, ProfileError, TimingOverrides};
use crate::workload::Plan;

pub(super) fn check(source: &mut Source<'_>, network: &Network, images: &[Placed]) {
    if images.is_empty() {
        source.error((1, 1), "the cluster has no image");
    }
    names_and_addresses(source, network, images);
    dvipas(source, network, images);
}

/// A script names images of the cluster, and says what weights can be.
pub(super) fn workload(source: &mut Source<'_>, plan: &Plan, images: &[Placed]) {
    let Plan::scripted(steps) = plan else { return };
    for step in steps {
        // Where the image has its own entry is not where the script names it.
        let at = source.find_last(&step.image);
        if !images.iter().any(|placed| placed.image.name.eq_ignore_ascii_case(&step.image)) {
            source.error(at, format!("'{}' in the workload script is no image of this cluster", step.image));
        }
        if let Some(mistake) = step.mistake() {
            source.error(at, format!("workload script, {} at {}: {mistake}", step.image, step.at));
        }
    }
}

/// Nothing can be measured in no time.
pub(super) fn timing(source: &mut Source<'_>, timing: &TimingOverrides) {
    if timing.measure.is_some_and(|millis| millis < 10) {
        source.error((1, 1), "timing, measure: expected at least 10 milliseconds");
    }
}

fn names_and_addresses(source: &mut Source<'_>, network: &Network, images: &[Placed]) {
    let mut names: Vec<&str> = Vec::new();
    let mut taken: HashMap<IpAddr, &str> = HashMap::from([(network.client, "the client")]);
    if !network.contains(network.client) {
        let at = source.find(&network.client.to_string(), 0);
        source.error(at, format!("client {} is outside {}/{}", network.client, network.subnet, network.prefix));
    }
    for Placed { image, .. } in images {
        let at = source.find(&image.name, 0);
        let fits =
            !image.name.is_empty() && image.name.len() <= 15 && image.name.bytes().all(|b| b.is_ascii_alphanumeric());
        if !fits {
            source.error(at, format!("image name '{}': expected 1 to 15 letters and digits", image.name));
        }
        if names.iter().any(|known| known.eq_ignore_ascii_case(&image.name)) {
            source.error(source.find(&image.name, 1), format!("two images are called {}", image.name));
        }
        names.push(&image.name);
        for address in [Some(image.xcf), image.link].into_iter().flatten() {
            if let Some(other) = taken.insert(address, &image.name) {
                source.error(at, format!("{address} of image {} is {other}'s already", image.name));
            }
        }
        if let Some(link) = image.link.filter(|link| !network.contains(*link)) {
            let (subnet, prefix) = (network.subnet, network.prefix);
            source.error(
                at,
                format!("link {link} of image {} is outside the client network {subnet}/{prefix}", image.name),
            );
        }
        let mut apps: Vec<&str> = Vec::new();
        for app in &image.apps {
            if apps.iter().any(|known| known.eq_ignore_ascii_case(&app.name)) {
                source.error(at, format!("two applications of image {} are called {}", image.name, app.name));
            }
            apps.push(&app.name);
        }
    }
}

/// What a stack's block cannot say in this cluster, whatever the others say: for profiles and OBEYFILE.
pub(super) fn block(
    network: &Network,
    images: &[&Image],
    image: &Image,
    definitions: &Definitions,
    places: &Places,
) -> Vec<StatementError> {
    let mut errors = Vec::new();
    let mut error = |at: &Position, message: String| errors.push(StatementError { at: *at, message });
    let defines = definitions.defines.iter().map(|define| define.address).zip(&places.defines);
    let backups = definitions.backups.iter().map(|backup| backup.address).zip(&places.backups);
    for (address, at) in defines.chain(backups) {
        let name = &image.name;
        if image.link.is_none() {
            error(at, format!("{name} has no network link and cannot advertise a DVIPA: expected 'link'"));
        }
        if address.is_ipv4() != network.subnet.is_ipv4() {
            let subnet = network.subnet;
            error(at, format!("{address} is of another IP version than the client network {subnet}"));
        }
        let has = |other: &&Image| other.xcf == address || other.link == Some(address);
        if images.iter().any(has) || network.client == address {
            error(at, format!("{ALREADY_HOME} {address} is in a home list already: expected an address of its own"));
        }
    }
    for (distribute, (_, places)) in definitions.distributes.iter().zip(&places.distributes) {
        let Targets::List(targets) = &distribute.targets else { continue };
        for (target, at) in targets.iter().zip(places) {
            if !images.iter().any(|other| other.xcf == *target) {
                error(at, format!("{target} is no image's XCF address"));
            }
        }
    }
    errors
}

/// A place in somebody's block.
struct Place<'a> {
    placed: &'a Placed,
    at: Position,
}

impl Place<'_> {
    fn error(&self, source: &mut Source<'_>, message: String) {
        let at = offset(self.placed.begins, self.at);
        source.errors.push(ProfileError { file: self.placed.file.clone(), at, message });
    }
}

fn dvipas(source: &mut Source<'_>, network: &Network, images: &[Placed]) {
    let mut primaries: HashMap<IpAddr, &str> = HashMap::new();
    let mut ranks: HashMap<(IpAddr, u8), &str> = HashMap::new();
    let mut backups = Vec::new();
    let all: Vec<&Image> = images.iter().map(|placed| &placed.image).collect();
    for placed in images {
        let name = placed.image.name.as_str();
        let definitions = placed.image.definitions();
        for StatementError { at, message } in block(network, &all, &placed.image, &definitions, &placed.places) {
            Place { placed, at }.error(source, message);
        }
        for (define, at) in definitions.defines.iter().zip(&placed.places.defines) {
            let place = Place { placed, at: *at };
            let address = define.address;
            if let Some(other) = primaries.insert(address, name) {
                place
                    .error(source, format!("{address} has two primaries, {other} and {name}: expected one VIPADEFINE"));
            }
        }
        for (backup, at) in definitions.backups.iter().zip(&placed.places.backups) {
            let place = Place { placed, at: *at };
            if let Some(other) = ranks.insert((backup.address, backup.rank), name) {
                let (address, rank) = (backup.address, backup.rank);
                place.error(
                    source,
                    format!("{other} and {name} back up {address} with the same rank {rank}: expected different ranks"),
                );
            }
            backups.push((backup.address, backup.create.is_some(), place));
        }
    }
    for (address, creates, place) in backups {
        if !creates && !primaries.contains_key(&address) {
            place.error(
                source,
                format!("nobody defines {address}: expected a VIPADEFINE on another image, or MOVEABLE here"),
            );
        }
    }
}
