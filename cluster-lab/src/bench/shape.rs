//! The shapes in which a server is reached: the rivals' and ours.

use clap::ValueEnum;
use serde::Serialize;

/// One way from the client to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The kernel's TCP over a veth pair, nothing between
    Kernel,
    /// The same behind nft DNAT in a namespace between
    Nft,
    /// The same behind HAProxy in TCP mode, with one thread
    Haproxy,
    /// Ours: the routing stack is the target itself
    Router,
    /// Ours: XCF between processes to a target that answers by a network link of its own
    Linked,
    /// Ours: XCF between processes to a target without a link, and back
    Unlinked,
    /// Ours: as linked, all images in one process
    InProcess,
}

impl Shape {
    /// In the order of tables.
    pub const ALL: [Shape; 7] =
        [Shape::Kernel, Shape::Nft, Shape::Haproxy, Shape::Router, Shape::Linked, Shape::Unlinked, Shape::InProcess];

    /// A table's column.
    pub fn heading(self) -> &'static str {
        match self {
            Shape::Kernel => "kernel",
            Shape::Nft => "nft DNAT",
            Shape::Haproxy => "HAProxy",
            Shape::Router => "router",
            Shape::Linked => "linked",
            Shape::Unlinked => "unlinked",
            Shape::InProcess => "in-process",
        }
    }

    /// What the column means.
    pub fn title(self) -> &'static str {
        match self {
            Shape::Kernel => "the kernel's TCP over veth, nothing between",
            Shape::Nft => "the same behind nft DNAT",
            Shape::Haproxy => "the same behind HAProxy, TCP mode, one thread",
            Shape::Router => "ours: the router is the target",
            Shape::Linked => "ours: XCF between processes to a target with its own link",
            Shape::Unlinked => "ours: XCF between processes to a target without a link",
            Shape::InProcess => "ours: as linked, all images in one process",
        }
    }

    /// Whether it is a shape of this lab.
    pub fn is_ours(self) -> bool {
        matches!(self, Shape::Router | Shape::Linked | Shape::Unlinked | Shape::InProcess)
    }
}
