//! The screen at several sizes, and what its keys do.

mod svg;

use std::net::IpAddr;

use crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::draw::{self, View};
use super::orders::Order;
use super::screen::{Screen, Ui, Wish};
use crate::control::ImageState;
use crate::verb::Verb;
use crate::watch::{
    Beginning, Change, DvipaPicture, Event, ImageLayout, ImagePicture, Kind, Picture, PortPicture, Rate, Takeover,
    TakeoverPicture, TargetPicture, Told, Update,
};

const DVA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));
const DVB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 65));

fn image(number: u8, state: ImageState) -> ImagePicture {
    let runs = state == ImageState::Running;
    let busy = if runs { f64::from(number) } else { 0.0 };
    ImagePicture {
        name: format!("MVS{number}"),
        xcf: [192, 0, 2, number].into(),
        link: None,
        apps: vec!["WEB".into()],
        state,
        how: None,
        paused: false,
        in_group: runs,
        quiesced: false,
        quiesced_ports: Vec::new(),
        pid: runs.then_some(100 + u32::from(number)),
        since: 0,
        processor: busy / 10.0,
        memory: u64::from(number) << 21,
        routes: if number == 5 { 46 } else { 0 },
        network_in: Rate { packets: busy, bytes: busy * 1e5 },
        network_out: Rate { packets: busy, bytes: busy * 3e7 },
        vipadyn: Vec::new(),
        vdpt: Vec::new(),
    }
}

fn port(port: u16, targets: &[(&str, u64, f64)]) -> PortPicture {
    let target = |(image, active, rate): &(&str, u64, f64)| TargetPicture {
        image: (*image).into(),
        ready: 1,
        active: *active,
        total: active * 100,
        rate: *rate,
        method: "BASEWLM".into(),
        weight: 4,
        raw_weight: Some(64),
        tsr: 100,
        takes: *image != "MVS3",
        remark: if *image == "MVS3" { "quiesced" } else { "w 4/64" }.into(),
    };
    PortPicture { port, targets: targets.iter().map(target).collect() }
}

fn dvipa(name: &str, address: IpAddr, backups: &[&str], ports: Vec<PortPicture>) -> DvipaPicture {
    let backups = backups.iter().map(|image| (*image).to_owned()).collect();
    DvipaPicture {
        name: name.into(),
        address,
        owner: Some("MVS5".into()),
        coming: None,
        epoch: (7, 10),
        backups,
        ports,
    }
}

/// MVS1 has been killed, MVS5 routes its DVIPA; MVS3 is quiesced, MVS4 paused.
fn picture() -> Picture {
    let mut images: Vec<_> = (1..=5).map(|number| image(number, ImageState::Running)).collect();
    images[0] = image(1, ImageState::Failed);
    images[2].quiesced = true;
    images[3].paused = true;
    let takeover = Takeover {
        dvipa: DVA,
        change: Change::Takeover,
        from: Some("MVS1".into()),
        to: "MVS5".into(),
        epoch: Some((7, 10)),
        began: 3_661_000_000,
        noticed: Some(3_661_001_000),
        claimed: 3_661_001_100,
        complete: Some(3_661_004_200),
        connections: Some(34),
    };
    Picture {
        lab: "lab".into(),
        at: 3_725_000_000,
        images,
        dvipas: vec![
            dvipa("DVA1", DVA, &["MVS1"], vec![port(60, &[("MVS2", 23, 41.5), ("MVS4", 11, 40.0)])]),
            dvipa("DVB1", DVB, &[], vec![port(60, &[("MVS2", 4, 0.5), ("MVS3", 0, 0.0), ("MVS5", 8, 1.25)])]),
        ],
        takeovers: vec![TakeoverPicture { gap: takeover.gap(), takeover }],
        ..Picture::default()
    }
}

fn told(number: u64, at: u64, image: &str, kind: Kind, text: &str) -> Event {
    Event { number, at, image: Some(image.into()), told: Told::new(kind, text) }
}

fn events() -> Vec<Event> {
    vec![
        told(1, 9_000, "MVS1", Kind::Up, "up"),
        told(2, 3_661_000_900, "MVS1", Kind::Ended, "killed"),
        told(3, 3_661_001_000, "MVS5", Kind::Gone, "MVS1 is gone"),
        told(4, 3_661_001_100, "MVS5", Kind::Claimed, "routes for 203.0.113.1 from now on (epoch 7/10)"),
        told(5, 3_661_004_200, "MVS5", Kind::Active, "203.0.113.1 is active with 34 connections (epoch 7/10)"),
        told(6, 3_700_000_000, "MVS4", Kind::Paused, "paused by a signal"),
    ]
}

fn drawn(width: u16, height: u16, ui: &Ui, note: &str) -> Buffer {
    let (picture, events) = (picture(), events());
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let view = View { picture: &picture, events: &|| Box::new(events.iter().rev()), note };
    terminal.draw(|frame| draw::draw(frame, &view, ui)).unwrap();
    terminal.backend().buffer().clone()
}

