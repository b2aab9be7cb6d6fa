//! What was sent and when, and what is known of it: sent, sacked or lost.

use std::collections::VecDeque;

use super::rate::SentState;
use crate::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp::SeqRange;

/// Most records.
const MAX_RECORDS: usize = 16_384;
/// Records that SACK blocks may make beside those of whole segments, for segments that were small.
const SPARE_RECORDS: usize = 64;

/// What is known of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    InFlight,
    /// Taken for lost, and not sent again yet.
    Lost,
    Sacked,
}

/// What is to become of a range in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Lost,
    Kept,
    /// Kept, and so is all that follows.
    Over,
}

/// A range that was sent at one time: a segment, a super-segment, or a burst of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) start: SeqNum,
    pub(super) end: SeqNum,
    pub(super) sent_at: Instant,
    pub(super) retransmitted: bool,
    /// For congestion control that models the path.
    pub(super) state: SentState,
    fate: Fate,
}

impl Record {
    pub(super) fn len(&self) -> u32 {
        self.end - self.start
    }
}

/// Everything between SND.UNA and SND.NXT, without a gap.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    records: VecDeque<Record>,
    sacked: u32,
    lost: u32,
    /// No record before this one is lost.
    lost_from: SeqNum,
}

impl Scoreboard {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// When the first range was sent last.
    pub(super) fn first_sent_at(&self) -> Option<Instant> {
        self.records.front().map(|first| first.sent_at)
    }

    /// Length of the first range; zero if there is none.
    pub(super) fn first_len(&self) -> u32 {
        self.records.front().map_or(0, Record::len)
    }

    /// Bytes that SACK blocks cover.
    pub(super) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Bytes that are taken for lost and not sent again.
    pub(super) fn lost(&self) -> u32 {
        self.lost
    }

    /// Bytes that were sent again and have not arrived, as far as is known.
    pub(super) fn retransmitted_bytes(&self) -> u32 {
        let again = self.records.iter().filter(|record| record.retransmitted && record.fate == Fate::InFlight);
        again.map(Record::len).sum()
    }

    /// Bytes between SND.UNA and SND.NXT.
    pub(super) fn outstanding(&self) -> u32 {
        match (self.records.front(), self.records.back()) {
            (Some(first), Some(last)) => last.end - first.start,
            _ => 0,
        }
    }

    /// Bytes that are taken to be in the network (RFC 6675, `pipe`).
    pub(super) fn in_flight(&self) -> u32 {
        self.outstanding() - self.sacked - self.lost
    }

    /// Notes new data.
    pub(super) fn sent(&mut self, start: SeqNum, end: SeqNum, now: Instant, state: SentState) {
        if let Some(last) = self.records.back_mut()
            && last.sent_at == now
            && last.fate == Fate::InFlight
            && !last.retransmitted
        {
            last.end = end;
            return;
        }
        self.records.push_back(Record { start, end, sent_at: now, retransmitted: false, state, fate: Fate::InFlight });
    }

    /// Drops what is before `una`; tells of each range that was not sacked before. Returns bytes
    /// newly delivered.
    pub(super) fn acknowledge(&mut self, una: SeqNum, mut delivered: impl FnMut(&Record)) -> u32 {
        let mut bytes = 0;
        while let Some(first) = self.records.front_mut() {
            if first.start.after_eq(una) {
                break;
            }
            let part = Record { end: first.end.earliest(una), ..*first };
            match part.fate {
                Fate::Sacked => self.sacked -= part.len(),
                Fate::Lost => self.lost -= part.len(),
                Fate::InFlight => {}
            }
            if part.fate != Fate::Sacked {
                bytes += part.len();
                delivered(&part);
            }
            if part.end == first.end {
                self.records.pop_front();
            } else {
                first.start = una;
            }
        }
        if self.records.is_empty() {
            // An idle connection keeps no memory.
            self.records = VecDeque::new();
        }
        bytes
    }

    /// Applies a SACK block; tells of each range that was not sacked before. Returns bytes newly
    /// delivered. A peer that says of each byte by itself whether it came is not followed down to that:
    /// each of its acknowledgments would take a walk over all of them. Segments are `mss` at most.
    pub(super) fn sack(&mut self, block: SeqRange, mss: u32, mut delivered: impl FnMut(&Record)) -> u32 {
        let segments = self.outstanding().div_ceil(mss.max(1)) as usize;
        let most = (2 * segments + SPARE_RECORDS).min(MAX_RECORDS);
        let mut bytes = 0;
        let mut index = self.records.partition_point(|record| record.end.before_eq(block.start));
        while let Some(record) = self.records.get(index) {
            if record.start.after_eq(block.end) {
                break;
            }
            if record.fate == Fate::Sacked {
                index += 1;
                continue;
            }
            if record.start.before(block.start) {
                if !self.split(index, block.start, most) {
                    break;
                }
                index += 1;
                continue;
            }
            if record.end.after(block.end) && !self.split(index, block.end, most) {
                break;
            }
            let record = &mut self.records[index];
            if record.fate == Fate::Lost {
                self.lost -= record.len();
            }
            delivered(record);
            record.fate = Fate::Sacked;
            self.sacked += record.len();
            bytes += record.len();
            index = self.join(index) + 1;
        }
        bytes
    }

