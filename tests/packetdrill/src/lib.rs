//! packetdrill drives this project's stack through the functions that this library exports.
//!
//! packetdrill loads it (`--so_filename`) and asks `packetdrill_interface_init` for a table of
//! socket calls, of a device and of a clock. Behind them is one [`stack::Stack`] in virtual time.
//!
//! | file | what |
//! |---|---|
//! | `ffi/` | the C interface: everything `unsafe` |
//! | `adapter.rs` | one lock around it all, calls that block, and time |
//! | `device.rs` | what a device does to super-segments |
//! | `world.rs` | the stack with its device, its clock and its sockets |
//! | `socket.rs`, `options.rs`, `epoll.rs` | sockets as Linux has them |
//! | `info.rs` | TCP_INFO and its like as bytes |
//! | `settings.rs` | what the script set by `sysctl` |
//!
//! `bin/conformance` runs the scripts that count (`scripts.ron`); the last full run is in `README.md`.

pub mod adapter;
mod device;
mod epoll;
mod ffi;
mod info;
mod options;
pub mod settings;
pub mod socket;
#[cfg(test)]
mod tests;
pub mod world;
