//! Reading a profile: text, positions, names.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use vipa::statements::{self, Places};

use crate::key::ClusterKey;
use crate::suggest;
use crate::tcpip::{self, Settings};
use crate::text_file;

use super::{App, AppKind, Cluster, Image, Network, ProfileError, ProfileErrors, Side, check, lint, raw};

/// Profiles that come with the program: names and texts.
pub const BUILT_IN: [(&str, &str); 10] = [
    ("figure4", include_str!("../../../profiles/figure4.ron")),
    ("figure4-v6", include_str!("../../../profiles/figure4-v6.ron")),
    ("pair", include_str!("../../../profiles/pair.ron")),
    ("wide", include_str!("../../../profiles/wide.ron")),
    ("tiers", include_str!("../../../profiles/tiers.ron")),
    // One for each lesson.
    ("1-distribution", include_str!("../../../profiles/lessons/1-distribution.ron")),
    ("2-takeover", include_str!("../../../profiles/lessons/2-takeover.ron")),
    ("3-takeback", include_str!("../../../profiles/lessons/3-takeback.ron")),
    ("4-moving-vipa", include_str!("../../../profiles/lessons/4-moving-vipa.ron")),
    ("5-rolling-upgrade", include_str!("../../../profiles/lessons/5-rolling-upgrade.ron")),
];

/// Reads the profile `name`: a file, or one that comes with the program.
///
/// # Errors
/// Everything that is wrong with it, with file, line and column.
pub fn load(name: &str) -> Result<Cluster, ProfileErrors> {
    examine(name).map(|(cluster, _)| cluster)
}

/// As [`load`], with what is allowed and probably not meant.
///
/// # Errors
/// Everything that is wrong with it, with file, line and column.
pub fn examine(name: &str) -> Result<(Cluster, Vec<ProfileError>), ProfileErrors> {
    let path = Path::new(name);
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    let text = match (built_in, text_file::read(path)) {
        (_, Ok(text)) => text,
        (Some((_, text)), Err(_)) => (*text).to_owned(),
        (None, Err(error)) => {
            let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            let meant = suggest::did_you_mean(name, known.iter().copied());
            let message = format!("cannot be read: {error}; expected a file, or one of {}{meant}", known.join(", "));
            return Err(ProfileErrors(vec![ProfileError { file: name.to_owned(), at: (1, 1), message }]));
        }
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    read_with_warnings(name, &text, folder)
}

/// An image with the places of what it says.
pub(super) struct Placed {
    pub image: Image,
    /// The file that holds its block, and where in it the block begins.
    pub file: String,
    pub begins: (u32, u32),
    pub places: Places,
    /// The block as it is written.
    pub block: String,
}

/// Where things stand in a profile.
pub(super) struct Source<'a> {
    pub file: &'a str,
    pub text: &'a str,
    pub errors: Vec<ProfileError>,
}

impl Source<'_> {
    /// Line and column of a byte of the text.
    fn position(&self, byte: usize) -> (u32, u32) {
        let before = &self.text[..byte];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }

    /// Where the string `value` stands for the `nth` time (from 0), at its first letter.
    pub fn find(&self, value: &str, nth: usize) -> (u32, u32) {
        let quoted = format!("\"{value}\"");
        let found = self.text.match_indices(&quoted).nth(nth).or_else(|| self.text.match_indices(&quoted).next());
        found.map_or((1, 1), |(at, _)| self.position(at + 1))
    }

    /// Where the string `value` stands for the first time behind the string `before`.
    pub fn find_behind(&self, before: &str, value: &str) -> (u32, u32) {
        let start = self.text.find(&format!("\"{before}\"")).unwrap_or(0);
        let found = self.text[start..].find(&format!("\"{value}\""));
        found.map_or_else(|| self.find(value, 0), |at| self.position(start + at + 1))
    }

    /// Where the string `value` stands last, at its first letter.
    pub fn find_last(&self, value: &str) -> (u32, u32) {
        self.text.rfind(&format!("\"{value}\"")).map_or((1, 1), |at| self.position(at + 1))
    }

    pub fn error(&mut self, at: (u32, u32), message: impl Into<String>) {
        self.errors.push(ProfileError { file: self.file.to_owned(), at, message: message.into() });
    }

    /// The address that `value` is or stands for.
    fn address(&mut self, value: &str, names: &std::collections::BTreeMap<String, IpAddr>) -> Option<IpAddr> {
        let known = || names.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, address)| *address);
        let address = value.parse().ok().or_else(known);
        if address.is_none() {
            // Within "a/24" it is not quoted by itself.
            let at = self.find(value, 0);
            self.error(at, format!("'{value}' is neither an address nor one of 'names'"));
        }
        address
    }
}

