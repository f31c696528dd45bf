//! The report of the limits test, for a person: the figures, the checks and the verdict. It decides only what they come to
//! together.

use crate::verdict::Ending;
use std::fmt::Write as _;
use std::path::Path;
use tenure_chaos::check::figures::{Figures, Gap};
use tenure_chaos::check::{Judgement, Overall};
use tenure_chaos::history::{Entry, History};

/// All that is told of.
pub(super) struct Report<'a> {
    pub(super) history: &'a History,
    pub(super) judgement: &'a Judgement,
    pub(super) figures: &'a Figures,
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
        let failed = self.judgement.overall == Overall::Fail;
        let vacuous = self.judgement.overall == Overall::NotExercised;
        Ok(if failed || !self.figures.violations().is_empty() {
            Ending::Violated
        } else if vacuous || !self.figures.unproved().is_empty() {
            Ending::NotExercised
        } else {
            Ending::Pass
        })
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
        self.write_held(text)?;
        self.write_pace(text)?;
        writeln!(text)?;
        write!(text, "{}", self.judgement)?;
        writeln!(text)?;
        let records = self.history.records();
        let events = records
            .iter()
            .filter(|one| matches!(one.entry, Entry::Store(_)));
        let (events, path) = (events.count(), self.path.display());
        writeln!(text, "history         {events} events of etcd's, in {path}")?;
        writeln!(text, "judged again by tenure-chaos check {path}")?;
        writeln!(text, "and measured by tenure-chaos limits --saved {path}")?;
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
            let at_ms = kill.at_ms;
            writeln!(
                text,
                "killed -9       {}, {leads}, at {at_ms} ms",
                kill.node
            )?;
        }
        for Gap {
            before,
            from_ms,
            next,
        } in &self.figures.gaps
        {
            match next {
                Some((node, at_ms)) => {
                    let gap_ms = at_ms.saturating_sub(*from_ms);
                    writeln!(
                        text,
                        "nobody led      {gap_ms} ms after {before}, then {node}"
                    )?;
                }
                None => writeln!(text, "nobody led      after {before}")?,
            }
        }
        Ok(())
    }

    fn write_held(&self, text: &mut String) -> std::fmt::Result {
        for one in &self.figures.semaphores {
            let (name, limit, most, left, grants) =
                (&one.name, one.limit, one.most, one.left, one.grants);
            writeln!(
                text,
                "semaphore       {name}: {most} of {limit} held at most at any revision, {left} in the end; {grants} grants"
            )?;
        }
        let locks = &self.figures.locks;
        writeln!(
            text,
            "locks           {}: {} holds, {} at most at once, {} tokens that did not rise, {} held in the end",
            locks.names, locks.holds, locks.most, locks.fallen, locks.left
        )?;
        let outside = &self.figures.outside;
        writeln!(
            text,
            "outside         {} held, {} released, {} left to expire and gone after {} ms at most, {} there in the end",
            outside.held, outside.released, outside.expired, outside.expired_ms, outside.left
        )
    }

    fn write_pace(&self, text: &mut String) -> std::fmt::Result {
        let shares = &self.figures.shares;
        let [(first, _), (second, _)] = &shares.queues;
        writeln!(
            text,
            "shares          {} starts of {first} and {} of {second} while both had a backlog: {:.3} to 1, set {:.0} to 1",
            shares.starts[0],
            shares.starts[1],
            shares.ratio(),
            shares.expected()
        )?;
        let pace = &self.figures.pace;
        writeln!(
            text,
            "rate            {}: {:.2} starts a second over {} ms in which somebody led, set {}; {:.1} ahead of it at most, {} in one second at most",
            pace.queue,
            pace.per_second(),
            pace.led_ms,
            pace.rate,
            pace.ahead,
            pace.most_in_a_second
        )
    }

    fn write_verdict(&self, text: &mut String) -> std::fmt::Result {
        let violations = self.figures.violations();
        for violation in &violations {
            writeln!(text, "violation       {violation}")?;
        }
        let unproved = self.figures.unproved();
        for what in &unproved {
            writeln!(text, "not exercised   {what}")?;
        }
        let said = match self.ending() {
            Err(error) => format!("UNKNOWN: {error}"),
            Ok(Ending::Violated) => "FAIL: see the violations above".to_owned(),
            Ok(Ending::NotExercised) => "NOT EXERCISED: not all was put to the test".to_owned(),
            Ok(Ending::Pass) => {
                "PASS: limits held at every revision, locks excluded, shares and rate as set"
                    .to_owned()
            }
        };
        writeln!(text, "verdict         {said}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_chaos::check::figures::{Scene, figures};
    use tenure_chaos::check::{Limits, judge};
    use tenure_chaos::history::Marker;

    /// What a report on this history says last, and how it ends.
    fn told(history: &History) -> (String, Option<Ending>) {
        let scene = Scene {
            shares: [("a".to_owned(), 3), ("b".to_owned(), 1)],
            rated: ("c".to_owned(), 50),
        };
        let report = Report {
            history,
            judgement: &judge(history),
            figures: &figures(history, &scene).unwrap(),
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
