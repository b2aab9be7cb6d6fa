//! The picture in the README, from the screen's own letters and colours.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::{drawn, ui};

/// Size of a letter, and of the margin around all.
const LETTER: (f64, f64) = (8.4, 18.0);
const MARGIN: f64 = 14.0;

fn colour(colour: Color) -> &'static str {
    match colour {
        Color::Green => "#7ec699",
        Color::Red => "#ff7b72",
        Color::Yellow => "#e3b341",
        Color::Cyan => "#6cb6ff",
        Color::DarkGray => "#7d8590",
        _ => "#d8dee6",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// One text for each run of letters of one style, placed by its column: whatever font there is, columns stay.
fn svg(buffer: &Buffer) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (width, height) = (f64::from(columns) * LETTER.0 + 2.0 * MARGIN, f64::from(rows) * LETTER.1 + 2.0 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"14\">\n\
         <title>cluster-lab top</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#11151c\"/>\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let cell = &buffer[(column, row)];
            let style = (cell.fg, cell.modifier);
            let begin = column;
            let mut letters = String::new();
            while column < columns && (buffer[(column, row)].fg, buffer[(column, row)].modifier) == style {
                letters += buffer[(column, row)].symbol();
                column += 1;
            }
            if letters.trim().is_empty() {
                continue;
            }
            let (x, y) = (MARGIN + f64::from(begin) * LETTER.0, MARGIN + f64::from(row + 1) * LETTER.1 - 5.0);
            let weight = if style.1.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
            let length = f64::from(column - begin) * LETTER.0;
            writeln!(
                text,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" fill=\"{}\"{weight} xml:space=\"preserve\">{}</text>",
                colour(style.0),
                escaped(&letters)
            )
            .unwrap();
        }
    }
    text + "</svg>\n"
}

/// Draws `docs/top.svg`: `cargo test -p cluster-lab --lib -- --ignored draw_the_picture`.
#[test]
#[ignore = "it writes the picture in the README"]
fn draw_the_picture() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/top.svg");
    std::fs::write(file, svg(&drawn(110, 26, &ui(), ""))).unwrap();
}

/// The picture in the README is what the screen looks like today.
#[test]
fn the_picture_is_up_to_date() {
    assert!(
        include_str!("../../../../docs/top.svg") == svg(&drawn(110, 26, &ui(), "")),
        "draw it again: draw_the_picture"
    );
}