/// As one who has watched for a while sees it, MVS2 marked.
fn ui() -> Ui {
    let mut ui = Ui { selected: 1, ..Ui::default() };
    for look in 0..20 {
        let mut picture = picture();
        let targets = picture.dvipas.iter_mut().flat_map(|dvipa| &mut dvipa.ports).flat_map(|port| &mut port.targets);
        targets.for_each(|target| target.rate *= f64::from(look % 7) / 4.0);
        ui.rates.take(&picture);
    }
    ui.rates.take(&picture());
    ui
}

/// The letters alone: what is seen without colours.
fn letters(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width);
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned());
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn it_fits_80_by_24() {
    insta::assert_snapshot!(letters(&drawn(80, 24, &ui(), "")));
}

#[test]
fn it_fits_a_wide_screen() {
    insta::assert_snapshot!(letters(&drawn(140, 30, &ui(), "killed MVS1: cluster-lab kill MVS1")));
}

#[test]
fn help_lies_above() {
    insta::assert_snapshot!(letters(&drawn(80, 24, &Ui { help: true, ..ui() }, "")));
}

/// No size breaks it, and small ones still tell the most important.
#[test]
fn it_fits_any_size() {
    for width in [1, 2, 10, 39, 40, 41, 60, 119, 120, 121, 300] {
        for height in [1, 2, 7, 8, 9, 12, 20, 90] {
            for help in [false, true] {
                let ui = Ui { help, back: 2, ..ui() };
                let shown = letters(&drawn(width, height, &ui, ""));
                assert!(help || width < 40 || height < 12 || shown.contains("MVS1"), "{width}x{height}:\n{shown}");
            }
        }
    }
    // Before the first look there is no image to be seen.
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| Screen::default().draw(frame)).unwrap();
}

fn key(code: KeyCode) -> Input {
    Input::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn begun(images: u8) -> Screen {
    let layout = |number: u8| ImageLayout {
        name: format!("MVS{number}"),
        xcf: [192, 0, 2, number].into(),
        link: None,
        apps: Vec::new(),
        state: ImageState::Running,
    };
    let mut screen = Screen::default();
    screen.apply(Update::Begin(Box::new(Beginning {
        lab: "lab".into(),
        began: 0,
        at: 0,
        client: [198, 51, 100, 1].into(),
        subnet: ([198, 51, 100, 0].into(), 24),
        images: (1..=images).map(layout).collect(),
        names: Vec::new(),
        events: Vec::new(),
    })));
    screen
}

#[test]
fn keys_act_on_the_marked_image() {
    let mut screen = begun(2);
    let order = |image: &str, what| Some(Wish::Do(Order { image: image.into(), what }));
    assert_eq!(screen.key(&key(KeyCode::Char('k'))), order("MVS1", Verb::Kill));
    for _ in 0..3 {
        assert_eq!(screen.key(&key(KeyCode::Down)), None);
    }
    assert_eq!(screen.key(&key(KeyCode::Char('s'))), order("MVS2", Verb::Start), "the last stays the last");
    assert_eq!(screen.key(&key(KeyCode::Char('p'))), order("MVS2", Verb::Pause));
    screen.apply(Update::Event(told(1, 1, "MVS2", Kind::Paused, "paused by a signal")));
    assert_eq!(screen.key(&key(KeyCode::Char('p'))), order("MVS2", Verb::Continue));
    assert_eq!(screen.key(&key(KeyCode::Char('z'))), order("MVS2", Verb::Quiesce));
    screen.key(&key(KeyCode::Char('?')));
    assert_eq!(screen.key(&key(KeyCode::Char('k'))), None, "it closes the help and kills nobody");
    assert_eq!(screen.key(&key(KeyCode::Char('q'))), Some(Wish::Quit));
    let interrupt = Input::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert_eq!(screen.key(&interrupt), Some(Wish::Quit));
}

/// Two images are marked one after the other; the same twice, or another key, gives it up.
#[test]
fn a_key_cuts_between_two_images() {
    let mut screen = begun(2);
    let c = key(KeyCode::Char('c'));
    assert_eq!((screen.key(&c), screen.ui.cutting.as_deref()), (None, Some("MVS1")));
    assert_eq!((screen.key(&c), screen.ui.cutting.as_deref()), (None, None));
    screen.key(&c);
    screen.key(&key(KeyCode::Char('?')));
    screen.key(&key(KeyCode::Char('?')));
    assert_eq!(screen.ui.cutting, None);
    screen.key(&c);
    screen.key(&key(KeyCode::Down));
    let cut = Order { image: "MVS1".into(), what: Verb::Cut("MVS2".into()) };
    assert_eq!((screen.key(&c), screen.ui.cutting.as_deref()), (Some(Wish::Do(cut)), None));
}

/// Who reads older events is not carried along by new ones.
#[test]
fn older_events_stay_in_place() {
    let mut screen = begun(1);
    for number in 1..=20 {
        screen.apply(Update::Event(told(number, number, "MVS1", Kind::Note, "something")));
    }
    assert_eq!(screen.ui.back, 0);
    screen.key(&key(KeyCode::PageUp));
    screen.apply(Update::Event(told(21, 21, "MVS1", Kind::Note, "something else")));
    assert_eq!(screen.ui.back, 6);
    screen.key(&key(KeyCode::PageDown));
    screen.key(&key(KeyCode::PageDown));
    assert_eq!(screen.ui.back, 0);
}
