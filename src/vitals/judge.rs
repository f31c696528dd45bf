//! What is worth a word about depths: nearly full, or only growing. Pure: it is told the time and what was read.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::depths::{Depth, Of};
use super::growth::{Growth, Rule, Turned};

/// 5 s between looks: a scrape sees no more (Prometheus' default is 15 s to a minute), and a look reads a few small files.
pub const LOOK: Duration = Duration::from_secs(5);

/// 80 % of its bound is nearly full: where the quota of etcd counts as full here.
const NEAR: f64 = 0.8;

/// 60 % of its bound is no longer nearly full: a depth that dances around [`NEAR`] is told of once.
const FAR: f64 = 0.6;

/// 1 min between two lines of the log about the same thing being nearly full; the metrics have all of it.
const AGAIN: Duration = Duration::from_mins(1);

/// All depths of a node, as they have been.
#[derive(Default)]
pub struct Judge {
    all: BTreeMap<Of, Known>,
}

/// What is known of one.
struct Known {
    growths: [Growth; 2],
    near: bool,
    /// When the log said last that it is nearly full.
    said: Option<Duration>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            growths: [Growth::new(Rule::FAST), Growth::new(Rule::SLOW)],
            near: false,
            said: None,
        }
    }
}

/// A word for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is nearly full.
    Near(Depth),
    /// It only grows.
    Grows(Depth, Turned),
    /// It grows no longer.
    Rests(Depth),
}

impl Judge {
    /// What a look changed; at most two words for each depth.
    pub fn look(&mut self, now: Duration, depths: &[Depth]) -> Vec<Word> {
        let mut words = Vec::new();
        for depth in depths {
            let known = self.all.entry(depth.of).or_default();
            words.extend(known.fills(now, *depth));
            words.extend(known.leaks(now, *depth));
        }
        words
    }

    /// Whether it only grows.
    pub fn grows(&self, of: Of) -> bool {
        self.all.get(&of).is_some_and(Known::grows)
    }

    /// What a person should look at, of what was just read.
    pub fn notes(&self, depths: &[Depth]) -> Vec<String> {
        let known = depths.iter().filter_map(|depth| {
            let known = self.all.get(&depth.of)?;
            Some((known, depth))
        });
        let mut notes = Vec::new();
        for (known, depth) in known {
            if known.near {
                notes.push(format!("{} is nearly full: {depth}", depth.of.row().word));
            }
            if known.grows() {
                notes.push(format!("{} only grows: {depth}", depth.of.row().word));
            }
        }
        notes
    }
}

impl Known {
    fn grows(&self) -> bool {
        self.growths.iter().any(Growth::grows)
    }

    fn fills(&mut self, now: Duration, depth: Depth) -> Option<Word> {
        if !depth.of.row().sort.fills() {
            return None;
        }
        let share = share(depth);
        self.near = share >= NEAR || (self.near && share >= FAR);
        let due = self.said.is_none_or(|said| now >= said + AGAIN);
        if share < NEAR || !due {
            return None;
        }
        self.said = Some(now);
        Some(Word::Near(depth))
    }

    fn leaks(&mut self, now: Duration, depth: Depth) -> Option<Word> {
        if !depth.of.row().sort.leaks() {
            return None;
        }
        let (before, count) = (self.grows(), u64::try_from(depth.depth).unwrap_or(u64::MAX));
        let turned = self
            .growths
            .each_mut()
            .map(|growth| growth.look(now, count));
        let began = turned.into_iter().flatten();
        let began = began.into_iter().find(|turned| *turned != Turned::Ended);
        match (before, self.grows(), began) {
            (false, true, Some(turned)) => Some(Word::Grows(depth, turned)),
            (true, false, _) => Some(Word::Rests(depth)),
            (_, true, _) | (false, false, _) => None,
        }
    }
}

/// How full it is; nothing is where it has no bound.
#[expect(clippy::cast_precision_loss, reason = "depths stay far below 2^53")]
fn share(depth: Depth) -> f64 {
    match depth.bound {
        Some(bound) => depth.depth as f64 / bound.max(1) as f64,
        None => 0.0,
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.of.row().what;
        match self.bound {
            Some(bound) => write!(f, "{} of {bound} {what}", self.depth),
            None => write!(f, "{} {what}", self.depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(of: Of, depth: usize, bound: Option<usize>) -> Depth {
        Depth { of, depth, bound }
    }

    #[test]
    fn what_is_nearly_full_is_told_at_most_once_a_minute_and_noted_until_it_is_well_below() {
        let mut judge = Judge::default();
        let looks = [
            (79, false, false),
            (80, true, true),
            (90, false, true),
            (61, false, true),
            (59, false, false),
            (100, false, true),
        ];
        for (nth, (depth, word, note)) in looks.into_iter().enumerate() {
            let depths = [of(Of::Submits, depth, Some(100))];
            let words = judge.look(LOOK * u32::try_from(nth).unwrap(), &depths);
            assert_eq!(!words.is_empty(), word, "at {depth}");
            assert_eq!(!judge.notes(&depths).is_empty(), note, "at {depth}");
        }
        let depths = [of(Of::Submits, 100, Some(100))];
        let words = judge.look(Duration::from_mins(2), &depths);
        assert_eq!(words, [Word::Near(depths[0])]);
        assert_eq!(
            judge.notes(&depths),
            ["submits is nearly full: 100 of 100 single submits that wait for their commit"]
        );
    }

    #[test]
    fn what_is_meant_to_be_full_or_has_no_bound_is_not_told_of() {
        let mut judge = Judge::default();
        let depths = [
            of(Of::Runs, 8, Some(8)),
            of(Of::RuntimeTasks, 1_000_000, None),
        ];
        assert_eq!(judge.look(Duration::ZERO, &depths), []);
        assert!(judge.notes(&depths).is_empty());
    }

    #[test]
    fn a_leak_is_told_when_it_is_seen_and_when_it_is_over() {
        let mut judge = Judge::default();
        let (mut words, mut tasks) = (Vec::new(), 100);
        let looks = |mins: u64| (0..mins * 12).map(|nth| Duration::from_secs(nth * 5));
        for now in looks(45) {
            // One is lost each 10 s.
            tasks += usize::from(now.as_secs().is_multiple_of(10));
            let depths = [
                of(Of::RuntimeTasks, tasks, None),
                of(Of::Submits, tasks, Some(1_000_000)),
            ];
            words.extend(judge.look(now, &depths));
        }
        let [Word::Grows(depth, Turned::Grows { over, .. })] = words[..] else {
            panic!("{words:?}");
        };
        assert_eq!(depth.of, Of::RuntimeTasks, "a queue is no leak");
        assert_eq!(over, Duration::from_mins(30));
        assert!(judge.grows(Of::RuntimeTasks) && !judge.grows(Of::Submits));

        let depths = [of(Of::RuntimeTasks, 120, None)];
        let words: Vec<_> = looks(15)
            .flat_map(|now| judge.look(Duration::from_mins(45) + now, &depths))
            .collect();
        assert_eq!(words, [Word::Rests(depths[0])]);
        assert!(judge.notes(&depths).is_empty());
    }
}
