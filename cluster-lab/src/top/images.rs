//! The table of images.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::Text;
use ratatui::widgets::{Cell, Row, Table, TableState};

use super::draw::{BAD, GOOD, QUIET, WARN, cut, heading, part};
use super::screen::{Ui, state};
use crate::control::ImageState;
use crate::watch::{ImagePicture, Picture};

/// Letters of a name.
const NAME: usize = 12;

/// Lines that all of it takes.
pub(super) fn height(picture: &Picture) -> usize {
    picture.images.len() + 2
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture, ui: &Ui) {
    let rows = picture.images.iter().map(|image| row(image, picture));
    let header = ["IMAGE", "STATE", "CPU", "MEMORY", "CONN", "ROUTED", "IN", "OUT"].into_iter().enumerate();
    let header = header.map(|(column, title)| if column < 2 { Cell::from(title) } else { right(title) });
    let widths = [12, 9, 6, 9, 7, 7, 10, 10].map(Constraint::Length);
    let table = Table::new(rows, widths)
        .header(Row::new(header).fg(QUIET))
        .block(part(heading("images")))
        .highlight_symbol("▸")
        .row_highlight_style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(ui.selected));
}

fn row(image: &ImagePicture, picture: &Picture) -> Row<'static> {
    let state = state(image);
    let colour = match image.state {
        ImageState::Running if state == "running" => GOOD,
        ImageState::Running => WARN,
        ImageState::Stopped => QUIET,
        ImageState::Failed => BAD,
    };
    let mut cells = vec![Cell::from(cut(&image.name, NAME)), Cell::from(state.fg(colour))];
    if image.state == ImageState::Running {
        let targets = picture.dvipas.iter().flat_map(|dvipa| &dvipa.ports).flat_map(|port| &port.targets);
        let connections: u64 = targets.filter(|target| target.image == image.name).map(|target| target.active).sum();
        cells.extend([
            right(format!("{:.0} %", image.processor * 100.0)),
            right(memory(image.memory)),
            right(connections.to_string()),
            right(image.routes.to_string()),
            right(bits(image.network_in.bytes)),
            right(bits(image.network_out.bytes)),
        ]);
    }
    Row::new(cells)
}

fn right(text: impl Into<Text<'static>>) -> Cell<'static> {
    Cell::from(text.into().alignment(Alignment::Right))
}

fn memory(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "only three digits are shown")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    format!("{mebibytes:.1} MiB")
}

/// Bytes a second, as bits.
fn bits(bytes: f64) -> String {
    match bytes * 8.0 {
        0.0..1.0 => "-".to_owned(),
        bits @ ..1e3 => format!("{bits:.0} bit/s"),
        bits @ ..1e6 => format!("{:.1} kb/s", bits / 1e3),
        bits @ ..1e9 => format!("{:.1} Mb/s", bits / 1e6),
        bits => format!("{:.1} Gb/s", bits / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        let shown = [0.0, 100.0, 15_000.0, 2e6, 5e9].map(bits);
        assert_eq!(shown, ["-", "800 bit/s", "120.0 kb/s", "16.0 Mb/s", "40.0 Gb/s"]);
        assert_eq!(memory(3 << 19), "1.5 MiB");
    }
}
