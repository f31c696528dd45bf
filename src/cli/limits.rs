//! `tenure semaphore set|delete` and the rules of queues: what only so many may do at once.

use super::client::{Answer, Client, Sent, escaped};
use super::table::{relative, table};
use super::{Exit, Failure, Global, duration, hold};
use crate::api::wire::{
    FieldError, Importance, PauseRequest, QueueRules, QueueRulesRequest, Rate, SemaphoreLimit,
    SemaphoreRequest, Time,
};
use crate::clock;
use std::time::Duration;

#[derive(Debug, clap::Subcommand)]
pub(super) enum SemaphoreCommand {
    /// Run a command while holding permits; exits as the command does, 7 where --wait is over, 13 where the permits were lost and the
    /// command ended
    Run {
        /// The semaphore's limit: declares it where it is not, and is refused where it differs
        #[arg(long, allow_negative_numbers = true)]
        limit: Option<i64>,
        /// How much of it [default: 1]
        #[arg(long, allow_negative_numbers = true)]
        weight: Option<i64>,
        #[command(flatten)]
        run: hold::Run,
    },
    /// List the semaphores that are declared, held or waited for
    List,
    /// Who holds a semaphore, and who waits for it
    Get {
        /// Its name
        name: String,
    },
    /// Take permits from their holder, on record; needs a token with the role admin
    Release(hold::Release),
    /// Declare a semaphore, or set its limit; a lower one takes nothing away
    Set {
        /// Its name
        name: String,
        /// How much of it may be held at once, 0 to 1000000
        #[arg(allow_negative_numbers = true)]
        limit: i64,
    },
    /// Take a semaphore away: what is held stays held, nothing more is given
    Delete {
        /// Its name
        name: String,
    },
}

/// 4 attempts of an edit that names no version: each lost to another edit in between.
const TRIES_MAX: usize = 4;

/// Rules of a queue; what is not given stays as it is.
#[derive(Debug, clap::Args)]
pub(super) struct RulesOf {
    /// The queue
    name: String,
    /// Its share of starts beside other queues that have work, 1 to 1000 [default: 1]
    #[arg(long, allow_negative_numbers = true)]
    weight: Option<i64>,
    /// How many of its tasks run at once
    #[arg(long, allow_negative_numbers = true)]
    concurrency: Option<i64>,
    /// How many of its tasks with one concurrency key run at once
    #[arg(long, allow_negative_numbers = true)]
    per_key: Option<i64>,
    /// How many of its tasks start in the time of --rate-per
    #[arg(long, value_name = "TASKS", allow_negative_numbers = true)]
    rate: Option<i64>,
    /// The time of --rate [default: 1s]
    #[arg(long, value_parser = duration, value_name = "DURATION", requires = "rate")]
    rate_per: Option<Duration>,
    /// How many start at once after a quiet time [default: as many as --rate]
    #[arg(long, allow_negative_numbers = true, requires = "rate")]
    burst: Option<i64>,
    /// About how many pending tasks it may have; submits beyond are refused
    #[arg(long, allow_negative_numbers = true)]
    backlog_max: Option<i64>,
    /// Whose submits are refused first where service is reduced [default: normal]
    #[arg(long, value_enum)]
    importance: Option<Importance>,
    /// Take rules away: several with commas; those that are given as well are set anew
    #[arg(long, value_enum, value_delimiter = ',', value_name = "RULE")]
    clear: Vec<Rule>,
    /// Only where the rules are at this version, see `tenure queue rules`; 0 is none at all
    #[arg(long)]
    version: Option<i64>,
}

/// A rule, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Rule {
    Weight,
    Concurrency,
    PerKey,
    Rate,
    BacklogMax,
    Importance,
    All,
}

impl RulesOf {
    /// The rules that there are, with what is asked for.
    fn edit(&self, now: &QueueRulesRequest) -> QueueRulesRequest {
        let clears = |rule| self.clear.contains(&rule) || self.clear.contains(&Rule::All);
        let rate = self.rate.map(|tasks| Rate {
            tasks,
            per_ms: self.rate_per.map_or(1_000, millis),
            burst: self.burst,
        });
        QueueRulesRequest {
            weight: self.weight.or(now.weight.filter(|_| !clears(Rule::Weight))),
            concurrency: self
                .concurrency
                .or(now.concurrency.filter(|_| !clears(Rule::Concurrency))),
            per_key: self
                .per_key
                .or(now.per_key.filter(|_| !clears(Rule::PerKey))),
            rate: rate.or(now.rate.filter(|_| !clears(Rule::Rate))),
            backlog_max: self
                .backlog_max
                .or(now.backlog_max.filter(|_| !clears(Rule::BacklogMax))),
            importance: self
                .importance
                .or(now.importance.filter(|_| !clears(Rule::Importance))),
        }
    }

