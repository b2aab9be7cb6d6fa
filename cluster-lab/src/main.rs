//! `cluster-lab`, the command. See `cluster_lab::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cluster_lab::cli::main()
}
