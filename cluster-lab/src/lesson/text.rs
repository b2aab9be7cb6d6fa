//! A walk-through, as it is written: prose in Markdown, and fenced blocks of commands with what they print.
//!
//! ````text
//! ```console
//! $ cluster-lab exec -- curl -s http://203.0.113.1/
//! MVS1
//! ```
//! ````
//!
//! A line that begins with `> ` goes on with the command above. In what is printed, `[..]` stands for anything
//! within a line, and a line `...` for any lines. A block that begins with `` ```console eventually `` tells
//! what will be so in a moment: its commands are repeated until they print it.

use anyhow::{Result, bail, ensure};

/// Stands for anything within a line.
const ANYTHING: &str = "[..]";

/// A walk-through.
#[derive(Debug)]
pub(super) struct Text {
    pub parts: Vec<Part>,
}

#[derive(Debug)]
pub(super) enum Part {
    /// A heading, without its marks.
    Title(String),
    /// Lines of prose, empty ones among them.
    Prose(String),
    Step(Step),
}

impl Part {
    #[cfg(test)]
    pub fn step(&self) -> Option<&Step> {
        if let Part::Step(step) = self { Some(step) } else { None }
    }
}

/// A command.
#[derive(Debug)]
pub(super) struct Step {
    pub command: String,
    pub expected: Vec<String>,
    /// It will print that in a moment, if not at once.
    pub eventually: bool,
}

impl Text {
    /// Reads one.
    ///
    /// # Errors
    /// The line that makes no sense.
    pub fn parse(text: &str) -> Result<Text> {
        let mut parts = Vec::new();
        let mut lines = text.lines().zip(1..);
        while let Some((line, number)) = lines.next() {
            if let Some(words) = line.strip_prefix("```") {
                let eventually = match words {
                    "console" => false,
                    "console eventually" => true,
                    _ => bail!("line {number}: expected ```console or ```console eventually"),
                };
                let mut steps: Vec<Step> = Vec::new();
                loop {
                    let Some((line, number)) = lines.next() else { bail!("line {number}: the block has no end") };
                    if line == "```" {
                        break;
                    } else if let Some(command) = line.strip_prefix("$ ") {
                        steps.push(Step { command: command.to_owned(), expected: Vec::new(), eventually });
                    } else if let Some(step) = steps.last_mut() {
                        match line.strip_prefix("> ").filter(|_| step.expected.is_empty()) {
                            Some(more) => step.command += &format!("\n{more}"),
                            None => step.expected.push(line.to_owned()),
                        }
                    } else {
                        bail!("line {number}: expected '$ ' and a command");
                    }
                }
                ensure!(!steps.is_empty(), "line {number}: the block has no command");
                parts.extend(steps.into_iter().map(Part::Step));
            } else if line.starts_with('#') {
                parts.push(Part::Title(line.trim_start_matches('#').trim().to_owned()));
            } else if let Some(Part::Prose(prose)) = parts.last_mut() {
                *prose += &format!("\n{line}");
            } else {
                parts.push(Part::Prose(line.to_owned()));
            }
        }
        Ok(Text { parts })
    }
}

impl Step {
    /// Whether that is what it should print.
    pub fn expects(&self, printed: &[String]) -> bool {
        lines_fit(&self.expected, printed)
    }
}

fn lines_fit(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((any, rest)) if any == "..." => (0..=printed.len()).any(|skipped| lines_fit(rest, &printed[skipped..])),
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| fits(line, first) && lines_fit(rest, others))
        }
    }
}

/// Whether a line fits one that may hold `[..]`; spaces at the end do not count.
fn fits(expected: &str, printed: &str) -> bool {
    let (expected, printed) = (expected.trim_end(), printed.trim_end());
    let Some((front, last)) = expected.rsplit_once(ANYTHING) else { return expected == printed };
    let mut pieces = front.split(ANYTHING);
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A title\n\nSome prose.\n\n```console\n$ one\n$ two \\\n> lines\nprinted\n```\n\n\
                        ```console eventually\n$ status\n...\nDVA [..] MVS1\n```\n";

    #[test]
    fn a_text_is_read() {
        let text = Text::parse(TEXT).unwrap();
        let Part::Title(title) = &text.parts[0] else { panic!("no title") };
        assert_eq!(title, "A title");
        let steps: Vec<_> = text.parts.iter().filter_map(Part::step).collect();
        let commands: Vec<_> = steps.iter().map(|step| (step.command.as_str(), step.eventually)).collect();
        assert_eq!(commands, [("one", false), ("two \\\nlines", false), ("status", true)]);
        assert_eq!(steps[1].expected, ["printed"]);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, why) in [
            ("```sh\n", "line 1: expected ```console"),
            ("\n```console\n$ one\n", "line 2: the block has no end"),
            ("```console\nprinted\n```\n", "line 2: expected '$ '"),
            ("```console\n```\n", "line 1: the block has no command"),
        ] {
            let error = Text::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_printed_is_compared() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        for (expected, printed, fit) in [
            ("", "", true),
            ("", "error", false),
            ("a", "a  ", true),
            ("a", "", false),
            ("a", "a\nb", false),
            ("...", "", true),
            ("a\n...\nd", "a\nb\nc\nd", true),
            ("a\n...\nd", "a\nd", true),
            ("...\nd", "a\nb", false),
            ("x [..] z", "x y z", true),
            ("x [..] z [..]", "x 1 2 z 3", true),
            ("[..]MVS1", "owner MVS1", true),
            ("[..]MVS1", "owner MVS2", false),
            ("ab[..]bc", "abc", false),
        ] {
            assert_eq!(lines_fit(&lines(expected), &lines(printed)), fit, "{expected:?} {printed:?}");
        }
    }
}