    /// Whether it asks for nothing.
    fn is_empty(&self) -> bool {
        self.clear.is_empty()
            && self.edit(&QueueRulesRequest::default()) == QueueRulesRequest::default()
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

pub(super) async fn semaphore(global: &Global, command: SemaphoreCommand) -> Result<Exit, Failure> {
    let path = |name: &str| format!("/v1/semaphores/{}", escaped(name));
    let answer = match command {
        SemaphoreCommand::Run { limit, weight, run } => {
            let permits = hold::Permits { weight, limit };
            return hold::run(global, hold::Sort::Semaphore, run, permits).await;
        }
        SemaphoreCommand::List => return hold::list(global, hold::Sort::Semaphore).await,
        SemaphoreCommand::Get { name } => {
            return hold::get(global, hold::Sort::Semaphore, name).await;
        }
        SemaphoreCommand::Release(asked) => {
            return hold::release(global, hold::Sort::Semaphore, asked).await;
        }
        SemaphoreCommand::Set { name, limit } => {
            let asked = SemaphoreRequest { limit };
            let sent = sent(&asked, &asked.check())?;
            Client::new(global)?.put(&path(&name), sent).await?
        }
        SemaphoreCommand::Delete { name } => Client::new(global)?.delete(&path(&name)).await?,
    };
    answer.show(global.output, |set: &SemaphoreLimit| {
        let limit = set
            .limit
            .map_or("not declared".to_owned(), |limit| limit.to_string());
        table(&["SEMAPHORE", ">LIMIT"], [vec![set.name.clone(), limit]])
    })?;
    Ok(Exit::Done)
}

/// Reads the rules, changes what is asked for, and sets them where nobody did meanwhile.
pub(super) async fn set_rules(global: &Global, of: RulesOf) -> Result<Exit, Failure> {
    if of.is_empty() {
        return Err(Failure::usage(
            "no rule is given; `--clear all` takes all of them away",
        ));
    }
    // Known to be wrong whatever the other rules are.
    let asked = of.edit(&QueueRulesRequest::default());
    sent(&asked, &asked.check())?;
    let (client, path) = (Client::new(global)?, path(&of.name, "rules"));
    let mut tries = 1..=TRIES_MAX;
    loop {
        let now: QueueRules = client.get(&path).await?.read()?;
        if let Some(expected) = of.version.filter(|expected| *expected != now.version) {
            let message = format!(
                "the rules are at version {}, not at {expected}",
                now.version
            );
            return Err(Failure::new(Exit::Conflict, message));
        }
        let rules = of.edit(&now.rules);
        let edit = Sent {
            if_match: Some(now.version),
            ..sent(&rules, &rules.check())?
        };
        match client.put(&path, edit).await {
            Ok(answer) => return told(global, &answer),
            Err(lost) if lost.exit == Exit::Conflict && of.version.is_none() => {
                if tries.next().is_none() {
                    return Err(lost);
                }
            }
            Err(failure) => return Err(failure),
        }
    }
}

pub(super) async fn rules(global: &Global, name: &str) -> Result<Exit, Failure> {
    let answer = Client::new(global)?.get(&path(name, "rules")).await?;
    told(global, &answer)
}

pub(super) async fn pause(global: &Global, name: &str, reason: String) -> Result<Exit, Failure> {
    let asked = PauseRequest { reason };
    let sent = sent(&asked, &asked.check())?;
    let answer = Client::new(global)?
        .post(&path(name, "pause"), sent)
        .await?;
    told(global, &answer)
}

pub(super) async fn resume(global: &Global, name: &str) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    let answer = client.post(&path(name, "resume"), Sent::default()).await?;
    told(global, &answer)
}

fn path(name: &str, what: &str) -> String {
    format!("/v1/queues/{}/{what}", escaped(name))
}

fn sent(asked: &impl serde::Serialize, faults: &[FieldError]) -> Result<Sent, Failure> {
    if !faults.is_empty() {
        let lines = faults
            .iter()
            .map(|fault| format!("{}: {}", fault.field, fault.detail));
        return Err(Failure::usage(lines.collect::<Vec<_>>().join("\n")));
    }
    let body = serde_json::to_vec(asked).expect("a request always serialises");
    Ok(Sent {
        body,
        ..Sent::default()
    })
}

fn told(global: &Global, answer: &Answer) -> Result<Exit, Failure> {
    answer.show(global.output, shown)?;
    Ok(Exit::Done)
}

fn shown(rules: &QueueRules) -> String {
    let number = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
    let QueueRulesRequest {
        weight,
        concurrency,
        per_key,
        rate,
        backlog_max,
        importance,
    } = &rules.rules;
    let rate = rate.map_or("-".to_owned(), |rate| rate_words(&rate));
    let paused = paused(rules.paused_at, rules.paused_for.as_deref());
    let row = vec![
        rules.name.clone(),
        number(weight.or(Some(1))),
        number(*concurrency),
        number(*per_key),
        rate,
        number(*backlog_max),
        importance_word(*importance).to_owned(),
        paused.unwrap_or("-".to_owned()),
        rules.version.to_string(),
    ];
    let heads = [
        "QUEUE",
        ">WEIGHT",
        ">CONCURRENCY",
        ">PER KEY",
        "RATE",
        ">BACKLOG MAX",
        "IMPORTANCE",
        "PAUSED",
        ">VERSION",
    ];
    table(&heads, [row])
}

/// Since when a queue is paused, and why.
pub(super) fn paused(at: Option<Time>, why: Option<&str>) -> Option<String> {
    let since = relative(at?, clock::now());
    Some(why.map_or(since.clone(), |why| format!("{since}: {why}")))
}

/// The rules that were set, in a line.
pub(super) fn words(rules: &QueueRulesRequest) -> String {
    let QueueRulesRequest {
        weight,
        concurrency,
        per_key,
        rate,
        backlog_max,
        importance,
    } = rules;
    let words = [
        weight.map(|weight| format!("weight {weight}")),
        concurrency.map(|concurrency| format!("{concurrency} at once")),
        per_key.map(|per_key| format!("{per_key} per key")),
        rate.as_ref().map(rate_words),
        backlog_max.map(|max| format!("backlog {max}")),
        importance.map(|one| format!("importance {}", importance_word(Some(one)))),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn rate_words(rate: &Rate) -> String {
    let burst = rate.burst.unwrap_or(rate.tasks);
    format!("{} in {} ms and {burst} at once", rate.tasks, rate.per_ms)
}

fn importance_word(importance: Option<Importance>) -> &'static str {
    match importance {
        Some(Importance::Low) => "low",
        Some(Importance::Normal) | None => "normal",
        Some(Importance::High) => "high",
    }
}
