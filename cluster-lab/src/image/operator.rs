//! What an operator tells an image: VARY.

use anyhow::{Result, anyhow, bail};
use std::net::IpAddr;
use vipa::messages::{FAILED, NOT_MEMBER, STACK};
use vipa::statements::StatementError;
use vipa::{Definitions, Quiesce};

use super::Running;
use super::report::Sources;
use crate::profile::{self, Cluster};
use crate::tcpip::{self, Settings};
use crate::vary::{File, Servers, Vary};

impl Running {
    /// Does what the command says.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub(super) fn vary(&mut self, cluster: &Cluster, image: &str, vary: Vary) -> Result<()> {
        match vary {
            Vary::Obey(file) => {
                let (settings, definitions) = self.read(cluster, image, &file)?;
                if let Some(definitions) = definitions {
                    // Whether ranks are free is what only the group can say: it may refuse yet.
                    self.node.vary(|vipa, now| vipa.redefine(now, definitions.clone()))?;
                    self.definitions = definitions;
                }
                self.node.configure(settings);
            }
            Vary::SyntaxCheck(file) => drop(self.read(cluster, image, &file)?),
            Vary::Deactivate(name) => {
                let dvipa = address(cluster, &name)?;
                self.node.vary(|vipa, now| vipa.deactivate(now, dvipa))?;
            }
            Vary::Reactivate(name) => {
                let dvipa = address(cluster, &name)?;
                self.node.vary(|vipa, now| vipa.reactivate(now, dvipa))?;
            }
            Vary::Quiesce(servers) => {
                let what = self.servers(servers)?;
                self.node.vary(|vipa, now| vipa.quiesce(now, what));
            }
            Vary::Resume(servers) => {
                let what = self.servers(servers)?;
                self.node.vary(|vipa, now| vipa.resume(now, what));
            }
            Vary::LeaveGroup if !self.in_group() => {
                bail!("{NOT_MEMBER} {STACK} {image} IS NOT A MEMBER OF A SYSPLEX GROUP: it has left already")
            }
            Vary::LeaveGroup => self.node.vary(|vipa, now| vipa.leave_group(now)),
            Vary::JoinGroup if self.in_group() => bail!("{image} is in the sysplex group, or still leaving it"),
            // The core sees to it that this life's number is larger than that of the one before.
            Vary::JoinGroup => self.node.vary(|vipa, now| vipa.join_group(now, 0)),
        }
        Ok(())
    }

    fn in_group(&self) -> bool {
        self.node.shared().lock().vipa.in_group()
    }

    /// What reports are made from.
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources { shared: self.node.shared(), definitions: &self.definitions, apps: &self.apps }
    }

    /// Reads a file of statements as changes of what is in force, whole: settings, and definitions if it
    /// has a VIPADynamic block.
    fn read(&self, cluster: &Cluster, image: &str, file: &File) -> Result<(Settings, Option<Definitions>)> {
        let refused = |errors: Vec<StatementError>| {
            let line = |error: &StatementError| format!("{}:{error}", file.name);
            let lines: Vec<String> = errors.iter().map(line).collect();
            anyhow!("{FAILED} {} is wrong, and nothing is changed:\n{}", file.name, lines.join("\n"))
        };
        let (statements, block) = tcpip::split(&file.text);
        let known = self.node.shared().lock().settings.clone();
        let settings = tcpip::parse(&statements, &known);
        // An empty file is a mistake, and the block's parser says so.
        let block = block.or_else(|| (!tcpip::says_anything(&statements)).then(String::new));
        let Some(block) = block else { return Ok((settings.map_err(refused)?, None)) };
        let symbol = |name: &str| cluster.address_of(name);
        let checked = vipa::statements::obey(&self.definitions, &block, &symbol).and_then(|(definitions, places)| {
            let wrong = profile::check_block(cluster, image, &definitions, &places);
            if wrong.is_empty() { Ok(definitions) } else { Err(wrong) }
        });
        match (settings, checked) {
            (Ok(_), Ok(_)) if !self.in_group() => bail!(
                "{FAILED} {image} is not in the sysplex group: changes of VIPADYNAMIC are cancelled, and nothing of \
                 {} is done; JOINGROUP first",
                file.name
            ),
            (Ok(settings), Ok(definitions)) => Ok((settings, Some(definitions))),
            (settings, checked) => {
                let mut errors = settings.err().unwrap_or_default();
                errors.extend(checked.err().unwrap_or_default());
                errors.sort_by_key(|error| error.at);
                Err(refused(errors))
            }
        }
    }

    fn servers(&self, servers: Servers) -> Result<Quiesce> {
        Ok(match servers {
            Servers::Target => Quiesce::Target,
            Servers::Port(port) => Quiesce::Port(port),
            Servers::Job { name, port } => {
                let (address, listens) = self.apps.place_of(&name)?;
                if let Some(port) = port.filter(|port| *port != listens) {
                    bail!("{name} listens on port {listens}, not {port}: leave PORT out, or name another application");
                }
                Quiesce::Server { address, port: listens }
            }
        })
    }
}

fn address(cluster: &Cluster, name: &str) -> Result<IpAddr> {
    let address = name.parse().ok().or_else(|| cluster.address_of(name));
    address.ok_or_else(|| anyhow!("'{name}' is neither an address nor a name of the profile"))
}
