//! What happened, the latest last.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::draw::{BAD, QUIET, View, WARN, cut, heading, part};
use super::screen::Ui;
use crate::watch::Event;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, ui: &Ui) {
    let (room, width) = (usize::from(area.height.saturating_sub(1)), usize::from(area.width));
    let mut lines: Vec<Line<'_>> = (view.events)().skip(ui.back).take(room).map(|event| line(event, width)).collect();
    lines.reverse();
    let mut block = part(heading("events"));
    if ui.back > 0 {
        block = block.title(Line::from(format!(" {} later ones: PgDn ", ui.back).fg(WARN)).right_aligned());
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn line(event: &Event, width: usize) -> Line<'static> {
    let style = match event.told.kind.level() {
        "error" => Style::new().fg(BAD).bold(),
        "warn" => Style::new().fg(WARN),
        _ => Style::new(),
    };
    let text = cut(&format!(" {event}"), width);
    // The time in brackets, then what happened.
    let words = text.find(']').map_or(0, |end| end + 1);
    let (time, words) = text.split_at(words);
    Line::from(vec![time.to_owned().fg(QUIET), ratatui::text::Span::styled(words.to_owned(), style)])
}
