//! `man`: a manual page for each command.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::help::{self, examples};

/// Writes the pages of `command` and of all its subcommands into `folder`.
///
/// # Errors
/// If they cannot be written.
pub(super) fn write(command: Command, folder: &Path) -> Result<usize> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    pages(&command, "", folder).with_context(|| format!("{} cannot be written to", folder.display()))
}

fn pages(command: &Command, words: &str, folder: &Path) -> io::Result<usize> {
    let man = Man::new(command.clone());
    let mut file = BufWriter::new(File::create(folder.join(man.get_filename()))?);
    page(&man, command, words, &mut file)?;
    file.flush()?;
    let mut count = 1;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        count += pages(subcommand, format!("{words} {}", subcommand.get_name()).trim_start(), folder)?;
    }
    Ok(count)
}

fn page(man: &Man, command: &Command, words: &str, to: &mut dyn Write) -> io::Result<()> {
    man.render_title(to)?;
    man.render_name_section(to)?;
    man.render_synopsis_section(to)?;
    man.render_description_section(to)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(to)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(to)?;
    }
    let examples = examples(words);
    if !examples.is_empty() {
        let mut roff = Roff::default();
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in help::lines(examples).lines() {
            roff.text([roman(line.trim_start())]);
        }
        roff.control("fi", []).to_writer(to)?;
    }
    let mut roff = Roff::default();
    roff.control("SH", ["EXIT STATUS"]).text([roman("0 done, 1 failed, 2 wrong use.")]).to_writer(to)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    /// There is a page for each command that is shown, those below `app` among them, with its examples.
    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let count = write(Cli::command(), folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), count);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read("cluster-lab.1").contains("cluster\\-lab\\-netstat(1)"));
        assert!(
            read("cluster-lab-kill.1").contains(".SH EXAMPLES\n.nf\ncluster\\-lab kill MVS1"),
            "{}",
            read("cluster-lab-kill.1")
        );
        assert!(read("cluster-lab-app-stop.1").contains("cluster\\-lab app MVS1 stop APPA"));
        let hidden = fs::exists(folder.path().join("cluster-lab-network.1")).unwrap();
        assert!(!hidden, "pages only of what is shown");
    }
}
