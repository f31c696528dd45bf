//! A scenario: what cluster is started, what work it gets, which faults it meets and what a run has to put to the test. It is data,
//! a TOML file; those that come with the program are in `chaos/scenarios`. What a file says is checked whole before anything starts.

mod length;
mod usual;
mod valid;

use crate::workload::SplitMix;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tenure_chaos::check::{Limits, Property};

pub(crate) use length::Length;

/// The scenarios that come with the program.
const BUILT_IN: [&str; 5] = [
    include_str!("../../scenarios/default.toml"),
    include_str!("../../scenarios/fencing.toml"),
    include_str!("../../scenarios/kills.toml"),
    include_str!("../../scenarios/limits.toml"),
    include_str!("../../scenarios/long.toml"),
];

/// What a file says in place of work: the name of a scenario of this program that has the same.
const LIKE: &str = "like";
const WORK: &str = "work";

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What `--scenario` names it by.
    pub(crate) name: String,
    /// One line for people.
    #[serde(default)]
    pub(crate) about: String,
    /// For how long faults are made, as `90s`.
    #[serde(default = "usual::duration")]
    pub(crate) duration: Length,
    /// After how long a cluster makes way for a new one, as `5m`: so much is lost where a run breaks off.
    #[serde(default = "usual::chapter")]
    pub(crate) chapter: Length,
    /// Nodes of a cluster that is started for it, 1 to 9.
    #[serde(default = "usual::three")]
    pub(crate) nodes: u8,
    /// Members of its etcd: 1, 3 or 5.
    #[serde(default = "usual::three")]
    pub(crate) members: u8,
    /// Runs at a time on each node, 1 to 256.
    #[serde(default = "usual::slots")]
    pub(crate) slots: u32,
    pub(crate) faults: Faults,
    pub(crate) work: Work,
    #[serde(default)]
    pub(crate) expects: Expects,
    /// The bounds that it is held to, by the names of [`Limits`], most of them in milliseconds; those of one machine unless said.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub(crate) limits: toml::Table,
}

/// Which faults, how many at a time, and how far apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Faults {
    /// Kinds by name, or `all`; one that is named twice comes twice as often.
    pub(crate) kinds: Vec<String>,
    /// At most so many at a time, 1 to 4.
    #[serde(default = "usual::one")]
    pub(crate) together: u8,
    /// From the end of one to the begin of the next, in milliseconds: from, to.
    #[serde(default = "usual::gap_ms")]
    pub(crate) gap_ms: [u64; 2],
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Work {
    /// Clients that submit, each after a pause again, 0 to 64.
    #[serde(default = "usual::clients")]
    pub(crate) clients: u16,
    /// How long that pause is, in milliseconds: from, to.
    #[serde(default = "usual::pause_ms")]
    pub(crate) pause_ms: [u64; 2],
    /// What they submit.
    #[serde(default)]
    pub(crate) task: Vec<Task>,
    /// What others, outside, acquire and release.
    #[serde(default)]
    pub(crate) hold: Vec<Hold>,
    /// Semaphores and their limits.
    #[serde(default)]
    pub(crate) semaphore: Vec<Semaphore>,
    /// Rules of queues, as `PUT /v1/queues/{name}/rules` takes them.
    #[serde(default)]
    pub(crate) queue: Vec<Queue>,
    /// Schedules that are declared before the first fault and deleted after the last.
    #[serde(default)]
    pub(crate) schedule: Vec<Schedule>,
    /// How often somebody reads who leads, how nodes and semaphores stand, in milliseconds; 0 for never.
    #[serde(default = "usual::reads_ms")]
    pub(crate) reads_ms: u64,
}

