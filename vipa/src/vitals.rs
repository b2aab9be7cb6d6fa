//! How well a server answers: TCSR, CER, SEF and what its workload manager says.

/// In percent, 100 is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// Target connectivity success rate: how many of the router's SYNs arrive at the target.
    pub tcsr: u8,
    /// Connection establishment rate: how many of the requests that arrive become connections.
    pub cer: u8,
    /// Server efficiency fraction: how many of those the server accepts in time.
    pub sef: u8,
}

impl Default for Vitals {
    /// Well, as long as nothing else was measured.
    fn default() -> Self {
        Vitals { tcsr: 100, cer: 100, sef: 100 }
    }
}

impl Vitals {
    /// Target server responsiveness: the product of the three. z/OS's displays agree with that; no text of it
    /// says so.
    pub fn tsr(&self) -> u8 {
        // At most 100.
        (u32::from(self.tcsr) * u32::from(self.cer) * u32::from(self.sef) / 10_000) as u8
    }
}