    /// Cuts a record in two at `at`, which lies inside it, if there are fewer than `most`.
    fn split(&mut self, index: usize, at: SeqNum, most: usize) -> bool {
        if self.records.len() >= most {
            return false;
        }
        let tail = Record { start: at, ..self.records[index] };
        self.records[index].end = at;
        self.records.insert(index + 1, tail);
        true
    }

    /// Joins a sacked record with sacked neighbours; returns where it is then.
    fn join(&mut self, mut index: usize) -> usize {
        if self.records.get(index + 1).is_some_and(|next| next.fate == Fate::Sacked) {
            self.records[index].end = self.records[index + 1].end;
            self.records.remove(index + 1);
        }
        if index > 0 && self.records[index - 1].fate == Fate::Sacked {
            self.records[index - 1].end = self.records[index].end;
            self.records.remove(index);
            index -= 1;
        }
        index
    }

    /// Takes for lost each range in flight for which `lost` says so. Returns the bytes.
    pub(super) fn mark_lost(&mut self, mut lost: impl FnMut(&Record) -> bool) -> u32 {
        self.judge(|record| if lost(record) { Verdict::Lost } else { Verdict::Kept })
    }

    /// The same, until `verdict` says that there is nothing more to judge.
    pub(super) fn judge(&mut self, mut verdict: impl FnMut(&Record) -> Verdict) -> u32 {
        let mut bytes = 0;
        for record in &mut self.records {
            if record.fate == Fate::InFlight {
                match verdict(record) {
                    Verdict::Lost => {}
                    Verdict::Kept => continue,
                    Verdict::Over => break,
                }
                record.fate = Fate::Lost;
                self.lost_from =
                    if self.lost == 0 && bytes == 0 { record.start } else { self.lost_from.earliest(record.start) };
                bytes += record.len();
            }
        }
        self.lost += bytes;
        bytes
    }

    /// Takes the first `len` bytes for lost, if they are in flight (RFC 6582, without SACK).
    pub(super) fn mark_first_lost(&mut self, len: u32) {
        let Some(first) = self.records.front().copied() else { return };
        if first.fate != Fate::InFlight || (first.len() > len && !self.split(0, first.start + len, MAX_RECORDS)) {
            return;
        }
        self.mark_lost(|record| record.start == first.start);
    }

    /// The first range to send again.
    pub(super) fn next_lost(&mut self) -> Option<SeqRange> {
        if self.lost == 0 {
            return None;
        }
        let from = self.lost_from;
        let index = self.records.partition_point(|record| record.end.before_eq(from));
        let record = self.records.iter().skip(index).find(|record| record.fate == Fate::Lost)?;
        self.lost_from = record.start;
        Some(SeqRange { start: record.start, end: record.end })
    }

    /// Notes that a range, whole or the first part of one record, was sent again.
    pub(super) fn retransmitted(&mut self, range: SeqRange, now: Instant, state: SentState) {
        let index = self.records.partition_point(|record| record.end.before_eq(range.start));
        let Some(record) = self.records.get(index).copied() else { return };
        if record.start.before(range.start) && self.split(index, range.start, MAX_RECORDS) {
            return self.retransmitted(range, now, state);
        }
        if record.end.after(range.end) {
            // Without room for one more record all of this one counts as sent again; what of it
            // was not is found lost again later.
            self.split(index, range.end, MAX_RECORDS);
        }
        let record = &mut self.records[index];
        if record.fate == Fate::Lost {
            self.lost -= record.len();
            record.fate = Fate::InFlight;
        }
        record.retransmitted = true;
        record.sent_at = now;
        record.state = state;
    }

    /// Forgets all SACK information: the receiver has gone back on it (RFC 2018, section 8).
    pub(super) fn renege(&mut self) {
        for record in &mut self.records {
            if record.fate == Fate::Sacked {
                record.fate = Fate::InFlight;
            }
        }
        self.sacked = 0;
    }

    /// Whether the first range is sacked: no honest receiver leaves it at that.
    pub(super) fn first_is_sacked(&self) -> bool {
        self.records.front().is_some_and(|record| record.fate == Fate::Sacked)
    }

    /// Takes back that ranges are lost: they were not (RFC 4015).
    pub(super) fn unmark_lost(&mut self) {
        for record in &mut self.records {
            if record.fate == Fate::Lost {
                record.fate = Fate::InFlight;
            }
        }
        self.lost = 0;
    }

    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.records.capacity() * size_of::<Record>()
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Scoreboard::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(start: u32, end: u32) -> SeqRange {
        SeqRange { start: SeqNum(start), end: SeqNum(end) }
    }

