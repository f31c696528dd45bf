//! What clients submit: tasks of the scenario's sorts, as the dice say. Pure: the same scenario, means and dice give the same work.

use super::means::{Length, Means, Way, one_of};
use crate::scenario::{self, Task, Witness, Work};
use crate::workload::SplitMix;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use tenure_chaos::history::Submit;

/// How long witnessed runs last where that is not said, in milliseconds: from, to.
const RUN_MS: [u64; 2] = [100, 300];
/// How long after a submit its task is cancelled, in milliseconds: from, to.
const MOMENT_MS: [u64; 2] = [0, 300];
/// Fields of a task that are said beside it, so that they are on record.
const BESIDE: [&str; 3] = ["run_at", "delay_ms", "idempotency_key"];
/// Kinds whose runs are witnessed where anybody's are.
const WITNESSED: [&str; 2] = ["command", "http"];

/// All sorts of a scenario.
#[derive(Debug)]
pub(super) struct Sorts {
    sorts: Vec<Sort>,
    shares: u64,
}

#[derive(Debug)]
struct Sort {
    task: Task,
    ways: Vec<Way>,
    /// Where in the scenario it is.
    field: String,
    /// A semaphore's limit is at times lower than what it asks for, and then it may be refused.
    narrow: bool,
}

/// Whether a submit has an idempotency key, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyed {
    /// It has none, and is never sent again.
    Not,
    /// So that it can be sent until it is answered.
    Once,
    /// It is sent again though it was answered.
    Twice,
}

/// A submit that somebody is to make.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// Where in the scenario it comes from.
    pub(super) field: String,
    pub(super) tasks: Vec<Value>,
    /// Whether it goes as a batch.
    pub(super) batch: bool,
    pub(super) key: Keyed,
    /// Its tasks are to start so much later, in milliseconds.
    pub(super) delay_ms: Option<u64>,
    /// Which of its tasks is cancelled, and after how many milliseconds.
    pub(super) cancelled: Option<(usize, u64)>,
    /// Which of its tasks is read.
    pub(super) read: Option<usize>,
    /// Whether it may be refused for its weight.
    pub(super) narrow: bool,
    /// Which of its tasks end dead, for all their runs fail.
    pub(super) mortal: Vec<usize>,
}

impl Sorts {
    /// What a scenario asks for, with these means.
    ///
    /// # Errors
    /// Names the field that cannot be had, before anything is started.
    pub(super) fn of(work: &Work, means: &Means) -> anyhow::Result<Self> {
        let mut sorts = Vec::new();
        for (nth, task) in work.task.iter().enumerate() {
            let field = format!("work.task[{nth}]");
            let ways = means.ways(task.witness);
            let ways = ways.with_context(|| format!("{field}.witness"))?;
            for name in BESIDE {
                let told = task.task.contains_key(name);
                ensure!(
                    !told,
                    "{field}.task.{name}: it is not for the task to say, see {field}"
                );
            }
            sorts.push(Sort {
                narrow: is_narrow(work, task),
                task: task.clone(),
                ways,
                field,
            });
        }
        unmixed(work)?;
        let shares = sorts.iter().map(|sort| u64::from(sort.task.share)).sum();
        ensure!(
            shares > 0 || work.clients == 0,
            "work.task: there is none with a share"
        );
        Ok(Self { sorts, shares })
    }

    /// The next submit; none where there are no sorts.
    pub(super) fn next(&self, dice: &mut SplitMix) -> Option<Wanted> {
        let mut at = dice.within(1..=self.shares.max(1));
        let sort = self.sorts.iter().find(|sort| {
            let share = u64::from(sort.task.share);
            let found = share > 0 && at <= share;
            at = at.saturating_sub(share);
            found
        })?;
        Some(sort.wanted(dice))
    }
}

/// Runs that nobody witnesses have to be of other kinds than those that somebody does: of a witnessed kind each success has to have
/// been seen.
fn unmixed(work: &Work) -> anyhow::Result<()> {
    let witnessed = |task: &Task| task.witness != Witness::None;
    if !work.task.iter().any(witnessed) {
        return Ok(());
    }
    let kind = |table: &toml::Table| {
        let kind = table.get("kind").and_then(toml::Value::as_str);
        kind.filter(|kind| WITNESSED.contains(kind))
            .map(str::to_owned)
    };
    for (nth, task) in work.task.iter().enumerate() {
        if let Some(kind) = kind(&task.task) {
            bail!(
                "work.task[{nth}].task.kind: other tasks of kind {kind} may be witnessed, and this one is not"
            );
        }
    }
    for (nth, one) in work.schedule.iter().enumerate() {
        let task = one.schedule.get("task").and_then(toml::Value::as_table);
        if let Some(kind) = task.and_then(kind) {
            bail!(
                "work.schedule[{nth}].schedule.task.kind: tasks of kind {kind} may be witnessed, and these are not"
            );
        }
    }
    Ok(())
}

/// Whether it asks for more of a semaphore than its lowest limit.
fn is_narrow(work: &Work, task: &Task) -> bool {
    let permits = task.task.get("permits").and_then(toml::Value::as_array);
    permits.into_iter().flatten().any(|permit| {
        let name = permit.get("semaphore").and_then(toml::Value::as_str);
        let weight = permit.get("weight").and_then(toml::Value::as_integer);
        let weight = u64::try_from(weight.unwrap_or(1)).unwrap_or(0);
        lowest(work, name.unwrap_or_default()).is_some_and(|limit| weight > limit)
    })
}

/// The lowest limit that a semaphore ever has; none where it is not declared.
pub(super) fn lowest(work: &Work, name: &str) -> Option<u64> {
    let semaphore = work.semaphore.iter().find(|one| one.name == name)?;
    semaphore.limits.iter().min().copied()
}

