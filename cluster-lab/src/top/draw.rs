//! The screen's layout: images above, DVIPAs below them, events below or, where there is room, beside.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Margin, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};

use super::screen::Ui;
use super::{dvipas, events, images};
use crate::control::ImageState;
use crate::watch::{Change, Event, Picture};

/// From this width on events stand beside the rest.
const WIDE: u16 = 120;
/// Less has no room for anything.
const LEAST: (u16, u16) = (40, 8);

pub(super) const GOOD: Color = Color::Green;
pub(super) const BAD: Color = Color::Red;
pub(super) const WARN: Color = Color::Yellow;
pub(super) const ACCENT: Color = Color::Cyan;
pub(super) const QUIET: Color = Color::DarkGray;

const KEYS: [(&str, &str); 10] = [
    ("↑ ↓", "another image; Home, End: the first, the last"),
    ("k", "kill it, as kill -9 does: nobody is asked"),
    ("s", "start it again, as a new life"),
    ("x", "stop it in order"),
    ("p", "pause it by a signal, or let it go on"),
    ("z", "quiesce it as a target, or resume"),
    ("c", "cut XCF between it and another, or heal it"),
    ("PgUp PgDn", "older events, newer ones"),
    ("?", "this help"),
    ("q", "quit; the lab goes on"),
];

/// The lab, as it is to be drawn.
pub(super) struct View<'a> {
    pub picture: &'a Picture,
    /// Latest first.
    pub events: &'a dyn Fn() -> Box<dyn Iterator<Item = &'a Event> + 'a>,
    pub note: &'a str,
}

pub(super) fn draw(frame: &mut Frame<'_>, view: &View<'_>, ui: &Ui) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        frame.render_widget(Paragraph::new("The terminal is too small for this lab: q quits."), area);
        return;
    }
    let rows = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1), Constraint::Length(1)];
    let [title, body, takeover, footer] = Layout::vertical(rows).areas(area);
    frame.render_widget(self::title(view.picture), title);
    let parts = Parts::of(body, view.picture);
    images::draw(frame, parts.images, view.picture, ui);
    dvipas::draw(frame, parts.dvipas, view.picture, ui);
    events::draw(frame, parts.events, view, ui);
    frame.render_widget(self::takeover(view.picture), takeover);
    frame.render_widget(self::footer(view.note, ui), footer);
    if ui.help {
        help(frame, area);
    }
}

struct Parts {
    images: Rect,
    dvipas: Rect,
    events: Rect,
}

impl Parts {
    fn of(body: Rect, picture: &Picture) -> Parts {
        let wanted = |lines: usize| u16::try_from(lines).unwrap_or(u16::MAX);
        let (images, dvipas) = (wanted(images::height(picture)), wanted(dvipas::height(picture)));
        if body.width >= WIDE {
            let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).spacing(2).areas(body);
            let rows = [Constraint::Length(images.min(left.height / 2)), Constraint::Fill(1)];
            let [images, dvipas] = Layout::vertical(rows).areas(left);
            return Parts { images, dvipas, events: right };
        }
        // Half for the images at most, a quarter for the events at least.
        let images = images.min(body.height / 2);
        let events = (body.height / 4).max(2);
        let dvipas = dvipas.min(body.height.saturating_sub(images + events));
        let rows = [Constraint::Length(images), Constraint::Length(dvipas), Constraint::Fill(1)];
        let [images, dvipas, events] = Layout::vertical(rows).areas(body);
        Parts { images, dvipas, events }
    }
}

/// A part's frame: a line above it with its name.
pub(super) fn part<'a>(title: impl Into<Line<'a>>) -> Block<'a> {
    Block::new().borders(Borders::TOP).border_style(Style::new().fg(QUIET)).title(title.into())
}

pub(super) fn heading(text: &str) -> Line<'_> {
    Line::from(vec![Span::raw(" "), text.bold(), Span::raw(" ")])
}

