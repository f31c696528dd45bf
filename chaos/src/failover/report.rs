//! The report of the failover test, for a person: a table of what each show costs, then what was broken, then the verdict. Pure.

use super::record::Line;
use crate::verdict::Ending;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tenure_chaos::check::shows::Shown;
use tenure_chaos::history::Show;

/// 40 broken promises are told; all are counted, and in the record.
const TOLD_MAX: usize = 40;

/// All that is told of.
pub(super) struct Report<'a> {
    pub(super) lines: &'a [Line],
    /// What could not be tried, and why.
    pub(super) skipped: &'a BTreeMap<Show, String>,
}

impl Report<'_> {
    /// What it comes to.
    ///
    /// # Errors
    /// The log of a chapter has a gap, so that nothing can be said of it.
    pub(super) fn ending(&self) -> anyhow::Result<Ending> {
        if let Some(gap) = self.gaps().next() {
            anyhow::bail!("nothing can be judged: {gap}");
        }
        let vacuous = self.shown().any(|shown| shown.nothing.is_some());
        Ok(if !self.broken().is_empty() {
            Ending::Violated
        } else if vacuous || self.shown().next().is_none() {
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

    fn shown(&self) -> impl Iterator<Item = &Shown> {
        self.lines.iter().filter_map(|line| match line {
            Line::Trial { shown, .. } => Some(shown),
            Line::Chapter { .. } => None,
        })
    }

    fn gaps(&self) -> impl Iterator<Item = String> {
        self.lines.iter().filter_map(|line| match line {
            Line::Chapter { chapter, gap, .. } => {
                let gap = gap.as_ref()?;
                Some(format!("chapter {chapter}: {gap}"))
            }
            Line::Trial { .. } => None,
        })
    }

    /// Every promise that was broken, in words.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for line in self.lines {
            match line {
                Line::Trial { chapter, shown } => {
                    let (show, number) = (shown.trial.show, shown.trial.number);
                    let on = shown.trial.target.as_deref().unwrap_or("all");
                    let at_ms = shown.at_ms;
                    let told = shown.failures.iter().map(|what| {
                        format!("{show} {number} ({on}, chapter {chapter} at {at_ms} ms): {what}")
                    });
                    broken.extend(told);
                }
                Line::Chapter {
                    chapter, failures, ..
                } => {
                    let told = failures
                        .iter()
                        .map(|what| format!("chapter {chapter}: {what}"));
                    broken.extend(told);
                }
            }
        }
        broken
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "{:<13} {:<15} {:>4} {:>7} {:>7} {:>7} {:>7} {:>7}  besides, at most",
            "show", "measured", "n", "p50", "p99", "max", "aim", "broken"
        )?;
        for show in Show::ALL {
            let own: Vec<&Shown> = self.shown().filter(|one| one.trial.show == show).collect();
            if let Some(why) = self.skipped.get(&show) {
                writeln!(text, "{:<13} skipped: {why}", show.name())?;
            }
            if !own.is_empty() {
                row(text, show, &own)?;
            }
        }
        for shown in self.shown().filter(|shown| shown.nothing.is_some()) {
            let (show, number) = (shown.trial.show, shown.trial.number);
            let why = shown.nothing.as_deref().unwrap_or_default();
            writeln!(text, "not exercised   {show} {number}: {why}")?;
        }
        for gap in self.gaps() {
            writeln!(text, "not whole       {gap}")?;
        }
        let broken = self.broken();
        for what in broken.iter().take(TOLD_MAX) {
            writeln!(text, "broken          {what}")?;
        }
        if broken.len() > TOLD_MAX {
            writeln!(text, "                and {} more", broken.len() - TOLD_MAX)?;
        }
        let said = match self.ending() {
            Err(error) => format!("UNKNOWN: {error}"),
            Ok(Ending::Violated) => format!("FAIL: {} promises broken", broken.len()),
            Ok(Ending::NotExercised) => "NOT EXERCISED: not all was put to the test".to_owned(),
            Ok(Ending::Pass) => "PASS: no promise broken".to_owned(),
        };
        writeln!(text, "verdict         {said}")
    }
}

