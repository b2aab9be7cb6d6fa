//! Examples for every command's `--help` and manual page: one table, so that none is forgotten.

use std::fmt::Write as _;

use clap::Command;

/// A command line after `cluster-lab`, and what it does.
pub(super) type Example = (&'static str, &'static str);

/// Every command that is shown, by its words, and its examples.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "up",
        &[
            ("up", "the cluster of the patent's figure 4, until Ctrl-C"),
            ("up --detach --name two pair", "another lab, in the background"),
            ("up mine.ron", "a profile of your own"),
        ],
    ),
    ("down", &[("down", "the lab called 'lab'"), ("down --name two", "another one")]),
    ("status", &[("status", "images, and who owns what"), ("status --json", "the same for programs")]),
    ("top", &[("top", "? shows its keys"), ("top --name two", "of another lab")]),
    ("log", &[("log", "who took over what, and when"), ("log --log-format json", "the same for machines")]),
    (
        "exec",
        &[
            ("exec -- curl http://203.0.113.1:60/", "a request to DVA1 of figure 4"),
            ("exec -- ncat 203.0.113.1 60", "a session with it"),
        ],
    ),
    ("shell", &[("shell", "curl, ncat, ssh … as the cluster's client")]),
    (
        "kill",
        &[
            ("kill MVS1", "its process dies, as by kill -9"),
            ("kill MVS1 --signal STOP", "it stands still: others think it dead"),
            ("kill MVS1 --signal CONT", "it wakes up"),
        ],
    ),
    ("stop", &[("stop MVS1", "it gives its DVIPAs up first")]),
    ("start", &[("start MVS1", "it takes back what it is the primary of")]),
    ("cut", &[("cut MVS1 MVS2", "neither hears the other"), ("cut MVS1 MVS2 --one-way", "MVS2 does not hear MVS1")]),
    ("heal", &[("heal", "every cut"), ("heal MVS1 MVS2", "this one")]),
    ("app", &[("app MVS1 list", ""), ("app MVS1 stop APPA", ""), ("app MVS1 start APPA", "")]),
    ("app start", &[("app MVS1 start APPA", "it listens: new connections may come to MVS1")]),
    ("app stop", &[("app MVS1 stop APPA", "no new connections; those that it serves go on")]),
    ("app list", &[("app MVS1 list", ""), ("app MVS1 list --json", "")]),
    (
        "netstat",
        &[
            ("netstat MVS1 VDPT", "who listens, how often each was chosen"),
            ("netstat MVS1 VDPT DETAIL", "and how well each answers"),
            ("netstat MVS1 VCRT --port 60 --max 20", "which connection goes where"),
            ("netstat MVS5 VIPADYN --json", "DVIPAs as MVS5 knows them"),
        ],
    ),
    (
        "display",
        &[
            ("display MVS1 TCPIP,,SYSPLEX,VIPADYN", "every DVIPA, and each stack's part in it"),
            ("display MVS1 TCPIP,,SYSPLEX,GROUP", ""),
            ("display MVS1 TCPIP,,NETSTAT,VDPT,DETAIL,MAX=10", ""),
        ],
    ),
    (
        "explain",
        &[
            ("explain 198.51.100.1:40000", "why this client's connection is where it is"),
            ("explain --last 20", "the latest ones"),
        ],
    ),
    (
        "weight",
        &[
            ("weight MVS2 20", "of the image, for BASEWLM"),
            ("weight MVS2 --port 80 --health 0", "of a server: as if it were not well"),
            ("weight MVS2 --reset", "as its workload manager says again"),
        ],
    ),
    (
        "vary",
        &[
            ("vary MVS2 TCPIP,,SYSPLEX,QUIESCE,TARGET", "no new connections to MVS2"),
            ("vary MVS1 TCPIP,,SYSPLEX,DEACTIVATE,DVIPA=DVA1", "its backup takes DVA1 over"),
            ("vary MVS2 TCPIP,,SYSPLEX,RESUME,TARGET", "new connections again"),
            ("vary MVS1 TCPIP,,SYSPLEX,LEAVEGROUP", "JOINGROUP: back into it"),
            ("vary MVS1 TCPIP,,SYNTAXCHECK,more.txt", "reads it, changes nothing"),
            ("vary MVS1 TCPIP,,OBEYFILE,more.txt", "changes its profile"),
        ],
    ),
    (
        "capture",
        &[
            ("capture --write takeover.pcapng", "everything, until Ctrl-C"),
            ("capture --xcf MVS1 | tshark -r -", "XCF of MVS1, live"),
            ("capture --dissector > xcf.lua", "for Wireshark: names XCF's messages"),
        ],
    ),
    ("web", &[("web", "prints where, with the token that lets a browser act"), ("web --listen 127.0.0.1:8642", "")]),
    ("metrics", &[("metrics", "of the lab"), ("metrics MVS1", "of one image")]),
    ("check", &[("check mine.ron", "errors with line and column"), ("check figure4", "")]),
    ("key", &[("key xcf.key", "then, in a profile: xcf_key: \"xcf.key\"")]),
    (
        "demo",
        &[
            ("demo", "the story"),
            ("demo --matrix", "every state through every fault"),
            ("demo --matrix --weights --json", ""),
        ],
    ),
    (
        "lesson",
        &[
            ("lesson", "which there are"),
            ("lesson 1", "step by step"),
            ("lesson takeover --run", "by itself; fails if something else happens than it says"),
            ("lesson 5 | less", "only to read"),
        ],
    ),
    (
        "bench",
        &[
            ("bench --quick", "whether it works: half a minute"),
            ("bench --only down,up --rounds 9 --json bench.json --svg bench.svg", ""),
            ("bench --scale --json scale.json", "how it grows"),
        ],
    ),
    (
        "simulate",
        &[
            ("simulate --seeds 0..1000", ""),
            ("simulate --seeds 42..43 --trace", "all that happens in one"),
            ("simulate --seeds 0..1000 --without epoch --shrink", "that a missing guard is noticed"),
        ],
    ),
    (
        "completions",
        &[
            ("completions bash > ~/.local/share/bash-completion/completions/cluster-lab", ""),
            ("completions zsh > ~/.zfunc/_cluster-lab", "with ~/.zfunc in fpath"),
            ("completions fish > ~/.config/fish/completions/cluster-lab.fish", ""),
        ],
    ),
    ("man", &[("man ~/.local/share/man/man1", "then: man cluster-lab-kill")]),
];