/// One sort of task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    /// How often it comes, against the shares of the others.
    #[serde(default = "usual::share")]
    pub(crate) share: u32,
    /// Tasks of a submit: from, to.
    #[serde(default = "usual::batch")]
    pub(crate) batch: [u64; 2],
    /// How its runs are witnessed from outside.
    #[serde(default)]
    pub(crate) witness: Witness,
    /// For how long its runs last, in milliseconds: from, to. Of witnessed ones and of the kind `sleep`.
    #[serde(default)]
    pub(crate) run_ms: Option<[u64; 2]>,
    /// Its priority: from, to; none for the usual one.
    #[serde(default)]
    pub(crate) priority: Option<[u8; 2]>,
    /// It is to start so much later, in milliseconds: from, to.
    #[serde(default)]
    pub(crate) delay_ms: Option<[u64; 2]>,
    /// So many of a hundred runs fail; witnessed ones only.
    #[serde(default)]
    pub(crate) fails: u8,
    /// So many of a hundred submits are cancelled, a moment later.
    #[serde(default)]
    pub(crate) cancelled: u8,
    /// So many of a hundred submits are sent again under the same key, though they were answered.
    #[serde(default)]
    pub(crate) repeated: u8,
    /// So many of a hundred submits are read afterwards.
    #[serde(default)]
    pub(crate) read: u8,
    /// So many of a hundred submits go without an idempotency key, each once only.
    #[serde(default)]
    pub(crate) keyless: u8,
    #[expect(clippy::struct_field_names, reason = "a file says it so")]
    /// The task as `POST /v1/tasks` takes it. In names, `{4}` stands for a number from 0 to 3.
    pub(crate) task: toml::Table,
}

/// How runs are witnessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Witness {
    /// They are not: the task is run as it is.
    #[default]
    None,
    /// They are commands of this program that write down what they do; only where nodes are processes of this machine.
    Command,
    /// They are `http` tasks that ask this program.
    Http,
    /// Whichever of the two can be had.
    Any,
}

/// Those outside who acquire, renew and release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    /// So many clients.
    #[serde(default = "usual::one")]
    pub(crate) clients: u8,
    /// A lock by name, in which `{4}` stands for a number from 0 to 3.
    #[serde(default)]
    pub(crate) lock: Option<String>,
    /// Or a semaphore.
    #[serde(default)]
    pub(crate) semaphore: Option<String>,
    /// So many permits of it: from, to.
    #[serde(default = "usual::weight")]
    pub(crate) weight: [u64; 2],
    /// For how long it is held, in milliseconds: from, to.
    #[serde(default = "usual::held_ms")]
    pub(crate) held_ms: [u64; 2],
    /// How long it lives without a renewal, in milliseconds.
    #[serde(default = "usual::ttl_ms")]
    pub(crate) ttl_ms: u64,
    /// So many of a hundred are never released.
    #[serde(default)]
    pub(crate) forgotten: u8,
    /// So many of a hundred are released once more when the same id holds again, as by a copy of the release that came late.
    #[serde(default)]
    pub(crate) late: u8,
}

/// A semaphore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Semaphore {
    pub(crate) name: String,
    /// Its limit; more than one where it is changed meanwhile, in turn.
    pub(crate) limits: Vec<u64>,
    /// How often it is changed, in milliseconds.
    #[serde(default = "usual::changed_ms")]
    pub(crate) changed_ms: u64,
}

/// A queue's rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) rules: toml::Table,
}

/// A schedule, or many alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schedule {
    /// Its name; with a number behind it where there are several.
    pub(crate) name: String,
    #[serde(default = "usual::one")]
    pub(crate) count: u8,
    /// After how long one of them is fired by hand, again and again, in milliseconds: from, to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) triggered_ms: Option<[u64; 2]>,
    #[expect(clippy::struct_field_names, reason = "a file says it so")]
    /// As `PUT /v1/schedules/{name}` takes it.
    pub(crate) schedule: toml::Table,
}

