//! The VIPA distribution function of one stack, without I/O, clock or thread.

pub mod definitions;

pub use definitions::{Backup, Define, Definitions, Distribute, Moveable, PortRange, Ports, Targets};
