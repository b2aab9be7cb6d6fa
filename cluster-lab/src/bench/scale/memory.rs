//! What processes occupy and use, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};

/// Of one process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// Pages that it has in memory.
    pub rss: f64,
    /// The same; of a page that several have each its part.
    pub pss: f64,
}

impl Memory {
    /// What a process occupies now.
    pub fn of(process: u32) -> Result<Memory> {
        let file = format!("/proc/{process}/smaps_rollup");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("{file} cannot be read: a kernel from 4.14 on has it, for one's own processes"))?;
        let of = |name| number(&text, name).with_context(|| format!("{file} has no {name}"));
        Ok(Memory { rss: of("Rss:")?, pss: of("Pss:")? })
    }

    /// What processes occupy on average.
    pub fn average(processes: &[u32]) -> Result<Memory> {
        let mut sum = Memory::default();
        for process in processes {
            let one = Memory::of(*process)?;
            sum = Memory { rss: sum.rss + one.rss, pss: sum.pss + one.pss };
        }
        let count = processes.len().max(1) as f64;
        Ok(Memory { rss: sum.rss / count, pss: sum.pss / count })
    }
}

/// A line's kilobytes, in bytes.
fn number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok().map(|kilobytes: f64| kilobytes * 1024.0)
}

/// Seconds of processor time that processes have used so far, to the nanosecond.
pub(super) fn processor_time(processes: &[u32]) -> f64 {
    let threads = processes.iter().filter_map(|process| fs::read_dir(format!("/proc/{process}/task")).ok()).flatten();
    // One that has just ended counts no more.
    let ran = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    let nanoseconds = ran.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.sum::<f64>() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_uses_time() {
        let own = std::process::id();
        let before = Memory::of(own).unwrap();
        assert!(before.pss > 0.0 && before.pss <= before.rss, "{before:?}");
        let used = processor_time(&[own]);
        let ballast = std::hint::black_box(vec![1u8; 32 << 20]);
        let grown = Memory::average(&[own, own]).unwrap().pss - before.pss;
        assert!(grown > 30e6, "{grown} after {} bytes", ballast.len());
        let (began, more) = (std::time::Instant::now(), || processor_time(&[own]) - used);
        while more() <= 0.0 {
            assert!(began.elapsed().as_secs() < 10, "no time passes");
        }
    }
}
