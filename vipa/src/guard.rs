//! What keeps the protocol safe, each by name, so that a check can take one out and see that it is
//! missed.

use crate::vipa::Vipa;

/// A guard of the protocol. [`Config::without`](crate::Config::without) takes one out: the
/// simulator proves with that that it would find its loss. Nothing else sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Only a claim with a higher epoch is followed (R11, R12).
    Epoch,
    /// What a former life of a stack says is ignored (R14).
    Incarnation,
    /// Control messages are read once and in order (R13).
    Sequence,
    /// While tables are rebuilt, segments of unknown connections wait (R1).
    Hold,
    /// Nobody is reset before all stacks have said that they do not hold the connection (R6).
    Ask,
    /// Nobody is reset while a stack that may hold the connection is silent (R1, R11).
    Silent,
    /// A packet that a routing stack has forwarded is not forwarded again (I18).
    Forwarded,
    /// A TERMCONN names the very connection that it ends (I11).
    Instance,
    /// What has ended while reports come in stays ended (I12).
    Tombstone,
    /// What a target's complete report does not name has ended (I9).
    Sweep,
    /// A takeback waits for the tables, and for the stack that still routes (R2).
    Release,
    /// A former owner goes on routing for a while (R2).
    Grace,
    /// Half-open entries give way to each other, never established ones (R5, I22).
    HalfOpen,
    /// The audit repairs what has drifted (R15).
    Audit,
}

impl Guard {
    /// All of them.
    pub const ALL: [Guard; 14] = [
        Guard::Epoch,
        Guard::Incarnation,
        Guard::Sequence,
        Guard::Hold,
        Guard::Ask,
        Guard::Silent,
        Guard::Forwarded,
        Guard::Instance,
        Guard::Tombstone,
        Guard::Sweep,
        Guard::Release,
        Guard::Grace,
        Guard::HalfOpen,
        Guard::Audit,
    ];

    /// Its name on the command line.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl Vipa {
    /// Whether the guard is in place.
    pub(crate) fn guards(&self, guard: Guard) -> bool {
        self.config.without != Some(guard)
    }
}