impl Sort {
    fn wanted(&self, dice: &mut SplitMix) -> Wanted {
        let task = &self.task;
        let count = dice.within(task.batch[0]..=task.batch[1]);
        let way = one_of(&self.ways, dice);
        let priority = task
            .priority
            .map(|[from, to]| dice.within(from.into()..=to.into()));
        // Of one submit all go to one queue.
        let queue = task.task.get("queue").and_then(toml::Value::as_str);
        let queue = queue.map(|pattern| scenario::named(pattern, dice));
        let (mut tasks, mut mortal) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let fails = hits(task.fails, dice);
            let mut made = self.made(way, fails, dice);
            if fails || made["kind"] == "fail" {
                mortal.push(tasks.len());
            }
            if let Some(priority) = priority {
                made["priority"] = json!(priority);
            }
            if let Some(queue) = &queue {
                made["queue"] = json!(queue);
            }
            tasks.push(made);
        }
        let delay_ms = task.delay_ms.map(|[from, to]| dice.within(from..=to));
        let keyless = hits(task.keyless, dice);
        // Rolled in any case, so that a share that is changed does not change what comes of the others.
        let (repeated, cancelled, read) = (
            hits(task.repeated, dice),
            hits(task.cancelled, dice),
            hits(task.read, dice),
        );
        let which = dice.below(tasks.len());
        let moment_ms = dice.within(MOMENT_MS[0]..=MOMENT_MS[1]);
        Wanted {
            field: self.field.clone(),
            tasks,
            batch: task.batch != [1, 1],
            key: match (keyless, repeated) {
                (true, _) => Keyed::Not,
                (false, true) => Keyed::Twice,
                (false, false) => Keyed::Once,
            },
            delay_ms,
            cancelled: cancelled.then_some((which, moment_ms)),
            read: read.then_some(which),
            narrow: self.narrow,
            mortal,
        }
    }

    fn made(&self, way: Option<&Way>, fails: bool, dice: &mut SplitMix) -> Value {
        let mut made = filled(&toml::Value::Table(self.task.task.clone()), dice);
        once_each(&mut made["locks"]);
        let [from, to] = self.task.run_ms.unwrap_or(RUN_MS);
        let run_ms = dice.within(from..=to);
        if let Some(way) = way {
            let gate = only(&made["locks"]);
            let payload = way.payload(&Length {
                run_ms,
                fails,
                gate: gate.as_deref(),
            });
            made["kind"] = json!(way.kind());
            made["payload"] = payload;
        } else if self.task.run_ms.is_some() && made["kind"] == "sleep" {
            made["payload"] = json!({ "ms": run_ms });
        }
        if let Value::Object(fields) = &mut made {
            fields.retain(|_, value| !value.is_null());
        }
        made
    }
}

fn hits(percent: u8, dice: &mut SplitMix) -> bool {
    dice.below(100) < usize::from(percent)
}

/// The same lock twice is one.
fn once_each(locks: &mut Value) {
    if let Value::Array(names) = locks {
        let mut seen = BTreeSet::new();
        names.retain(|name| {
            name.as_str()
                .is_some_and(|name| seen.insert(name.to_owned()))
        });
    }
}

/// The one name in it, where it is exactly one.
fn only(locks: &Value) -> Option<String> {
    match locks.as_array()?.as_slice() {
        [one] => one.as_str().map(str::to_owned),
        _ => None,
    }
}

/// TOML as JSON, with a number for each `{4}` in a string.
pub(super) fn filled(value: &toml::Value, dice: &mut SplitMix) -> Value {
    match value {
        toml::Value::String(text) => json!(scenario::named(text, dice)),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(word) => json!(word),
        toml::Value::Datetime(instant) => json!(instant.to_string()),
        toml::Value::Array(all) => all.iter().map(|one| filled(one, dice)).collect(),
        toml::Value::Table(fields) => {
            let mut object = Map::new();
            for (name, value) in fields {
                object.insert(name.clone(), filled(value, dice));
            }
            Value::Object(object)
        }
    }
}

impl Wanted {
    /// As a history has it.
    pub(super) fn submit(&self, key: Option<&str>, run_at_ms: Option<u64>) -> Submit {
        let first = &self.tasks[0];
        let word = |name: &str, usual: &str| first[name].as_str().unwrap_or(usual).to_owned();
        let number = |name: &str| first[name].as_u64();
        Submit {
            key: key.map(str::to_owned),
            count: u64::try_from(self.tasks.len()).expect("a batch fits"),
            queue: word("queue", "default"),
            kind: word("kind", ""),
            priority: number("priority").and_then(|priority| u8::try_from(priority).ok()),
            max_attempts: number("max_attempts").and_then(|attempts| u32::try_from(attempts).ok()),
            run_at_ms,
        }
    }

    /// Where it is sent, and what. The same each time it is sent.
    pub(super) fn request(
        &self,
        key: Option<&str>,
        run_at_ms: Option<u64>,
    ) -> anyhow::Result<(&'static str, Value)> {
        let mut tasks = self.tasks.clone();
        if let Some(run_at_ms) = run_at_ms {
            let instant = jiff::Timestamp::from_millisecond(i64::try_from(run_at_ms)?)?;
            let instant = format!("{instant:.3}");
            for task in &mut tasks {
                task["run_at"] = json!(instant);
            }
        }
        let (path, mut body) = if self.batch {
            ("/v1/tasks/batch", json!({ "tasks": tasks }))
        } else {
            ("/v1/tasks", tasks.swap_remove(0))
        };
        if let Some(key) = key {
            body["idempotency_key"] = json!(key);
        }
        Ok((path, body))
    }
}

#[cfg(test)]
mod tests;
