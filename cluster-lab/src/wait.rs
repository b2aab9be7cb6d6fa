//! Waiting for what other processes do, where nothing tells of it.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `holds` says yes, for `longest` at most; whether it has.
pub(crate) fn until(longest: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if began.elapsed() > longest {
            return false;
        }
        sleep(LOOK);
    }
}