    fn recount(board: &Scoreboard) -> (u32, u32) {
        let sum = |fate| board.records.iter().filter(|record| record.fate == fate).map(Record::len).sum();
        (sum(Fate::Sacked), sum(Fate::Lost))
    }

    /// RFC 2018: a block that covers part of a super-segment cuts it; only the rest is sent again.
    #[test]
    fn a_block_cuts_a_super_segment() {
        let mut board = Scoreboard::default();
        board.sent(SeqNum(0), SeqNum(60_000), Instant::from_millis(1), SentState::default());
        assert_eq!(board.sack(range(1000, 2000), 1000, |_| {}), 1000);
        assert_eq!(board.sack(range(1000, 3000), 1000, |_| {}), 1000);
        assert_eq!((board.in_flight(), board.sacked()), (58_000, 2000));
        assert_eq!(board.mark_lost(|record| record.end.before(SeqNum(3000))), 1000);
        assert_eq!(board.next_lost(), Some(range(0, 1000)));
        board.retransmitted(range(0, 600), Instant::from_millis(2), SentState::default());
        assert_eq!(board.next_lost(), Some(range(600, 1000)));
        board.retransmitted(range(600, 1000), Instant::from_millis(2), SentState::default());
        assert_eq!(board.next_lost(), None);
        assert_eq!(board.in_flight(), 58_000);
        let mut seen = Vec::new();
        assert_eq!(board.acknowledge(SeqNum(4000), |record| seen.push((record.start.0, record.end.0))), 2000);
        assert_eq!(seen, [(0, 600), (600, 1000), (3000, 4000)]);
        assert_eq!((board.outstanding(), board.sacked()), (56_000, 0));
    }

    /// CVE-2019-11477 and its kin: blocks of one byte each make no record for each byte; blocks of whole segments
    /// are all followed, whatever was sent as one.
    #[test]
    fn splinters_are_not_followed() {
        let mss = 1460;
        let sent = || {
            let mut board = Scoreboard::default();
            board.sent(SeqNum(0), SeqNum(200 * mss), Instant::from_millis(1), SentState::default());
            board
        };
        let mut board = sent();
        for at in (1..200 * mss).step_by(2) {
            board.sack(range(at, at + 1), mss, |_| {});
        }
        assert!(board.records.len() <= 2 * 200 + SPARE_RECORDS, "{}", board.records.len());
        let mut board = sent();
        for at in (mss..200 * mss).step_by(2 * mss as usize) {
            board.sack(range(at, at + mss), mss, |_| {});
        }
        assert_eq!((board.sacked(), board.records.len()), (100 * mss, 200));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Send(u32),
        Ack(u32),
        Sack(u32, u32),
        Lose(u32),
        LoseFirst(u32),
        Resend(u32),
        Renege,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1u32..5000).prop_map(Step::Send),
            (0u32..9000).prop_map(Step::Ack),
            (0u32..30_000, 1u32..4000).prop_map(|(at, len)| Step::Sack(at, len)),
            (0u32..30_000).prop_map(Step::Lose),
            (1u32..2000).prop_map(Step::LoseFirst),
            (1u32..2000).prop_map(Step::Resend),
            Just(Step::Renege),
        ]
    }

    proptest! {
        /// The counts equal a recount, and the records stay without gap, whatever happens.
        #[test]
        fn counts_equal_a_recount(steps in proptest::collection::vec(step(), 1..80)) {
            let mut board = Scoreboard::default();
            let (mut una, mut nxt) = (SeqNum(u32::MAX - 9000), SeqNum(u32::MAX - 9000));
            for (tick, step) in steps.into_iter().enumerate() {
                let now = Instant::from_millis(tick as u64);
                match step {
                    Step::Send(len) => {
                        board.sent(nxt, nxt + len, now, SentState::default());
                        nxt += len;
                    }
                    Step::Ack(len) => {
                        una = (una + len).earliest(nxt);
                        board.acknowledge(una, |_| {});
                    }
                    Step::Sack(at, len) => {
                        let block = SeqRange { start: una + at, end: una + at + len };
                        board.sack(block, 1000, |_| {});
                    }
                    Step::Lose(at) => {
                        board.mark_lost(|record| record.end.before(una + at));
                    }
                    Step::LoseFirst(len) => board.mark_first_lost(len),
                    Step::Resend(len) => {
                        if let Some(lost) = board.next_lost() {
                            board.retransmitted(SeqRange { end: lost.end.earliest(lost.start + len), ..lost }, now, SentState::default());
                        }
                    }
                    Step::Renege => board.renege(),
                }
                prop_assert_eq!((board.sacked(), board.lost()), recount(&board));
                prop_assert_eq!(board.outstanding(), nxt - una);
                prop_assert_eq!(board.lost() > 0, board.next_lost().is_some());
                let mut at = una;
                for record in &board.records {
                    prop_assert!(record.start == at && record.end.after(at));
                    at = record.end;
                }
            }
        }
    }
}
