//! Watching a lab: what it tells, as it happens, and one model of it that every screen shows.
//!
//! ```text
//! image ──events──> supervisor ──updates──> Feed ──> Model ──> Picture: what top and web draw
//!       ──gauges──>                                        └─> events, in order
//! ```
//!
//! Events are pushed: the supervisor tells a death as it learns of it, and an image what its VIPA function
//! does. What changes all the time (connections, bytes) is looked at a few times a second, after each event,
//! and only while somebody watches.
//!
//! A screen does `let mut feed = Feed::open(&lab).await?; while let Some(update) = feed.next().await? {
//! model.apply(update) }`, and draws [`Model::picture`] and [`Model::events`].

mod event;
mod feed;
mod model;
mod picture;
mod rates;
mod sample;
mod timeline;

pub use event::{Event, Kind, Told};
pub use feed::{Beginning, Feed, ImageLayout, Update};
pub use model::Model;
pub use picture::{DvipaPicture, ImagePicture, Pair, Picture, PortPicture, TakeoverPicture, TargetPicture};
pub use rates::Rate;
pub use sample::{Contact, Count, Gauges, ImageSample, Peer, Sample, Traffic};
pub use timeline::{Change, Takeover, Tenure, Timeline};

use std::time::Duration;

/// Microseconds of the kernel's monotonic clock, which all processes of a machine share.
pub fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::try_from(now).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
