//! The report: what the demo saw, for a person. It computes waits from the notes and decides nothing.

use crate::http::{Attempt, Reign, Task};
use crate::killer::{Kill, Succession, Victim};
use crate::verdict::{Asked, Ending, Verdict};
use crate::witness::Note;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

/// Violations that are printed one by one; the rest are counted.
const PRINTED: usize = 20;

/// All that is told of.
pub(crate) struct Report<'a> {
    pub(crate) asked: &'a [Asked],
    pub(crate) bytes: u64,
    pub(crate) notes: &'a [Note],
    pub(crate) tasks: &'a BTreeMap<String, Task>,
    pub(crate) kills: &'a [Kill],
    /// What was seen from outside after the leader was killed.
    pub(crate) succession: Option<&'a Succession>,
    pub(crate) history: &'a [Reign],
    pub(crate) verdict: &'a Verdict,
    pub(crate) ending: Ending,
    /// From the first submit to the last file done.
    pub(crate) took: Duration,
}

impl Report<'_> {
    /// The whole report, lines with their ends.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            .expect("writing to a string does not fail");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let verdict = self.verdict;
        let took = self.took.as_secs_f64();
        writeln!(
            text,
            "files           {}, {} MiB, in {took:.1} s",
            self.asked.len(),
            self.bytes >> 20
        )?;
        writeln!(
            text,
            "runs            {} by the witness, {} of them repeats",
            verdict.starts, verdict.repeats
        )?;
        for kill in self.kills {
            self.write_kill(text, kill)?;
        }
        let mut waits = self.waits();
        waits.sort_unstable_by_key(|(_, wait_us)| *wait_us);
        writeln!(
            text,
            "reclaimed       {} tasks with an attempt on record as lost",
            verdict.reclaimed.len()
        )?;
        if let (Some((_, least)), Some((_, most))) = (waits.first(), waits.last()) {
            let median = waits[waits.len() / 2].1;
            writeln!(
                text,
                "they waited     {} ms at least, {} ms median, {} ms at most, from the kill to the next start",
                least / 1000,
                median / 1000,
                most / 1000
            )?;
        }
        self.write_example(text, &waits)?;
        self.write_verdict(text)
    }

    fn write_kill(&self, text: &mut String, kill: &Kill) -> std::fmt::Result {
        let role = match kill.victim {
            Victim::Leader => "the leader",
            Victim::Follower => "not leading",
        };
        let (node, busy, running) = (&kill.node, kill.busy, kill.running);
        writeln!(
            text,
            "killed -9       {node}, {role}, {busy} slots busy, {running} runs in hand by the witness"
        )?;
        if kill.victim == Victim::Follower {
            return Ok(());
        }
        match self.succession {
            Some(Succession { node, after }) => {
                let after = after.as_millis();
                write!(
                    text,
                    "nobody led      {after} ms seen from outside, then {node}"
                )?;
            }
            None => write!(text, "nobody led      from then on")?,
        }
        let ended = |reign: &&Reign| reign.node == *node && reign.ended_by.is_some();
        let reign = self
            .history
            .iter()
            .filter(ended)
            .max_by_key(|reign| reign.term);
        match reign {
            Some(Reign {
                ended_by: Some(why),
                leaderless_ms: Some(leaderless_ms),
                ..
            }) => {
                writeln!(text, "; the history says {leaderless_ms:.0} ms, {why}")
            }
            Some(Reign {
                ended_by: Some(why),
                ..
            }) => writeln!(text, "; the history says {why}"),
            Some(_) | None => writeln!(text, "; the history says nothing"),
        }
    }

    /// For each reclaimed task that ran again: from the kill of the node that lost it to the next start, in µs.
    fn waits(&self) -> Vec<(&str, u64)> {
        let killed: HashMap<&str, u64> = self
            .kills
            .iter()
            .map(|kill| (kill.node.as_str(), kill.at_us))
            .collect();
        let mut starts: HashMap<&str, Vec<(i64, u64)>> = HashMap::new();
        for note in self.notes {
            match note {
                Note::Started { run, at_us, .. } => starts
                    .entry(&run.task)
                    .or_default()
                    .push((run.fence, *at_us)),
                Note::Ended { .. } | Note::Acted { .. } => {}
            }
        }
        let wait = |task: &str, lost: &Attempt| {
            let kill_us = killed.get(lost.node.as_deref()?)?;
            let next = starts
                .get(task)?
                .iter()
                .filter(|(fence, _)| *fence > lost.fence)
                .min()?;
            next.1.checked_sub(*kill_us)
        };
        let mut waits = Vec::new();
        for (id, task) in self.tasks {
            let lost = task.attempts.iter().filter(|attempt| attempt.is_lost());
            waits.extend(lost.filter_map(|lost| Some((id.as_str(), wait(id, lost)?))));
        }
        waits
    }

    /// One reclaimed task in full; one that had started before its node died, where there is such a one.
    fn write_example(&self, text: &mut String, waits: &[(&str, u64)]) -> std::fmt::Result {
        let started_twice = |id: &&String| {
            let of = |note: &&Note| matches!(note, Note::Started { run, .. } if run.task == **id);
            self.notes.iter().filter(of).count() > 1
        };
        let reclaimed = &self.verdict.reclaimed;
        let Some(id) = reclaimed.iter().find(started_twice).or(reclaimed.first()) else {
            return Ok(());
        };
        let path = self
            .asked
            .iter()
            .find(|one| one.id == *id)
            .map_or("", |one| one.path.as_str());
        writeln!(text, "for example     {id}  {path}")?;
        for attempt in self.tasks.get(id).map_or(&[][..], |task| &task.attempts) {
            let node = attempt.node.as_deref().unwrap_or("?");
            let outcome = attempt.outcome.as_deref().unwrap_or("none");
            writeln!(
                text,
                "                attempt {} on {node}, fence {}: {outcome}",
                attempt.number, attempt.fence
            )?;
        }
        match waits.iter().find(|(task, _)| task == id) {
            Some((_, wait_us)) => writeln!(text, "                waited {} ms", wait_us / 1000),
            None => Ok(()),
        }
    }

    fn write_verdict(&self, text: &mut String) -> std::fmt::Result {
        let violations = &self.verdict.violations;
        for violation in violations.iter().take(PRINTED) {
            writeln!(text, "violation       {violation}")?;
        }
        if violations.len() > PRINTED {
            writeln!(
                text,
                "                and {} more",
                violations.len() - PRINTED
            )?;
        }
        let said = match self.ending {
            Ending::Violated => format!("FAIL: {} violations", violations.len()),
            Ending::NotExercised => {
                "NOT EXERCISED: a kill found no work or took none with it; try more files"
                    .to_owned()
            }
            Ending::Pass => {
                "PASS: one committed outcome per file, each equal to sha256sum run directly"
                    .to_owned()
            }
        };
        writeln!(text, "verdict         {said}")
    }
}
