//! What came of the crash test: each acknowledged task is there, ended once, and is told the same after another crash. Pure.

use super::Kill;
use crate::http::Task;
use crate::verdict::Ending;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// Violations that are printed; the rest is counted.
const SHOWN: usize = 20;

/// The judgement.
#[derive(Debug)]
pub(crate) struct Verdict {
    acknowledged: usize,
    ended_once: usize,
    violations: Vec<String>,
    unexercised: Vec<String>,
}

/// Judges. `ids` by the key that they were submitted under, `tasks` as they were read before and after the last crash, `known` as
/// many as the queue has in all.
pub(crate) fn judge(
    wanted: usize,
    kills: &[Kill],
    ids: &BTreeMap<String, Vec<String>>,
    tasks: [&BTreeMap<String, Task>; 2],
    known: usize,
) -> Verdict {
    let mut verdict = Verdict {
        acknowledged: 0,
        ended_once: 0,
        violations: Vec::new(),
        unexercised: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for (key, id) in ids
        .iter()
        .flat_map(|(key, ids)| ids.iter().map(move |id| (key, id)))
    {
        verdict.acknowledged += 1;
        if !seen.insert(id) {
            verdict
                .violations
                .push(format!("{id} was given twice, at last for key {key}"));
        }
        let [before, after] = tasks.map(|tasks| tasks.get(id));
        match wrong(before)
            .or_else(|| wrong(after))
            .or_else(|| changed(before, after))
        {
            Some(problem) => verdict
                .violations
                .push(format!("{id} (key {key}) {problem}")),
            None => verdict.ended_once += 1,
        }
    }
    if known != seen.len() {
        let given = seen.len();
        let problem = format!("the queue has {known} tasks, {given} were acknowledged");
        verdict.violations.push(problem);
    }
    for (number, kill) in (1..).zip(kills) {
        if kill.in_flight == 0 {
            verdict
                .unexercised
                .push(format!("kill {number} met no submit"));
        }
    }
    if verdict.acknowledged < wanted {
        let few = format!(
            "{} of {wanted} tasks were acknowledged",
            verdict.acknowledged
        );
        verdict.unexercised.push(few);
    }
    verdict
}

/// What is wrong with a task by itself.
fn wrong(task: Option<&Task>) -> Option<String> {
    let Some(task) = task else {
        return Some("is lost".to_owned());
    };
    let committed = task.attempts.iter().filter(|a| a.is_committed()).count();
    match (task.state.as_str(), committed) {
        ("succeeded", 1) => None,
        (state, committed) => Some(format!("is {state} with {committed} committed outcomes")),
    }
}

/// What is told of a task now and was not before.
fn changed(before: Option<&Task>, after: Option<&Task>) -> Option<String> {
    let told = |task: Option<&Task>| -> Vec<(u32, i64, Option<String>)> {
        let attempts = task.into_iter().flat_map(|task| &task.attempts);
        attempts
            .map(|a| (a.number, a.fence, a.outcome.clone()))
            .collect()
    };
    let (before, after) = (told(before), told(after));
    (before != after).then(|| format!("had the attempts {before:?}, has {after:?}"))
}

impl Verdict {
    pub(crate) fn ending(&self) -> Ending {
        match (self.violations.is_empty(), self.unexercised.is_empty()) {
            (false, _) => Ending::Violated,
            (true, false) => Ending::NotExercised,
            (true, true) => Ending::Pass,
        }
    }

    pub(crate) fn text(&self, kills: &[Kill], took: Duration) -> String {
        let in_flight = kills.iter().map(|kill| kill.in_flight);
        let (least, most) = (in_flight.clone().min(), in_flight.max());
        let at_first = kills.first().map_or(0, |kill| kill.acknowledged);
        let away = kills.iter().map(|kill| kill.away).max().unwrap_or_default();
        let mut text = format!(
            "\n{} kills with -9 while submits were in flight ({} to {} of them), the first after {at_first} tasks\n\
             ready again after {away:.1?} at most\n\
             {} tasks acknowledged, {} of them are there and ended once; {:.0?} in all\n",
            kills.len(),
            least.unwrap_or(0),
            most.unwrap_or(0),
            self.acknowledged,
            self.ended_once,
            took,
        );
        for line in self.violations.iter().take(SHOWN) {
            let _ = writeln!(text, "VIOLATED: {line}");
        }
        if self.violations.len() > SHOWN {
            let _ = writeln!(text, "… {} violations in all", self.violations.len());
        }
        for line in &self.unexercised {
            let _ = writeln!(text, "NOT PUT TO THE TEST: {line}");
        }
        let word = match self.ending() {
            Ending::Pass => "PASS",
            Ending::Violated => "FAIL",
            Ending::NotExercised => "NOTHING PROVED",
        };
        text + word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task(id: &str, outcomes: &[&str]) -> Task {
        let attempt = |(number, outcome): (u32, &&str)| json!({"number": number, "fence": number + 6, "node": "n1", "outcome": outcome});
        let attempts: Vec<_> = (1..).zip(outcomes).map(attempt).collect();
        let value = json!({"id": id, "state": "succeeded", "attempts": attempts});
        serde_json::from_value(value).unwrap()
    }

    fn kill(in_flight: usize) -> Kill {
        Kill {
            in_flight,
            acknowledged: 1,
            away: Duration::ZERO,
        }
    }

    /// Two acknowledged tasks, both well.
    fn world() -> (BTreeMap<String, Vec<String>>, BTreeMap<String, Task>) {
        let ids = BTreeMap::from([
            ("k".to_owned(), vec!["a".to_owned()]),
            ("l".to_owned(), vec!["b".to_owned()]),
        ]);
        let tasks = [("a", &["succeeded"][..]), ("b", &["lost", "succeeded"])];
        let tasks = tasks.map(|(id, outcomes)| (id.to_owned(), task(id, outcomes)));
        (ids, BTreeMap::from(tasks))
    }

    #[test]
    fn what_is_there_and_ended_once_passes() {
        let (ids, tasks) = world();
        let verdict = judge(2, &[kill(3)], &ids, [&tasks, &tasks], 2);
        assert_eq!(verdict.ending(), Ending::Pass, "{verdict:?}");
        assert_eq!(verdict.ended_once, 2);
    }

    #[test]
    fn each_way_to_break_it_is_named() {
        let (ids, tasks) = world();
        let with = |id: &str, outcomes: &[&str]| {
            let mut tasks = tasks.clone();
            tasks.insert(id.to_owned(), task(id, outcomes));
            tasks
        };
        let mut lost = tasks.clone();
        lost.remove("a");
        let double = BTreeMap::from([
            ("k".to_owned(), vec!["a".to_owned()]),
            ("l".to_owned(), vec!["a".to_owned()]),
        ]);
        let twice = with("a", &["succeeded", "succeeded"]);
        let never = with("a", &["lost"]);
        let other = with("a", &["lost", "succeeded"]);
        let table = [
            (&ids, [&tasks, &lost], 2, "a (key k) is lost"),
            (&ids, [&twice, &twice], 2, "with 2 committed outcomes"),
            (&ids, [&never, &never], 2, "with 0 committed outcomes"),
            (&ids, [&tasks, &other], 2, "had the attempts"),
            (
                &ids,
                [&tasks, &tasks],
                3,
                "the queue has 3 tasks, 2 were acknowledged",
            ),
            (&double, [&tasks, &tasks], 1, "a was given twice"),
        ];
        for (ids, tasks, known, named) in table {
            let verdict = judge(2, &[kill(3)], ids, tasks, known);
            assert_eq!(verdict.ending(), Ending::Violated, "{named}");
            let text = verdict.text(&[kill(3)], Duration::ZERO);
            assert!(text.contains(named), "{text}");
        }
    }

    #[test]
    fn a_kill_without_submits_in_flight_or_too_few_tasks_prove_nothing() {
        let (ids, tasks) = world();
        for (wanted, in_flight) in [(2, 0), (3, 1)] {
            let verdict = judge(wanted, &[kill(in_flight)], &ids, [&tasks, &tasks], 2);
            assert_eq!(verdict.ending(), Ending::NotExercised);
        }
    }
}
