//! The VIPA distribution functions of a whole cluster, in memory and virtual time.

mod chaos;
mod figures;
mod fixture;
mod harness;
mod races;