/// The examples of a command, by its words after `cluster-lab`.
pub(super) fn examples(words: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(known, _)| *known == words).map_or(&[], |(_, examples)| examples)
}

/// The command with its examples below every `--help`.
pub(super) fn with_examples(command: Command) -> Command {
    let header = *command.get_styles().get_header();
    under(command, "", &|words, command| {
        let examples = examples(words);
        if examples.is_empty() {
            return command;
        }
        command.after_help(format!("{header}Examples:{header:#}\n{}", lines(examples)))
    })
}

/// Changes every subcommand; `with` gets its words.
pub(super) fn under(command: Command, words: &str, with: &dyn Fn(&str, Command) -> Command) -> Command {
    command.mut_subcommands(|subcommand| {
        let words = format!("{words} {}", subcommand.get_name());
        let subcommand = with(words.trim_start(), subcommand);
        under(subcommand, &words, with)
    })
}

/// As they are typed, with what they do behind.
pub(super) fn lines(examples: &[Example]) -> String {
    let told = examples.iter().filter(|(_, what)| !what.is_empty());
    let width = told.map(|(line, _)| line.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (line, what) in examples {
        let what = if what.is_empty() { String::new() } else { format!("  # {what}") };
        let line = format!("  cluster-lab {line:<width$}{what}");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    /// All commands that are shown, by their words.
    fn shown(command: &Command, words: &str, all: &mut Vec<String>) {
        for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
            let words = format!("{words} {}", subcommand.get_name());
            all.push(words.trim_start().to_owned());
            shown(subcommand, &words, all);
        }
    }

    /// Every command's help, as it is printed, has an example; and what is typed there is a command line
    /// of that very command.
    #[test]
    fn every_command_has_an_example_that_parses() {
        let command = with_examples(Cli::command());
        let mut all = Vec::new();
        shown(&command, "", &mut all);
        for words in &all {
            let mut command = command.clone();
            let mut found = &mut command;
            for word in words.split(' ') {
                found = found.find_subcommand_mut(word).unwrap();
            }
            let help = found.render_long_help().to_string();
            let (_, examples) = help
                .split_once("Examples:\n")
                .unwrap_or_else(|| panic!("'{words} --help' has no example: add one to EXAMPLES in cli/help.rs"));
            let mut count = 0;
            for line in examples.lines() {
                let (line, _comment) = line.split_once('#').unwrap_or((line, ""));
                // What a shell does with the rest is not this command's.
                let typed = line.split(['|', '>']).next().unwrap().split_whitespace();
                let matches =
                    Cli::command().try_get_matches_from(typed).unwrap_or_else(|error| panic!("{line}\n{error}"));
                let mut names = Vec::new();
                let mut matches = &matches;
                while let Some((name, inner)) = matches.subcommand() {
                    names.push(name);
                    matches = inner;
                }
                assert!(names.join(" ").starts_with(words), "{line}: an example of '{words}'");
                count += 1;
            }
            assert!(count > 0, "{words}");
        }
        let unknown = EXAMPLES.iter().find(|(words, _)| !all.iter().any(|shown| shown == words));
        assert!(unknown.is_none(), "no such command: {unknown:?}");
    }
}