/// Reads a profile from its text; `folder` is where its other files are.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(file: &str, text: &str, folder: &Path) -> Result<Cluster, ProfileErrors> {
    read_with_warnings(file, text, folder).map(|(cluster, _)| cluster)
}

fn read_with_warnings(file: &str, text: &str, folder: &Path) -> Result<(Cluster, Vec<ProfileError>), ProfileErrors> {
    let mut source = Source { file, text, errors: Vec::new() };
    let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    let raw: raw::Cluster = match options.from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let at = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
            let start = error.span.start;
            source.error((at(start.line), at(start.col)), error.code.to_string());
            return Err(ProfileErrors(source.errors));
        }
    };
    let mut names = std::collections::BTreeMap::<String, IpAddr>::new();
    for (name, value) in &raw.names {
        if names.keys().any(|known| known.eq_ignore_ascii_case(name)) {
            let at = source.find_last(name);
            source.error(at, format!("'{name}' is among 'names' twice: expected one address for it"));
        }
        match value.parse::<IpAddr>() {
            Ok(address) => drop(names.insert(name.clone(), address)),
            Err(_) => {
                let at = source.find(value, 0);
                source.error(at, format!("'{value}' is no address"));
            }
        }
    }
    let network = network(&mut source, &raw.network);
    let xcf_key = raw.xcf_key.as_ref().and_then(|name| match ClusterKey::read(&folder.join(name)) {
        Ok(key) => Some(key),
        Err(why) => {
            source.error(source.find(name, 0), why);
            None
        }
    });
    let mut images = Vec::new();
    for (index, image) in raw.images.iter().enumerate() {
        if let Some(placed) = self::image(&mut source, image, index, &raw, &names, folder) {
            images.push(placed);
        }
    }
    let Some(network) = network.filter(|_| source.errors.is_empty()) else {
        return Err(ProfileErrors(source.errors));
    };
    check::check(&mut source, &network, &images);
    check::workload(&mut source, &raw.workload, &images);
    check::timing(&mut source, &raw.timing);
    if !source.errors.is_empty() {
        source.errors.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
        return Err(ProfileErrors(source.errors));
    }
    let warnings = lint::lint(&source, &names, &images);
    let images = images.into_iter().map(|placed| placed.image).collect();
    let cluster = Cluster {
        name: raw.name,
        network,
        names,
        images,
        timing: raw.timing,
        workload: raw.workload,
        xcf_key,
        xcf_memory: raw.xcf_memory,
    };
    Ok((cluster, warnings))
}

fn network(source: &mut Source<'_>, raw: &raw::Network) -> Option<Network> {
    let none = std::collections::BTreeMap::new();
    let client = source.address(&raw.client, &none)?;
    let parts = raw.subnet.split_once('/').and_then(|(address, prefix)| {
        let address: IpAddr = address.parse().ok()?;
        let (lengths, width) = if address.is_ipv4() { (8..=30u8, 32) } else { (16..=126, 128) };
        let prefix = prefix.parse().ok().filter(|prefix| lengths.contains(prefix))?;
        let network = Network::first_of(address, prefix)?;
        (network == address && prefix < width).then_some((address, prefix))
    });
    let Some((subnet, prefix)) = parts else {
        let at = source.find(&raw.subnet, 0);
        source.error(
            at,
            format!("'{}' is no network: expected one such as 198.51.100.0/24 or 2001:db8:1::/64", raw.subnet),
        );
        return None;
    };
    // RFC 791; RFC 8200, section 5.
    let least = if subnet.is_ipv4() { 576 } else { 1280 };
    if !(least..=65_520).contains(&raw.mtu) {
        source.error((1, 1), format!("mtu {}: expected a number from {least} to 65520", raw.mtu));
    }
    Some(Network { subnet, prefix, client, mtu: raw.mtu, offload: raw.offload })
}