fn title(picture: &Picture) -> Line<'_> {
    let running = picture.images.iter().filter(|image| image.state == ImageState::Running).count();
    let seconds = picture.at / 1_000_000;
    let clock = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let images = format!("{running} of {} images run", picture.images.len());
    let mut line = Line::from(vec![
        " cluster-lab ".fg(ACCENT).bold(),
        picture.lab.as_str().bold(),
        Span::raw(format!("   up {clock}   ")),
        if running == picture.images.len() { images.into() } else { images.fg(BAD).bold() },
    ]);
    let cuts: Vec<String> =
        picture.cuts().map(|(from, to, both)| format!("{from} {} {to}", if both { '⇹' } else { '↛' })).collect();
    if !cuts.is_empty() {
        line.push_span(format!("   cut: {}", cuts.join(", ")).fg(WARN).bold());
    }
    line
}

/// The last change of an owner, with its gap.
fn takeover(picture: &Picture) -> Line<'_> {
    let last = picture.takeovers.iter().rev().find(|change| change.takeover.change != Change::First);
    let Some(last) = last else { return Line::from(" no takeover yet".fg(QUIET)) };
    let change = &last.takeover;
    let named = picture.dvipas.iter().find(|dvipa| dvipa.address == change.dvipa).map(|dvipa| dvipa.name.clone());
    let name = named.unwrap_or_else(|| change.dvipa.to_string());
    let what = match change.change {
        Change::TakeBack => " last takeback ",
        Change::Handover => " last handover ",
        Change::Takeover | Change::First => " last takeover ",
    };
    let gap = match (last.gap, change.complete) {
        (Some(gap), _) => format!("gap {}.{} ms", gap / 1000, gap % 1000 / 100),
        (None, Some(_)) => "no gap".to_owned(),
        (None, None) => "under way".to_owned(),
    };
    let connections = change.connections.map_or_else(String::new, |count| format!(", {count} connections"));
    let at = format!("  at {}.{:03} s", change.began / 1_000_000, change.began / 1000 % 1000);
    Line::from(vec![
        what.into(),
        name.bold(),
        format!("  {} → {}  ", change.from.as_deref().unwrap_or("-"), change.to).into(),
        gap.fg(ACCENT).bold(),
        connections.into(),
        at.fg(QUIET),
    ])
}

fn footer<'a>(note: &'a str, ui: &'a Ui) -> Line<'a> {
    if let Some(image) = &ui.cutting {
        let what = "from which? ↑ ↓ mark it, c cuts or heals, Esc gives it up";
        return Line::from(vec![" cut ".into(), image.as_str().bold(), " ".into(), what.into()]);
    }
    if !note.is_empty() {
        return Line::from(vec![" ".into(), note.bold()]);
    }
    let keys = [
        ("k", "kill"),
        ("s", "start"),
        ("x", "stop"),
        ("p", "pause"),
        ("z", "quiesce"),
        ("c", "cut"),
        ("?", "help"),
        ("q", "quit"),
    ];
    let mut spans = vec![Span::raw(" ")];
    for (key, what) in keys {
        spans.extend([key.fg(ACCENT).bold(), format!(" {what}   ").into()]);
    }
    Line::from(spans)
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(keys, what)| Line::from(vec![format!("{keys:>11}").fg(ACCENT).bold(), format!("  {what}").into()]))
        .collect();
    let width = lines.iter().map(Line::width).max().unwrap_or(0);
    let size = |wanted: usize, most: u16| u16::try_from(wanted).unwrap_or(most).min(most);
    let (width, height) = (size(width + 5, area.width), size(lines.len() + 2, area.height));
    let at = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    frame.render_widget(Clear, at);
    let block = Block::bordered().title(heading("keys, for the image that is marked")).title_alignment(Alignment::Left);
    frame.render_widget(block, at);
    frame.render_widget(Paragraph::new(lines), at.inner(Margin::new(1, 1)));
}

/// At most `width` letters, and a sign that there are more.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
