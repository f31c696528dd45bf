//! `tenure semaphore set|delete` and the rules of queues: what only so many may do at once.

use super::client::{Answer, Client, Sent, escaped};
use super::table::{relative, table};
use super::{Exit, Failure, Global, duration, hold};
use crate::api::wire::{
    FieldError, Importance, PauseRequest, QueueRules, QueueRulesRequest, Rate, SemaphoreLimit,
    SemaphoreRequest,
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

/// All rules of a queue; what is not given is no rule.
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
    /// The time of --rate
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "1s")]
    rate_per: Duration,
    /// How many start at once after a quiet time [default: as many as --rate]
    #[arg(long, allow_negative_numbers = true)]
    burst: Option<i64>,
    /// About how many pending tasks it may have; submits beyond are refused
    #[arg(long, allow_negative_numbers = true)]
    backlog_max: Option<i64>,
    /// Whose submits are refused first where service is reduced [default: normal]
    #[arg(long, value_enum)]
    importance: Option<Importance>,
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

pub(super) async fn set_rules(global: &Global, of: RulesOf) -> Result<Exit, Failure> {
    let per_ms = i64::try_from(of.rate_per.as_millis()).unwrap_or(i64::MAX);
    if of.rate.is_none() && of.burst.is_some() {
        return Err(Failure::usage("--burst is a part of a rate: give --rate"));
    }
    let asked = QueueRulesRequest {
        weight: of.weight,
        concurrency: of.concurrency,
        per_key: of.per_key,
        rate: of.rate.map(|tasks| Rate {
            tasks,
            per_ms,
            burst: of.burst,
        }),
        backlog_max: of.backlog_max,
        importance: of.importance,
    };
    let sent = sent(&asked, &asked.check())?;
    let answer = Client::new(global)?
        .put(&path(&of.name, "rules"), sent)
        .await?;
    told(global, &answer)
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
    let rate = rate.map_or("-".to_owned(), |rate| {
        let burst = rate.burst.unwrap_or(rate.tasks);
        format!("{} in {} ms, {burst} at once", rate.tasks, rate.per_ms)
    });
    let why = rules.paused_for.as_ref().map(|why| format!(": {why}"));
    let paused = rules.paused_at.map_or("-".to_owned(), |at| {
        format!("{}{}", relative(at, clock::now()), why.unwrap_or_default())
    });
    let row = vec![
        rules.name.clone(),
        number(weight.or(Some(1))),
        number(*concurrency),
        number(*per_key),
        rate,
        number(*backlog_max),
        importance_word(*importance).to_owned(),
        paused,
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
    ];
    table(&heads, [row])
}

fn importance_word(importance: Option<Importance>) -> &'static str {
    match importance {
        Some(Importance::Low) => "low",
        Some(Importance::Normal) | None => "normal",
        Some(Importance::High) => "high",
    }
}