fn image(
    source: &mut Source<'_>,
    raw: &raw::Image,
    index: usize,
    cluster: &raw::Cluster,
    names: &std::collections::BTreeMap<String, IpAddr>,
    folder: &Path,
) -> Option<Placed> {
    let xcf = source.address(&raw.xcf, names);
    let link = raw.link.as_ref().and_then(|link| source.address(link, names));
    let mut apps = Vec::new();
    for app in &raw.apps {
        let bind = if app.bind.eq_ignore_ascii_case("any") { None } else { source.address(&app.bind, names) };
        // 0.0.0.0 and :: are every address as well.
        let bind = bind.filter(|address| !address.is_unspecified());
        match u16::try_from(app.port) {
            Ok(port @ 1..) => {
                let kind = kind(source, &app.kind, names);
                apps.push(App { name: app.name.clone(), kind, bind, port, start: app.start });
            }
            _ => {
                let at = source.find(&app.name, 0);
                source.error(at, format!("port {} of application {}: expected 1 to 65535", app.port, app.name));
            }
        }
    }
    let (file, begins, text) = block(source, raw, index, cluster, folder)?;
    let symbol = |name: &str| names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, at)| *at);
    let (definitions, places) = match text.as_deref().map(|text| statements::parse(text, &symbol)) {
        None => Default::default(),
        Some(Ok(read)) => read,
        Some(Err(errors)) => {
            for error in errors {
                let at = offset(begins, error.at);
                source.errors.push(ProfileError { file: file.clone(), at, message: error.message });
            }
            return None;
        }
    };
    let mut tcpip = String::new();
    let mut settings = Settings::default();
    // The cluster's own is complained of once.
    let common = cluster.tcpip.as_ref().map(|text| (text, index == 0));
    for (text, complain) in common.into_iter().chain(raw.tcpip.as_ref().map(|text| (text, true))) {
        match tcpip::parse(text, &settings) {
            Ok(changed) => settings = changed,
            Err(errors) if complain => {
                let begins = source.text.find(text.as_str()).map_or((1, 1), |at| source.position(at));
                errors.into_iter().for_each(|error| source.error(offset(begins, error.at), error.message));
            }
            Err(_) => {}
        }
        tcpip.push_str(text);
        tcpip.push('\n');
    }
    let vipadynamic = definitions.to_string();
    Some(Placed {
        image: Image { name: raw.name.clone(), xcf: xcf?, link, apps, tcpip, vipadynamic },
        file,
        begins,
        places,
        block: text.unwrap_or_default(),
    })
}

/// What an application is, with the address in place of a name.
fn kind(source: &mut Source<'_>, kind: &AppKind, names: &std::collections::BTreeMap<String, IpAddr>) -> AppKind {
    let AppKind::relay { to, from: Side::image, proxy_protocol } = kind else { return kind.clone() };
    let target = to.rsplit_once(':').and_then(|(host, port)| {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let named = || names.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)).map(|(_, address)| *address);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        Some(SocketAddr::new(host.parse().ok().or_else(named)?, port))
    });
    let Some(target) = target else {
        let why = format!("'{to}': expected ADDRESS:PORT, where ADDRESS may be one of 'names', to relay from an image");
        source.error(source.find(to, 0), why);
        return kind.clone();
    };
    AppKind::relay { to: target.to_string(), from: Side::image, proxy_protocol: *proxy_protocol }
}

/// The place in its file of what stands at `at` in a block that begins at `begins`.
pub(super) fn offset(begins: (u32, u32), at: statements::Position) -> (u32, u32) {
    match at.line {
        1 => (begins.0, begins.1 + at.column - 1),
        line => (begins.0 + line - 1, at.column),
    }
}

type Block = (String, (u32, u32), Option<String>);

fn block(
    source: &mut Source<'_>,
    raw: &raw::Image,
    index: usize,
    cluster: &raw::Cluster,
    folder: &Path,
) -> Option<Block> {
    match (&raw.vipadynamic, &raw.vipadynamic_file) {
        (None, None) => Some((source.file.to_owned(), (1, 1), None)),
        (Some(_), Some(_)) => {
            let at = source.find(&raw.name, 0);
            source.error(at, format!("image {} has both 'vipadynamic' and 'vipadynamic_file': expected one", raw.name));
            None
        }
        (Some(text), None) => {
            // The same text may stand in several images: it is the one after those before it.
            let same = cluster.images[..index].iter().filter(|other| other.vipadynamic.as_ref() == Some(text)).count();
            let begins =
                source.text.match_indices(text.as_str()).nth(same).map_or((1, 1), |(at, _)| source.position(at));
            Some((source.file.to_owned(), begins, Some(text.clone())))
        }
        (None, Some(name)) => {
            let path = folder.join(name);
            match text_file::read(&path) {
                Ok(text) => Some((path.display().to_string(), (1, 1), Some(text))),
                Err(error) => {
                    let at = source.find(name, 0);
                    source.error(at, format!("{} cannot be read: {error}", path.display()));
                    None
                }
            }
        }
    }
}