fn row(text: &mut String, show: Show, own: &[&Shown]) -> std::fmt::Result {
    let measure = show.measure();
    let values = own.iter().filter_map(|one| one.figures.get(measure.figure));
    let mut values: Vec<u64> = values.copied().collect();
    values.sort_unstable();
    let failed = own.iter().filter(|one| !one.failures.is_empty()).count();
    let aim = measure.aim.map_or("-".to_owned(), |aim| aim.to_string());
    let at = |percent| rank(&values, percent).map_or("-".to_owned(), |value| value.to_string());
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, value) in own.iter().flat_map(|one| &one.figures) {
        let most = most.entry(name).or_default();
        *most = (*value).max(*most);
    }
    most.remove(measure.figure);
    let besides: Vec<String> = most
        .iter()
        .filter(|(_, value)| **value > 0)
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    writeln!(
        text,
        "{:<13} {:<15} {:>4} {:>7} {:>7} {:>7} {aim:>7} {failed:>7}  {}",
        show.name(),
        measure.figure,
        own.len(),
        at(50),
        at(99),
        at(100),
        besides.join(", ")
    )
}

/// The nearest rank: the smallest of these, in order, that so many of a hundred do not exceed.
fn rank(values: &[u64], percent: usize) -> Option<u64> {
    let nth = (values.len() * percent).div_ceil(100).max(1) - 1;
    values.get(nth).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_chaos::history::Trial;

    fn line(number: u64, waited_ms: Option<u64>, failures: &[&str]) -> Line {
        let figures = waited_ms.map(|ms| ("assigned_ms".to_owned(), ms));
        let shown = Shown {
            trial: Trial {
                number,
                show: Show::LeaderKill,
                target: Some("n1".to_owned()),
            },
            at_ms: 5,
            figures: figures.into_iter().collect(),
            failures: failures.iter().map(|what| (*what).to_owned()).collect(),
            nothing: waited_ms.is_none().then(|| "nobody led".to_owned()),
        };
        Line::Trial { chapter: 1, shown }
    }

    fn chapter(failures: &[&str], gap: Option<&str>) -> Line {
        Line::Chapter {
            chapter: 1,
            failures: failures.iter().map(|what| (*what).to_owned()).collect(),
            gap: gap.map(str::to_owned),
            history: "h".into(),
        }
    }

    fn told(lines: &[Line]) -> (String, Option<Ending>) {
        let skipped = BTreeMap::from([(Show::LinkCut, "no links between nodes".to_owned())]);
        let report = Report {
            lines,
            skipped: &skipped,
        };
        (report.text(), report.ending().ok())
    }

    #[test]
    fn a_slow_trial_is_in_the_table_and_breaks_nothing() {
        let lines: Vec<Line> = (1..=100)
            .map(|n| line(n, Some(n * 10), &[]))
            .chain([chapter(&[], None)])
            .collect();

        let (text, ending) = told(&lines);

        assert_eq!(ending, Some(Ending::Pass), "{text}");
        let row = text.lines().nth(1).unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            words[..7],
            [
                "leader-kill",
                "assigned_ms",
                "100",
                "500",
                "990",
                "1000",
                "500"
            ]
        );
        assert!(text.contains("link-cut      skipped: no links"), "{text}");
    }

    #[test]
    fn one_broken_promise_fails_all_and_one_that_shows_nothing_proves_nothing() {
        let good = line(1, Some(9), &[]);
        let rows = [
            (
                line(2, Some(9), &["two had it"]),
                Some(Ending::Violated),
                "two had it",
            ),
            (
                line(2, None, &[]),
                Some(Ending::NotExercised),
                "leader-kill 2: nobody led",
            ),
            (
                chapter(&["heals: left"], None),
                Some(Ending::Violated),
                "heals: left",
            ),
            (chapter(&[], Some("missed some")), None, "UNKNOWN"),
        ];
        for (other, expected, words) in rows {
            let (text, ending) = told(&[good.clone(), other]);
            assert_eq!(ending, expected, "{text}");
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(told(&[]).1, Some(Ending::NotExercised));
    }

    #[test]
    fn ranks_are_values_that_were_measured() {
        assert_eq!(rank(&[], 50), None);
        assert_eq!(rank(&[7], 99), Some(7));
        assert_eq!(
            [50, 99, 100].map(|of| rank(&[1, 2, 3], of)),
            [Some(2), Some(3), Some(3)]
        );
    }
}