/// What has to be put to the test, else the verdict is that it was not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expects {
    /// At least so many faults.
    #[serde(default)]
    pub(crate) faults: u64,
    /// Of at least so many kinds.
    #[serde(default)]
    pub(crate) kinds: u64,
    /// These properties, by name; each chapter is judged by all of them, and all chapters together have to exercise these.
    #[serde(default)]
    pub(crate) properties: Vec<Property>,
}

impl Scenario {
    /// All that come with the program.
    pub(crate) fn built_in() -> anyhow::Result<Vec<Self>> {
        BUILT_IN.into_iter().map(Self::parse).collect()
    }

    /// The file of the one of this name, to begin with.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn text_of(name: &str) -> anyhow::Result<&'static str> {
        let mut names = Vec::new();
        for text in BUILT_IN {
            let table: toml::Table = toml::from_str(text)?;
            let found = table.get("name").and_then(toml::Value::as_str);
            if found == Some(name) {
                return Ok(text);
            }
            names.extend(found.map(str::to_owned));
        }
        bail!("scenario {name:?} is none of {}", names.join(", "))
    }

    /// The one of this name, or in this file.
    pub(crate) fn find(word: &str) -> anyhow::Result<Self> {
        let all = Self::built_in()?;
        if let Some(found) = all.iter().find(|one| one.name == word) {
            return Ok(found.clone());
        }
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        let text = std::fs::read_to_string(Path::new(word)).with_context(|| {
            format!(
                "scenario {word:?} is no file, and none of {}",
                names.join(", ")
            )
        })?;
        Self::parse(&text).with_context(|| word.to_owned())
    }

    /// The bounds that it is held to: these, and over them what it says itself.
    ///
    /// # Errors
    /// It says one that there is not, or not as a number.
    pub(crate) fn limits_over(&self, usual: &Limits) -> anyhow::Result<Limits> {
        let mut all = toml::Table::try_from(usual)?;
        all.extend(self.limits.clone());
        all.try_into().context("limits")
    }

    /// What stands for the scenario of histories of which nothing else is known.
    pub(crate) fn of_histories() -> Self {
        Self {
            name: "histories".to_owned(),
            about: String::new(),
            duration: usual::duration(),
            chapter: usual::chapter(),
            nodes: usual::three(),
            members: usual::three(),
            slots: usual::slots(),
            faults: Faults {
                kinds: Vec::new(),
                together: usual::one(),
                gap_ms: usual::gap_ms(),
            },
            work: Work {
                clients: 0,
                pause_ms: usual::pause_ms(),
                task: Vec::new(),
                hold: Vec::new(),
                semaphore: Vec::new(),
                queue: Vec::new(),
                schedule: Vec::new(),
                reads_ms: 0,
            },
            expects: Expects::default(),
            limits: toml::Table::new(),
        }
    }

    /// What a file says.
    ///
    /// # Errors
    /// Names the field, and what would be right.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut table: toml::Table = toml::from_str(text)?;
        if let Some(like) = table.remove(LIKE) {
            let name = like.as_str().context("like: it is no name")?;
            let of = Self::text_of(name).context("like")?;
            let of: toml::Table = toml::from_str(of)?;
            let work = of.get(WORK).context("like: that has no work of its own")?;
            table.entry(WORK).or_insert_with(|| work.clone());
        }
        let scenario: Self = table.try_into()?;
        scenario.validate()?;
        Ok(scenario)
    }
}

/// A name in which `{4}` stands for a number from 0 to 3, as the dice say. What is no such number stays as it is.
pub(crate) fn named(pattern: &str, dice: &mut SplitMix) -> String {
    let Some((before, rest)) = pattern.split_once('{') else {
        return pattern.to_owned();
    };
    let found = rest
        .split_once('}')
        .and_then(|(count, after)| Some((count.parse::<usize>().ok()?, after)));
    match found {
        Some((count, after)) if count > 0 => {
            format!("{before}{}{}", dice.below(count), named(after, dice))
        }
        Some(_) | None => pattern.to_owned(),
    }
}

#[cfg(test)]
mod tests;
