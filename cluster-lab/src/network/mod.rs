//! The client network of a lab: a network namespace with one TUN device for each linked image.

mod holder;
mod inhabitants;
mod setup;

pub use holder::{Holder, enter, hold};
pub use setup::{Plan, conflict, set_up, tear_down};
