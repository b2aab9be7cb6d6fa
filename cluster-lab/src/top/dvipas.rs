//! DVIPAs: who owns them, and how many connections each target has, as bars.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::draw::{ACCENT, BAD, GOOD, QUIET, WARN, cut, heading, part};
use super::screen::{HISTORY, Ui};
use crate::watch::{DvipaPicture, Picture, TargetPicture};

/// Letters of a name, of a remark, and of the numbers beside a bar.
const NAME: usize = 12;
const REMARK: usize = 11;
const NUMBERS: usize = 8 + 1 + HISTORY + 11;
/// A bar that is shorter says nothing.
const LEAST_BAR: usize = 4;
/// The longest bar stands for this many connections at least.
const LEAST_SCALE: u64 = 8;
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Lines that all of it takes.
pub(super) fn height(picture: &Picture) -> usize {
    1 + picture
        .dvipas
        .iter()
        .map(|dvipa| 1 + dvipa.ports.iter().map(|port| port.targets.len()).sum::<usize>())
        .sum::<usize>()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture, ui: &Ui) {
    let targets = picture.dvipas.iter().flat_map(|dvipa| &dvipa.ports).flat_map(|port| &port.targets);
    let scale = targets.map(|target| target.active).max().unwrap_or(0).max(LEAST_SCALE);
    let width = usize::from(area.width);
    let mut lines = Vec::new();
    for dvipa in &picture.dvipas {
        lines.push(owner(dvipa, width));
        for port in &dvipa.ports {
            for (index, target) in port.targets.iter().enumerate() {
                let port = if index == 0 { format!(":{}", port.port) } else { String::new() };
                lines.push(self::target(&port, target, scale, width));
            }
        }
    }
    // The rates, where there is room for them.
    if bar_width(width) > 0 {
        rates(&mut lines, picture, ui);
    }
    let room = usize::from(area.height.saturating_sub(1));
    if lines.len() > room && room > 0 {
        let more = lines.len() - (room - 1);
        lines.truncate(room - 1);
        lines.push(Line::from(format!("   {more} lines more: 'cluster-lab status' shows all").fg(QUIET)));
    }
    let legend = Line::from(format!(" the longest bar: {scale} connections ").fg(QUIET)).right_aligned();
    frame.render_widget(Paragraph::new(lines).block(part(heading("DVIPAs")).title(legend)), area);
}

fn owner(dvipa: &DvipaPicture, width: usize) -> Line<'static> {
    let owner = match (&dvipa.owner, &dvipa.coming) {
        (Some(owner), None) => owner.clone().fg(GOOD).bold(),
        (Some(owner), Some(next)) => format!("{owner}, soon {next}").fg(WARN).bold(),
        (None, Some(next)) => format!("nobody, soon {next}").fg(WARN).bold(),
        (None, None) => "nobody".fg(BAD).bold(),
    };
    let backups = match dvipa.backups.is_empty() {
        true => "   no backup".to_owned(),
        false => format!("   backup {}", dvipa.backups.join(", ")),
    };
    let mut line = Line::from(vec![
        " ".into(),
        cut(&dvipa.name, NAME).bold(),
        format!("  {}  owner ", dvipa.address).into(),
        owner,
    ]);
    let left = width.saturating_sub(line.width());
    line.push_span(cut(&backups, left).fg(QUIET));
    line
}

fn bar_width(width: usize) -> usize {
    let bar = width.saturating_sub(8 + NAME + 1 + REMARK + 1 + NUMBERS);
    if bar < LEAST_BAR { 0 } else { bar }
}

fn target(port: &str, target: &TargetPicture, scale: u64, width: usize) -> Line<'static> {
    let name = cut(&target.image, NAME);
    let bar = bar_width(width);
    let mut spans = vec![
        format!("  {port:<6}").fg(QUIET),
        format!("{name:<NAME$} ").into(),
        format!("{:<REMARK$} ", cut(&target.remark, REMARK))
            .fg(if target.takes || target.remark == TargetPicture::STANDBY { QUIET } else { WARN }),
        Span::styled(self::bar(target.active, scale, bar), Style::new().fg(ACCENT)),
        format!("{:>7} ", target.active).bold(),
    ];
    if bar == 0 {
        spans.push(format!(" {}", rate(target.rate)).fg(QUIET));
    }
    Line::from(spans)
}

/// `active` of `scale` as a bar, to an eighth of a letter.
fn bar(active: u64, scale: u64, width: usize) -> String {
    let eighths = (active.min(scale) * 8 * width as u64).div_ceil(scale.max(1));
    let (whole, rest) = (usize::try_from(eighths / 8).unwrap_or(width), (eighths % 8) as usize);
    let mut text = "█".repeat(whole);
    if whole < width {
        text.push(EIGHTHS[rest]);
        text.extend(std::iter::repeat_n(' ', width - whole - 1));
    }
    text
}

/// Behind each target's bar: how many new connections came, lately and now.
fn rates(lines: &mut [Line<'static>], picture: &Picture, ui: &Ui) {
    let highest = ui.rates.highest();
    let mut at = 0;
    for dvipa in &picture.dvipas {
        at += 1;
        for port in &dvipa.ports {
            for target in &port.targets {
                let mut lately: Vec<char> =
                    ui.rates.of(dvipa.address, port.port, &target.image).map(|rate| level(rate, highest)).collect();
                lately.resize(HISTORY, ' ');
                let lately: String = lately.into_iter().rev().collect();
                if let Some(line) = lines.get_mut(at) {
                    line.push_span(format!(" {lately}").fg(ACCENT));
                    line.push_span(format!("{:>11}", rate(target.rate)).fg(QUIET));
                }
                at += 1;
            }
        }
    }
}

fn level(rate: f64, highest: f64) -> char {
    if rate <= 0.0 || highest <= 0.0 {
        return LEVELS[0];
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
    let level = (rate / highest * 7.0).round() as usize;
    LEVELS[level.min(7)]
}

fn rate(rate: f64) -> String {
    if rate < 0.05 { "-".to_owned() } else { format!("{rate:.1} new/s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_their_length() {
        for (active, expected) in [(0, "    "), (1, "▌   "), (5, "██  "), (10, "████"), (11, "████")]
        {
            assert_eq!(bar(active, 10, 4), expected, "{active}");
        }
        assert_eq!(bar(5, 10, 0), "");
        assert_eq!((level(0.0, 9.0), level(9.0, 9.0), level(4.5, 9.0)), ('▁', '█', '▅'));
    }
}
