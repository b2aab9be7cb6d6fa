//! `lesson`: short scenarios that teach. Each is a profile and a walk-through beside it, in `profiles/lessons`;
//! what the walk-through says that its commands print is compared with what they do print, so that it stays
//! true.

mod shell;
mod text;

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};

use crate::demo::lab;
use crate::interruption::Interruption;
use crate::output::{print, tell};
use crate::state::StateDir;
use crate::suggest;
use crate::text_file;
use shell::Shell;
use text::{Part, Step, Text};

/// The lessons: names and texts. Their profiles are among those that come with the program.
pub(crate) const LESSONS: [(&str, &str); 5] = [
    ("1-distribution", include_str!("../../../profiles/lessons/1-distribution.md")),
    ("2-takeover", include_str!("../../../profiles/lessons/2-takeover.md")),
    ("3-takeback", include_str!("../../../profiles/lessons/3-takeback.md")),
    ("4-moving-vipa", include_str!("../../../profiles/lessons/4-moving-vipa.md")),
    ("5-rolling-upgrade", include_str!("../../../profiles/lessons/5-rolling-upgrade.md")),
];

const TITLE: Style = Style::new().bold();
const COMMAND: Style = AnsiColor::Cyan.on_default();
const NOTE: Style = AnsiColor::Yellow.on_default();

/// Which lesson, and how.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Its number or name, or a file; without it the lessons are listed
    lesson: Option<String>,
    /// Run it from end to end without waiting, and fail where a command prints something else than the text says
    #[arg(long, requires = "lesson")]
    run: bool,
}

/// Lists the lessons, prints one, or goes through it in the lab called `name`.
///
/// # Errors
/// What did not hold.
pub(crate) async fn lesson(arguments: &Arguments, name: &str) -> Result<()> {
    let Some(wanted) = &arguments.lesson else { return list() };
    let text = find(wanted)?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if !arguments.run && !terminal {
        return print(&format!("{}\n", text.trim_end()));
    }
    let text = Text::parse(&text).with_context(|| format!("lesson {wanted}"))?;
    let dir = StateDir::of(name)?;
    if dir.runs() {
        bail!(
            "lab '{name}' runs already, and the lesson brings its own: take it down with 'cluster-lab down{}', \
             or give the lesson another --name",
            crate::name_option(name)
        );
    }
    lab::needs(&["curl", "ncat"]).await?;
    let mut interruption = Interruption::watch()?;
    let mut shell = Shell::start(name)?;
    let mut reader = Reader { waits: !arguments.run, lines: BufReader::new(stdin()).lines() };
    let done = interruption.ends(go_through(&text, &mut shell, &mut reader)).await;
    // Clients first, and what they say of the lab's end is no part of the lesson.
    drop(shell);
    if dir.exists() {
        crate::cli::down(name).await?;
    }
    done
}

fn list() -> Result<()> {
    let line = |(number, (_, text)): (u32, &(&str, &str))| {
        format!("{COMMAND}cluster-lab lesson {number}{COMMAND:#}   {}\n", title(text))
    };
    print(&(1..).zip(&LESSONS).map(line).collect::<String>())
}

/// The first line of a lesson's text.
pub(crate) fn title(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_start_matches('#').trim()
}

/// The text of a lesson, by its number, its name, the name without the number, or its file.
fn find(wanted: &str) -> Result<String> {
    let known = |name: &str| {
        let (number, title) = name.split_once('-').unwrap_or_default();
        [name, number, title].iter().any(|known| known.eq_ignore_ascii_case(wanted))
    };
    if let Some((_, text)) = LESSONS.iter().find(|(name, _)| known(name)) {
        return Ok((*text).to_owned());
    }
    let names = LESSONS.map(|(name, _)| name);
    text_file::read(wanted.as_ref()).with_context(|| {
        let titles = names.iter().filter_map(|name| name.split_once('-')).map(|(_, title)| title);
        let meant = suggest::did_you_mean(wanted, titles.chain(names));
        format!("there is no lesson {wanted}: expected a number from 1 to {}, or a file{meant}", names.len())
    })
}

/// Waits for the reader, if there is one.
struct Reader {
    waits: bool,
    lines: Lines<BufReader<Stdin>>,
}

impl Reader {
    /// Whether to go on.
    async fn goes_on(&mut self) -> Result<bool> {
        if !self.waits {
            return Ok(true);
        }
        tell(format_args!("{NOTE}[Enter runs it, q ends the lesson]{NOTE:#}"));
        let line = self.lines.next_line().await?;
        Ok(line.is_some_and(|line| !line.trim().eq_ignore_ascii_case("q")))
    }
}

async fn go_through(text: &Text, shell: &mut Shell, reader: &mut Reader) -> Result<()> {
    for part in &text.parts {
        match part {
            Part::Title(title) => tell(format_args!("{TITLE}{title}{TITLE:#}")),
            Part::Prose(prose) => tell(prose),
            Part::Step(step) => {
                tell(format_args!("{COMMAND}$ {}{COMMAND:#}", step.command.replace('\n', "\n> ")));
                if !reader.goes_on().await? {
                    return Ok(());
                }
                take(step, shell, reader.waits).await?;
            }
        }
    }
    Ok(())
}

/// One step. A reader may have tried something else meanwhile, and is told that things differ.
async fn take(step: &Step, shell: &mut Shell, lenient: bool) -> Result<()> {
    let printed = shell.run(step).await?;
    printed.iter().for_each(tell);
    if step.expects(&printed) {
        return Ok(());
    }
    let expected = step.expected.join("\n");
    ensure!(lenient, "'{}' printed something else than the lesson says, which is:\n{expected}", step.command);
    tell(format_args!("{NOTE}The lesson expected something else here:{NOTE:#}\n{expected}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    /// The lessons read well, each with the profile that it brings up; that is one without mistakes.
    #[test]
    fn every_lesson_has_steps_and_a_profile() {
        for (name, text) in LESSONS {
            let text = Text::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let steps: Vec<_> = text.parts.iter().filter_map(Part::step).collect();
            assert_eq!(steps[0].command, format!("cluster-lab up --detach {name}"));
            assert_eq!(steps[steps.len() - 1].command, "cluster-lab down");
            profile::load(name).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn a_lesson_is_found_by_number_and_name() {
        for wanted in ["2", "takeover", "2-takeover", "2-TAKEOVER"] {
            assert_eq!(find(wanted).unwrap(), LESSONS[1].1);
        }
        let error = find("takover").unwrap_err();
        assert!(format!("{error}").ends_with("did you mean 'takeover'?"), "{error}");
    }
}
