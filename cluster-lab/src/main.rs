//! `cluster-lab`, the command.
fn main() {}
