//! Weights from a script in the profile: the same in every run, for lessons.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vipa::Workload;

use super::{ByHand, View, WorkloadManager};

/// From some moment on, this is said of an image or one of its servers; what it leaves out stays as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptStep {
    /// Milliseconds after the image's start.
    #[serde(default)]
    pub at: u64,
    /// The image.
    pub image: String,
    /// The server on this port; without it, the system.
    #[serde(default)]
    pub port: Option<u16>,
    /// 0 to 64.
    #[serde(default)]
    pub weight: Option<u8>,
    /// Abnormal completions of 1,000; only with `port`.
    #[serde(default)]
    pub abnormal: Option<u16>,
    /// 0 to 100; only with `port`.
    #[serde(default)]
    pub health: Option<u8>,
}

impl ScriptStep {
    /// What is wrong with it.
    pub fn mistake(&self) -> Option<String> {
        let ScriptStep { port, weight, abnormal, health, .. } = self;
        let most = Workload::MOST;
        match () {
            () if weight.is_some_and(|weight| weight > most) => Some(format!("weight: expected 0 to {most}")),
            () if abnormal.is_some_and(|abnormal| abnormal > 1000) => Some("abnormal: expected 0 to 1000".into()),
            () if health.is_some_and(|health| health > 100) => Some("health: expected 0 to 100".into()),
            () if port.is_none() && (abnormal.is_some() || health.is_some()) => {
                Some("abnormal and health are a server's: expected 'port' too".into())
            }
            () => None,
        }
    }

    fn change(&self) -> ByHand {
        ByHand { weight: self.weight, port: self.port, abnormal: self.abnormal, health: self.health }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Scripted {
    /// In the order of their times.
    steps: Vec<ScriptStep>,
}

impl Scripted {
    pub fn new(steps: &[ScriptStep], image: &str) -> Self {
        let own = steps.iter().filter(|step| step.image.eq_ignore_ascii_case(image));
        let mut steps: Vec<ScriptStep> = own.cloned().collect();
        steps.sort_by_key(|step| step.at);
        Scripted { steps }
    }
}

impl WorkloadManager for Scripted {
    fn weigh(&mut self, view: &View) -> Workload {
        let mut workload = Workload::default();
        let due = self.steps.iter().filter(|step| Duration::from_millis(step.at) <= view.elapsed);
        due.for_each(|step| step.change().apply(&mut workload));
        workload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step counts from its time on, for its own image, and only in what it says.
    #[test]
    fn a_script_is_played() {
        let step = |at, image: &str, port, weight, health| ScriptStep {
            at,
            image: image.into(),
            port,
            weight,
            abnormal: None,
            health,
        };
        let steps = [
            step(2000, "MVS2", None, Some(5), None),
            step(0, "mvs2", None, Some(40), None),
            step(1000, "MVS2", Some(60), None, Some(0)),
            step(0, "MVS3", None, Some(1), None),
        ];
        let mut script = Scripted::new(&steps, "MVS2");
        let mut at = |millis| script.weigh(&View { elapsed: Duration::from_millis(millis), ..View::default() });
        assert_eq!(at(0), Workload { system: Some([40; 3]), ..Workload::default() });
        assert_eq!(at(1999).servers[&60].health, 0);
        assert_eq!((at(2000).system, at(2000).servers[&60].health), (Some([5; 3]), 0));
        assert_eq!(step(0, "A", None, Some(65), None).mistake().as_deref(), Some("weight: expected 0 to 64"));
        assert!(step(0, "A", None, None, Some(5)).mistake().is_some_and(|why| why.contains("'port'")));
        assert_eq!(steps.iter().find_map(ScriptStep::mistake), None);
    }
}
