//! The lab: images, their network, and the command line.
//!
//! | module | what |
//! |---|---|
//! | [`cli`] | the command |
//! | [`profile`] | a cluster as a RON file |
//! | [`supervisor`] | starts images, watches them, serves commands |
//! | [`network`] | the client network: namespace, TUN devices, routes |
//! | [`image`] | one image: event loop, sockets, XCF |
//! | [`device`] | network links: TUN with offload, or memory |
//! | [`apps`] | applications on images |
//! | [`netstat`] | reports |
//! | [`explain`] | why a connection went where it went |
//! | [`watch`] | what a lab tells as it happens, and the model that screens show |
//! | [`web`] | the lab in a browser |
//! | [`metrics`] | the lab's counters for Prometheus |
//! | `capture` | packets of images as pcapng |
//! | [`probe`] | a client that measures |
//! | [`bench`](mod@bench) | this lab and its rivals, side by side |
//! | `top` | a lab on a terminal, as it happens |
//! | [`vary`] | operator commands |
//! | [`verb`] | what keys and buttons do |
//! | [`workload`] | workload managers: what weighs images and servers |
//! | `lesson` | scenarios that teach |
//! | [`simulate`] | clusters in virtual time, under every fault |

pub mod apps;
pub mod bench;
mod capture;
pub mod cli;
pub mod control;
mod demo;
pub mod device;
mod dial;
pub mod display;
pub mod explain;
pub mod image;
mod interruption;
pub mod key;
mod lesson;
pub mod metrics;
pub mod netstat;
pub mod network;
mod output;
mod places;
pub mod probe;
pub mod profile;
mod progress;
pub mod simulate;
mod state;
mod suggest;
pub mod supervisor;
mod sys;
pub mod tcpip;
mod text_file;
mod top;
pub mod vary;
pub mod verb;
mod wait;
pub mod watch;
pub mod web;
pub mod workload;

/// The name of a lab that was given none.
pub const DEFAULT_NAME: &str = "lab";

/// What a command line needs to be about the lab called `name`: nothing, or an option with a space before.
fn name_option(name: &str) -> String {
    if name == DEFAULT_NAME { String::new() } else { format!(" --name {name}") }
}

/// The process of a child that nobody has waited for yet.
fn pid_of(child: &tokio::process::Child) -> Option<rustix::process::Pid> {
    child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
}

/// Has the kernel end this process when its parent ends.
fn die_with_parent() -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}
