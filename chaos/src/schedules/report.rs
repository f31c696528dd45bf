//! The report of the schedules test, for a person: kills, what became of due times, how late, the checks and the verdict.

use super::scene;
use crate::verdict::Ending;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use tenure_chaos::check::figures::{Gap, Schedules};
use tenure_chaos::check::{Judgement, Overall};
use tenure_chaos::history::{Entry, History};

/// 2 kills of a leader at least.
const KILLS_MIN: usize = 2;
/// What has to have happened to some due times.
const WORDS: [&str; 6] = [
    "fired",
    "caught up",
    "skipped: overlap",
    "skipped: misfire",
    "skipped: window",
    "skipped: deadline",
];

/// All that is told of.
pub(super) struct Report<'a> {
    pub(super) history: &'a History,
    pub(super) judgement: &'a Judgement,
    pub(super) figures: &'a Schedules,
    /// Where the history is.
    pub(super) path: &'a Path,
    /// The command that runs it again; none where nothing was run.
    pub(super) again: Option<&'a str>,
}

impl Report<'_> {
    /// What checks and figures come to.
    ///
    /// # Errors
    /// The log has a gap, so that nothing can be said.
    pub(super) fn ending(&self) -> anyhow::Result<Ending> {
        if let Some(gap) = &self.judgement.gap {
            anyhow::bail!("nothing can be judged: {gap}");
        }
        Ok(match self.judgement.overall {
            Overall::Fail => Ending::Violated,
            Overall::Pass if self.unproved().is_empty() => Ending::Pass,
            Overall::Pass | Overall::NotExercised | Overall::Unknown => Ending::NotExercised,
        })
    }

    /// What this history does not show, each in words.
    fn unproved(&self) -> Vec<String> {
        let sums = self.figures.occurrences.sums();
        let missing = WORDS.iter().filter(|word| !sums.contains_key(**word));
        let mut unproved: Vec<String> = missing
            .map(|word| format!("no due time was {word}"))
            .collect();
        if self.figures.kills.iter().filter(|kill| kill.led).count() < KILLS_MIN {
            unproved.push("too few leaders were killed".to_owned());
        }
        unproved
    }

    /// The whole report, lines with their ends.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            .expect("writing to a string does not fail");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        self.write_kills(text)?;
        self.write_told(text)?;
        writeln!(text)?;
        write!(text, "{}", self.judgement)?;
        writeln!(text)?;
        let records = self.history.records();
        let events = records
            .iter()
            .filter(|one| matches!(one.entry, Entry::Store(_)));
        let (events, path) = (events.count(), self.path.display());
        writeln!(text, "history         {events} events of etcd's, in {path}")?;
        writeln!(
            text,
            "judged again by tenure-chaos schedules --saved {path}"
        )?;
        if let Some(again) = self.again {
            writeln!(text, "run again by    {again}")?;
        }
        self.write_verdict(text)
    }

    fn write_kills(&self, text: &mut String) -> std::fmt::Result {
        for kill in &self.figures.kills {
            let leads = if kill.led {
                "the leader"
            } else {
                "not leading"
            };
            let (node, at_ms) = (&kill.node, kill.at_ms);
            writeln!(text, "killed -9       {node}, {leads}, at {at_ms} ms")?;
        }
        for Gap {
            before,
            from_ms,
            next,
        } in &self.figures.gaps
        {
            if let Some((node, at_ms)) = next {
                let gap_ms = at_ms.saturating_sub(*from_ms);
                writeln!(
                    text,
                    "nobody led      {gap_ms} ms after {before}, then {node}"
                )?;
            }
        }
        Ok(())
    }

    /// Schedules whose names differ in a number only are told together.
    fn write_told(&self, text: &mut String) -> std::fmt::Result {
        let mut groups: BTreeMap<&str, (u64, BTreeMap<&str, u64>)> = BTreeMap::new();
        for (name, told) in &self.figures.occurrences.told {
            let group = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let (schedules, words) = groups.entry(group).or_default();
            *schedules += 1;
            for (word, times) in told {
                *words.entry(word).or_default() += times;
            }
        }
        for (group, (schedules, words)) in groups {
            let words: Vec<String> = words
                .iter()
                .map(|(word, times)| format!("{word} {times}"))
                .collect();
            let group = group.trim_end_matches('-');
            writeln!(text, "{group:<30} {schedules:>4}  {}", words.join(", "))?;
        }
        for (group, when) in [
            (scene::OFTEN, "while leaders were killed"),
            (scene::MISSED, "around the time without a node"),
        ] {
            if let Some(late) = self.figures.occurrences.lateness(group) {
                writeln!(
                    text,
                    "lateness        p50 {} ms, p99 {} ms, max {} ms of {} fired {when}, less those missed",
                    late.p50_ms, late.p99_ms, late.max_ms, late.times
                )?;
            }
        }
        Ok(())
    }

    fn write_verdict(&self, text: &mut String) -> std::fmt::Result {
        for what in self.unproved() {
            writeln!(text, "not exercised   {what}")?;
        }
        let said = match self.ending() {
            Err(error) => format!("UNKNOWN: {error}"),
            Ok(Ending::Violated) => "FAIL: see the violations above".to_owned(),
            Ok(Ending::NotExercised) => "NOT EXERCISED: not all was put to the test".to_owned(),
            Ok(Ending::Pass) => {
                "PASS: each due time was fired once, in its time, or is on record with a reason that is true"
                    .to_owned()
            }
        };
        writeln!(text, "verdict         {said}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_chaos::check::{Limits, figures, judge};
    use tenure_chaos::history::Marker;

    /// What a report on this history says last, and how it ends.
    fn told(history: &History) -> (String, Option<Ending>) {
        let report = Report {
            history,
            judgement: &judge(history),
            figures: &figures::schedules(history).unwrap(),
            path: Path::new("history.jsonl"),
            again: None,
        };
        let last = report.text().lines().last().unwrap().to_owned();
        (last, report.ending().ok())
    }

    #[test]
    fn a_log_without_its_end_proves_nothing_and_neither_does_one_in_which_nothing_happens() {
        let mut history = History::new("/t/", Limits::default());
        let (last, ending) = told(&history);
        assert!(last.contains("UNKNOWN") && ending.is_none(), "{last}");

        history.push(1, Marker::Sealed { revision: 1 });
        let (last, ending) = told(&history);
        assert!(last.contains("NOT EXERCISED"), "{last}");
        assert_eq!(ending, Some(Ending::NotExercised));
    }
}
