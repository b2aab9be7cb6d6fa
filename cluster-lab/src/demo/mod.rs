//! `demo`: shows by itself what the lab promises, and fails unless all of it held.

mod faults;
pub(crate) mod lab;
mod matrix;
pub(crate) mod prober;
mod story;

pub use matrix::matrix;
pub use story::story;
