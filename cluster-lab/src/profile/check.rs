//! What has to hold across the images of a cluster.

use std::collections::HashMap;
use std::net::IpAddr;

use vipa::Timing;
use vipa::definitions::{Definitions, Targets};
use vipa::messages::ALREADY_HOME;
use vipa::statements::{Places, Position, StatementError};

use super::load::{Placed, Source, offset};
use super::{App, AppKind, Image, Network, ProfileError, Side, TimingOverrides};
use crate::workload::Plan;

/// Images of a cluster; z/OS has 32 systems in a sysplex.
const MOST_IMAGES: usize = 64;
/// Longest interval, in milliseconds: an hour.
const LONGEST: u64 = 3_600_000;

pub(super) fn check(source: &mut Source<'_>, network: &Network, images: &[Placed]) {
    if !(1..=MOST_IMAGES).contains(&images.len()) {
        source.error((1, 1), format!("the cluster has {} images: expected 1 to {MOST_IMAGES}", images.len()));
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

/// Nothing is done in no time, and nobody waits for a day.
pub(super) fn timing(source: &mut Source<'_>, timing: &TimingOverrides) {
    let TimingOverrides { heartbeat, silence, discovery, rebuild_wait, grace, measure } = *timing;
    for (name, millis, least) in [
        ("heartbeat", heartbeat, 1),
        ("silence", silence, 1),
        ("discovery", discovery, 0),
        ("rebuild_wait", rebuild_wait, 0),
        ("grace", grace, 0),
        ("measure", measure, 10),
    ] {
        if millis.is_some_and(|millis| !(least..=LONGEST).contains(&millis)) {
            source.error((1, 1), format!("timing, {name}: expected {least} to {LONGEST} milliseconds"));
        }
    }
    let Timing { heartbeat, silence, .. } = timing.apply();
    if silence <= heartbeat {
        let (silence, heartbeat) = (silence.as_millis(), heartbeat.as_millis());
        source.error(
            (1, 1),
            format!("timing: silence of {silence} ms is over before the next heartbeat, after {heartbeat} ms: expected a longer one"),
        );
    }
}

fn names_and_addresses(source: &mut Source<'_>, network: &Network, images: &[Placed]) {
    let mut names: Vec<&str> = Vec::new();
    let mut taken: HashMap<IpAddr, &str> = HashMap::from([(network.client, "the client")]);
    if !network.contains(network.client) {
        let at = source.find(&network.client.to_string(), 0);
        source.error(at, format!("client {} is outside {}/{}", network.client, network.subnet, network.prefix));
    }
    if network.is_an_end(network.client) || no_host(network.client).is_some() {
        let at = source.find(&network.client.to_string(), 0);
        source.error(at, format!("client {} is no address of a host", network.client));
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
            if let Some(what) = no_host(address) {
                source.error(at, format!("{address} of image {} is {what}: expected one of a host", image.name));
            }
            if let Some(other) = taken.insert(address, &image.name) {
                source.error(at, format!("{address} of image {} is {other}'s already", image.name));
            }
        }
        if let Some(link) = image.link.filter(|link| network.is_an_end(*link)) {
            source
                .error(at, format!("link {link} of image {} is the first or last address of the network", image.name));
        }
        if let Some(link) = image.link.filter(|link| !network.contains(*link)) {
            let (subnet, prefix) = (network.subnet, network.prefix);
            source.error(
                at,
                format!("link {link} of image {} is outside the client network {subnet}/{prefix}", image.name),
            );
        }
        applications(source, image);
    }
}

/// What an address is that no host can have.
fn no_host(address: IpAddr) -> Option<&'static str> {
    match address {
        address if address.is_unspecified() => Some("the address of nobody"),
        address if address.is_loopback() => Some("a loopback address"),
        address if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(address) if address.is_broadcast() => Some("the broadcast address"),
        _ => None,
    }
}

fn applications(source: &mut Source<'_>, image: &Image) {
    let mut names: Vec<&str> = Vec::new();
    for App { name, kind, .. } in &image.apps {
        let at = source.find_behind(&image.name, name);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"$#@-_.".contains(&byte);
        if name.is_empty() || name.len() > 15 || !name.bytes().all(fits) {
            source.error(
                at,
                format!("application name '{}': expected 1 to 15 letters and digits", name.escape_default()),
            );
        }
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            source.error(at, format!("two applications of image {} are called {name}", image.name));
        }
        names.push(name);
        // From an image, it has been read as an address already.
        if let AppKind::relay { to, from: Side::host, .. } = kind
            && !leads_somewhere(to)
        {
            let at = source.find_behind(name, to);
            source.error(at, format!("'{to}' is no place to relay to: expected ADDRESS:PORT, or unix: and a path"));
        }
    }
    // As they listen by PORT statements: of two at one place the second would find it taken.
    let started: Vec<App> = image.listening_apps().into_iter().filter(|app| app.start).collect();
    for (index, app) in started.iter().enumerate() {
        let same = |other: &&App| (other.bind, other.port) == (app.bind, app.port);
        if let Some(other) = started[..index].iter().find(same) {
            let at = source.find_behind(&image.name, &app.name);
            let (name, port) = (&app.name, app.port);
            source.error(at, format!("{name} and {} of image {} both listen on port {port} of one address: expected different ports, or 'start: false'", other.name, image.name));
        }
    }
}

/// Whether that is `HOST:PORT`, or `unix:` and a path.
fn leads_somewhere(target: &str) -> bool {
    match target.strip_prefix("unix:") {
        Some(path) => !path.is_empty(),
        None => target
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)),
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
        if let Some(what) = no_host(address) {
            error(at, format!("{address} is {what}: expected one of a host"));
        }
        let has = |other: &&Image| other.xcf == address || other.link == Some(address);
        if images.iter().any(has) || network.client == address {
            error(at, format!("{ALREADY_HOME} {address} is in a home list already: expected an address of its own"));
        }
    }
    // Whatever binds such an address would make a DVIPA of it, and take it from who has it.
    let own = |other: &&Image| [Some(other.xcf), other.link].into_iter().flatten().collect::<Vec<_>>();
    for (range, at) in definitions.ranges.iter().zip(&places.ranges) {
        let taken = images.iter().flat_map(own).chain([network.client]).find(|home| range.contains(*home));
        if let Some(home) = taken {
            let (address, prefix) = (range.address, range.prefix);
            error(
                at,
                format!(
                    "{address}/{prefix} covers {home}, which is in a home list already: expected a range without addresses of hosts"
                ),
            );
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
