//! Downloads with curl.

use std::io::Read;
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use crate::{Lab, Running};

/// A download whose digest is taken while it comes in.
#[derive(Debug)]
pub struct Download {
    client: Running,
    digest: JoinHandle<std::io::Result<String>>,
}

impl Download {
    /// Starts it; `rate` is curl's `--limit-rate`.
    ///
    /// # Panics
    /// If curl cannot be started.
    pub fn start(lab: &Lab, url: &str, rate: &str) -> Download {
        let mut client = lab.spawn("curl", &["-sS", "--max-time", "120", "--limit-rate", rate, url]);
        let mut output = client.child().stdout.take().expect("piped");
        let digest = std::thread::spawn(move || {
            let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
            loop {
                match output.read(&mut buffer)? {
                    0 => return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
                    count => digest.update(&buffer[..count]),
                }
            }
        });
        Download { client, digest }
    }

    /// Waits for its end; its SHA-256.
    ///
    /// # Panics
    /// If it broke off.
    pub fn finish(self) -> String {
        self.client.finish();
        self.digest.join().expect("no panic").expect("the download can be read")
    }
}
