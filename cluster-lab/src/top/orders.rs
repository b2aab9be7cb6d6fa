//! What keys have the lab do.

use tokio::sync::mpsc::UnboundedSender;

use crate::cli;
use crate::verb::Verb;

/// An order for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub image: String,
    pub what: Verb,
}

impl Order {
    /// What was done, and by which command the same is done.
    fn done(&self, option: &str) -> String {
        let image = &self.image;
        match &self.what {
            Verb::Kill => format!("killed {image}: cluster-lab kill{option} {image}"),
            Verb::Pause => format!("paused {image}: cluster-lab kill{option} {image} --signal STOP"),
            Verb::Continue => format!("continued {image}: cluster-lab kill{option} {image} --signal CONT"),
            Verb::Start => format!("started {image}: cluster-lab start{option} {image}"),
            Verb::Stop => format!("stopped {image}: cluster-lab stop{option} {image}"),
            Verb::Quiesce => {
                format!("quiesced {image}: cluster-lab vary{option} {image} TCPIP,,SYSPLEX,QUIESCE,TARGET")
            }
            Verb::Resume => format!("resumed {image}: cluster-lab vary{option} {image} TCPIP,,SYSPLEX,RESUME,TARGET"),
            Verb::Cut(other) => format!("cut {image} from {other}: cluster-lab cut{option} {image} {other}"),
            Verb::Heal(other) => format!("healed {image} and {other}: cluster-lab heal{option} {image} {other}"),
        }
    }

    /// Has it done; what came of it goes to `notes`.
    pub fn give(self, lab: &str, notes: UnboundedSender<String>) {
        let lab = lab.to_owned();
        tokio::spawn(async move {
            let note = match cli::ask(&lab, self.what.clone().request(self.image.clone())).await {
                Ok(_) => self.done(&crate::name_option(&lab)),
                Err(error) => format!("{error:#}"),
            };
            // The screen may be gone.
            drop(notes.send(note));
        });
    }
}
