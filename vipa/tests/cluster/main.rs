//! The VIPA distribution functions of a whole cluster, in memory and virtual time.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod chaos;
mod figures;
mod fixture;
mod group;
mod harness;
mod methods;
mod moves;
mod operator;
mod optlocal;
mod races;
mod takeovers;
