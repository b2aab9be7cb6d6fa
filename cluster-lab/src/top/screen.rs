//! What is shown, and what keys do to it.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::Frame;

use super::draw::{self, View};
use super::orders::Order;
use crate::control::ImageState;
use crate::verb::Verb;
use crate::watch::{ImagePicture, Model, Picture, Update};

/// How many looks back the rates are shown.
pub(super) const HISTORY: usize = 12;
/// Events that a key goes back by.
const PAGE: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Screen {
    model: Model,
    pub ui: Ui,
    /// What the last order came to.
    pub note: String,
}

/// What of the lab is shown, beside the lab itself.
#[derive(Debug, Default)]
pub(super) struct Ui {
    /// The image that orders are for, by its place.
    pub selected: usize,
    /// How many of the latest events are below those that are shown.
    pub back: usize,
    pub help: bool,
    /// The image whose XCF is to be cut from another, while that one is being chosen.
    pub cutting: Option<String>,
    pub rates: Rates,
}

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Do(Order),
}

impl Screen {
    pub fn apply(&mut self, update: Update) {
        let (looked, happened) = (matches!(update, Update::Sample(_)), matches!(update, Update::Event(_)));
        self.model.apply(update);
        if looked {
            self.ui.rates.take(self.model.picture());
        }
        // Whoever reads what has been stays there.
        if happened && self.ui.back > 0 {
            self.ui.back = (self.ui.back + 1).min(self.oldest());
        }
    }

    pub fn draw(&self, frame: &mut Frame<'_>) {
        let view =
            View { picture: self.model.picture(), events: &|| Box::new(self.model.events().rev()), note: &self.note };
        draw::draw(frame, &view, &self.ui);
    }

    pub fn key(&mut self, input: &Input) -> Option<Wish> {
        let Input::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = input
        else {
            return None;
        };
        if *code == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Wish::Quit);
        }
        self.note.clear();
        if self.ui.help {
            // Any key but q closes it.
            self.ui.help = false;
            return (*code == KeyCode::Char('q')).then_some(Wish::Quit);
        }
        // Any key but those that choose the other image gives it up.
        if !matches!(code, KeyCode::Up | KeyCode::Down | KeyCode::Home | KeyCode::End | KeyCode::Char('c')) {
            self.ui.cutting = None;
        }
        let last = self.model.picture().images.len().saturating_sub(1);
        match code {
            KeyCode::Char('q') => return Some(Wish::Quit),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.ui.help = true,
            KeyCode::Up => self.ui.selected = self.ui.selected.saturating_sub(1),
            KeyCode::Down => self.ui.selected = (self.ui.selected + 1).min(last),
            KeyCode::Home => self.ui.selected = 0,
            KeyCode::End => self.ui.selected = last,
            KeyCode::PageUp => self.ui.back = (self.ui.back + PAGE).min(self.oldest()),
            KeyCode::PageDown => self.ui.back = self.ui.back.saturating_sub(PAGE),
            KeyCode::Char('c') => return self.cut().map(Wish::Do),
            KeyCode::Char(letter) => return self.order(*letter).map(Wish::Do),
            _ => {}
        }
        None
    }

    /// The order that a letter is, for the selected image.
    fn order(&mut self, letter: char) -> Option<Order> {
        let image = self.model.picture().images.get(self.ui.selected)?;
        let what = match letter {
            'k' => Verb::Kill,
            's' => Verb::Start,
            'x' => Verb::Stop,
            'p' if image.paused => Verb::Continue,
            'p' => Verb::Pause,
            'z' if image.quiesced => Verb::Resume,
            'z' => Verb::Quiesce,
            _ => return None,
        };
        let image = image.name.clone();
        self.note = format!("{image} …");
        Some(Order { image, what })
    }

    /// Takes the marked image as the first of two; or, as the second, cuts XCF between them, or heals it.
    fn cut(&mut self) -> Option<Order> {
        let picture = self.model.picture();
        let other = picture.images.get(self.ui.selected)?.name.clone();
        let Some(image) = self.ui.cutting.take() else {
            self.ui.cutting = Some(other);
            return None;
        };
        if image == other {
            return None;
        }
        self.note = format!("{image}, {other} …");
        let what = if picture.is_cut(&image, &other) { Verb::Heal(other) } else { Verb::Cut(other) };
        Some(Order { image, what })
    }

    fn oldest(&self) -> usize {
        self.model.events().len().saturating_sub(1)
    }
}

/// In one word.
pub(super) fn state(image: &ImagePicture) -> &'static str {
    match image.state {
        ImageState::Running if image.paused => "paused",
        ImageState::Running if !image.in_group => "no group",
        ImageState::Running if image.quiesced => "quiesced",
        state => state.word(),
    }
}

/// New connections a second of each target, at the last few looks.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<(IpAddr, u16, String), VecDeque<f64>>);

impl Rates {
    pub fn take(&mut self, picture: &Picture) {
        let mut before = std::mem::take(&mut self.0);
        for dvipa in &picture.dvipas {
            for port in &dvipa.ports {
                for target in &port.targets {
                    let key = (dvipa.address, port.port, target.image.clone());
                    let mut rates = before.remove(&key).unwrap_or_default();
                    rates.truncate(HISTORY - 1);
                    rates.push_front(target.rate);
                    self.0.insert(key, rates);
                }
            }
        }
    }

    /// The latest first.
    pub fn of(&self, dvipa: IpAddr, port: u16, target: &str) -> impl Iterator<Item = f64> + '_ {
        self.0.get(&(dvipa, port, target.to_owned())).into_iter().flatten().copied()
    }

    pub fn highest(&self) -> f64 {
        self.0.values().flatten().copied().fold(0.0, f64::max)
    }
}
