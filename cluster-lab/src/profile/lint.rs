//! What a profile may say, and probably does not mean: warnings of `check`, each with a word on what to do.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use vipa::Distribute;
use vipa::definitions::{Definitions, Ports, Targets};
use vipa::statements::Position;

use super::load::{Placed, Source, offset};
use super::{App, AppKind, ProfileError, Side};

/// All warnings, in the order of the text.
pub(super) fn lint(source: &Source<'_>, names: &BTreeMap<String, IpAddr>, images: &[Placed]) -> Vec<ProfileError> {
    let images: Vec<(&Placed, Definitions)> =
        images.iter().map(|placed| (placed, placed.image.definitions())).collect();
    let mut lint = Lint { source, names, images, warnings: Vec::new() };
    lint.ownership();
    lint.distribution();
    lint.applications();
    lint.relays();
    lint.names();
    lint.warnings.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
    lint.warnings
}

struct Lint<'a> {
    source: &'a Source<'a>,
    names: &'a BTreeMap<String, IpAddr>,
    images: Vec<(&'a Placed, Definitions)>,
    warnings: Vec<ProfileError>,
}

impl Lint<'_> {
    fn warn(&mut self, placed: &Placed, at: Position, message: String) {
        let at = offset(placed.begins, at);
        self.warnings.push(ProfileError { file: placed.file.clone(), at, message });
    }

    fn warn_source(&mut self, at: (u32, u32), message: String) {
        self.warnings.push(ProfileError { file: self.source.file.to_owned(), at, message });
    }

    /// As the profile calls it.
    fn name_of(&self, address: IpAddr) -> String {
        let name = self.names.iter().find(|(_, known)| **known == address).map(|(name, _)| name.clone());
        name.unwrap_or_else(|| address.to_string())
    }

    /// Names of the images that `which` holds for.
    fn images_where(&self, which: impl Fn(&Placed) -> bool) -> Vec<&str> {
        self.images.iter().filter(|(placed, _)| which(placed)).map(|(placed, _)| placed.image.name.as_str()).collect()
    }

    /// Whether an image other than `but` backs the DVIPA up.
    fn is_backed_up(&self, dvipa: IpAddr, but: &Placed) -> bool {
        let others = self.images.iter().filter(|(placed, _)| placed.image.name != but.image.name);
        others.flat_map(|(_, definitions)| &definitions.backups).any(|backup| backup.address == dvipa)
    }

    /// DVIPAs that are gone with an image, and backups that cannot begin.
    fn ownership(&mut self) {
        for (placed, definitions) in self.images.clone() {
            let image = placed.image.name.as_str();
            for (define, at) in definitions.defines.iter().zip(&placed.places.defines) {
                if self.is_backed_up(define.address, placed) {
                    continue;
                }
                let able = self.images_where(|other| other.image.link.is_some() && other.image.name != image);
                let remedy = match able.as_slice() {
                    [] => "give another image a 'link' and a VIPABACKUP".to_owned(),
                    able => format!("a VIPABACKUP on {} would keep it", able.join(" or ")),
                };
                let dvipa = self.name_of(define.address);
                self.warn(placed, *at, format!("nobody backs up {dvipa}: without {image} it is gone; {remedy}"));
            }
            for (backup, at) in definitions.backups.iter().zip(&placed.places.backups) {
                if backup.create.is_some() {
                    continue;
                }
                let defines = self.images.iter().flat_map(|(placed, definitions)| {
                    definitions.defines.iter().map(|define| (placed.image.name.clone(), *define))
                });
                // Without one the profile is refused.
                let Some((primary, define)) = defines.into_iter().find(|(_, define)| define.address == backup.address)
                else {
                    continue;
                };
                let dvipa = self.name_of(backup.address);
                let remedy = match backup.address {
                    IpAddr::V4(_) => {
                        let bits = u32::MAX.checked_shl(32 - u32::from(define.prefix.min(32))).unwrap_or(0);
                        format!("VIPABACKUP {} MOVEable IMMEDiate {} {dvipa}", backup.rank, Ipv4Addr::from_bits(bits))
                    }
                    IpAddr::V6(_) => format!("VIPABACKUP {} MOVEable IMMEDiate {dvipa}/{}", backup.rank, define.prefix),
                };
                self.warn(
                    placed,
                    *at,
                    format!(
                        "a backup without MOVEABLE: {image} cannot bring {dvipa} up before {primary} has had it; \
                         {remedy} could"
                    ),
                );
            }
            if placed.image.link.is_none()
                && let Some(at) = placed.places.ranges.first()
            {
                let message = format!("{image} has no network link: an application's bind makes no DVIPA there");
                self.warn(placed, *at, message);
            }
        }
    }

    /// Targets that serve nothing, or lose the network with another image.
    fn distribution(&mut self) {
        let linked: Vec<String> =
            self.images_where(|placed| placed.image.link.is_some()).into_iter().map(str::to_owned).collect();
        for (placed, definitions) in self.images.clone() {
            for (distribute, (at, targets_at)) in definitions.distributes.iter().zip(&placed.places.distributes) {
                let places: Vec<(&Placed, Position)> = match &distribute.targets {
                    Targets::All => Vec::new(),
                    Targets::List(list) => {
                        let of = |xcf: &IpAddr| self.images.iter().find(|(other, _)| other.image.xcf == *xcf);
                        let found = list.iter().zip(targets_at).filter_map(|(xcf, at)| Some((of(xcf)?.0, *at)));
                        found.collect()
                    }
                };
                for (target, at) in &places {
                    self.target(placed, distribute, target, *at);
                }
                if places.is_empty() {
                    self.all_targets(placed, distribute, *at);
                }
                let is_target = |other: &&Placed| distribute.targets.contains(other.image.xcf);
                let cut_off: Vec<String> = (self.images.iter().map(|(other, _)| *other))
                    .filter(|other| other.image.link.is_none())
                    .filter(is_target)
                    .map(|other| other.image.name.clone())
                    .collect();
                if let ([only], false) = (linked.as_slice(), cut_off.is_empty()) {
                    let message = format!(
                        "{} without a link answer through {only} alone: without it their connections hang; give \
                         another image a 'link'",
                        cut_off.join(", ")
                    );
                    self.warn(placed, *at, message);
                }
            }
        }
    }

    fn target(&mut self, placed: &Placed, distribute: &Distribute, target: &Placed, at: Position) {
        let unserved = unserved(distribute, &target.image.listening_apps());
        if !unserved.is_empty() {
            let (name, dvipa) = (&target.image.name, self.name_of(distribute.address));
            let message = format!(
                "{name} is a target for {dvipa}, but no application there listens on {unserved}: give it one in \
                 'apps', or leave {name} out"
            );
            self.warn(placed, at, message);
        }
    }

    /// DESTIP ALL: it is enough that somebody serves each port.
    fn all_targets(&mut self, placed: &Placed, distribute: &Distribute, at: Position) {
        let apps: Vec<App> = self.images.iter().flat_map(|(other, _)| other.image.listening_apps()).collect();
        let unserved = unserved(distribute, &apps);
        if !unserved.is_empty() {
            let dvipa = self.name_of(distribute.address);
            let message =
                format!("no application of any image listens on {unserved} of {dvipa}: give an image one in 'apps'");
            self.warn(placed, at, message);
        }
    }

    /// Applications that no connection ever reaches.
    fn applications(&mut self) {
        for (placed, definitions) in self.images.clone() {
            let image = &placed.image;
            for app in image.listening_apps() {
                let Some(address) = app.bind else { continue };
                let has = |definitions: &Definitions| {
                    definitions.defines.iter().any(|define| define.address == address)
                        || definitions.backups.iter().any(|backup| backup.address == address)
                };
                let dvipa = self.name_of(address);
                let (name, port) = (&app.name, app.port);
                let message = if self.images.iter().any(|(_, definitions)| has(definitions)) {
                    let lists = self.images.iter().flat_map(|(_, definitions)| &definitions.distributes);
                    let covering: Vec<&Distribute> =
                        lists.filter(|list| list.address == address && list.ports.contains(port)).collect();
                    // What is not distributed goes to the owner.
                    if covering.iter().any(|list| list.targets.contains(image.xcf))
                        || covering.is_empty() && has(&definitions)
                    {
                        continue;
                    }
                    format!(
                        "nothing sends connections for {dvipa} port {port} to {name} of {}: name {} in DESTIP of a \
                         VIPADISTRIBUTE with that port",
                        image.name, image.xcf
                    )
                } else {
                    let own = [Some(image.xcf), image.link].contains(&Some(address)) || address.is_loopback();
                    if own || definitions.range_of(address).is_some() {
                        continue;
                    }
                    format!(
                        "{name} of {} binds {dvipa}, which is no address of the image: expected a DVIPA, an address \
                         of a VIPARANGE of the image, or \"any\"",
                        image.name
                    )
                };
                self.warn_source(self.source.find_behind(&image.name, &app.name), message);
            }
        }
    }

    /// Relays from an image to where nothing of the cluster is.
    fn relays(&mut self) {
        for (placed, _) in self.images.clone() {
            for app in &placed.image.apps {
                let AppKind::relay { to, from: Side::image, .. } = &app.kind else { continue };
                // What it says was checked.
                let Ok(target) = to.parse::<SocketAddr>() else { continue };
                let known = self.images.iter().any(|(other, definitions)| {
                    [Some(other.image.xcf), other.image.link].contains(&Some(target.ip()))
                        || definitions.defines.iter().any(|define| define.address == target.ip())
                        || definitions.backups.iter().any(|backup| backup.address == target.ip())
                        || definitions.range_of(target.ip()).is_some()
                });
                if known {
                    continue;
                }
                let (image, name) = (&placed.image.name, &app.name);
                let message = format!(
                    "{name} of {image} relays to {to} from the image, but neither a DVIPA nor an image has that \
                     address: leave 'from: image' out if it is a server of the host"
                );
                self.warn_source(self.source.find_behind(image, name), message);
            }
        }
    }

    /// Names that nothing uses.
    fn names(&mut self) {
        let ends = |letter: char| letter.is_whitespace() || ",\"();:/[]#".contains(letter);
        for name in self.names.keys() {
            let uses = |text: &str| text.split(ends).filter(|word| word.eq_ignore_ascii_case(name)).count();
            let elsewhere = self.images.iter().filter(|(placed, _)| placed.file != self.source.file);
            let used = uses(self.source.text) > 1 || elsewhere.into_iter().any(|(placed, _)| uses(&placed.block) > 0);
            if !used {
                let at = self.source.find(name, 0);
                let message = format!("nothing uses the name {name}: leave it out, or is another one mistyped?");
                self.warnings.push(ProfileError { file: self.source.file.to_owned(), at, message });
            }
        }
    }
}

/// Ports of the distribution that none of these applications serves, in words; empty if there is none.
fn unserved(distribute: &Distribute, apps: &[App]) -> String {
    let at = |app: &&App| app.bind == Some(distribute.address);
    match &distribute.ports {
        // Only servers that are bound to the DVIPA itself count.
        Ports::Every if apps.iter().any(|app| at(&app)) => String::new(),
        Ports::Every => "any port of it by itself".into(),
        Ports::List(ranges) => {
            let ports = ranges.iter().flat_map(|range| range.first..=range.last);
            let serves = |port: u16| apps.iter().any(|app| app.port == port && (app.bind.is_none() || at(&app)));
            let missing: Vec<String> = ports.filter(|port| !serves(*port)).map(|port| port.to_string()).collect();
            match missing.as_slice() {
                [] => String::new(),
                [one] => format!("port {one}"),
                several => format!("ports {}", several.join(", ")),
            }
        }
    }
}
