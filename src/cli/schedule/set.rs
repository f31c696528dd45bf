//! `tenure schedule set` and `preview`: a schedule of the command line.

use std::time::Duration;

use super::super::client::{Client, query};
use super::super::task::{Template, millis, pairs};
use super::super::{Exit, Failure, Global, Output, duration, out};
use super::{body, nth, path, show};
use crate::api::wire::check::PAYLOAD_BYTES_MAX;
use crate::api::wire::{
    Misfire, Overlap, Preview, Schedule, ScheduleRequest, SubmitRequest, schedule_name,
};
use crate::clock;

/// 3 due times are told of what was declared.
const TOLD: usize = 3;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Set {
    /// Its name: at most 54 characters
    name: String,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    bounds: Bounds,
    /// What happens to a due time while an earlier task has not ended
    #[arg(long, value_enum, default_value_t)]
    overlap: Overlap,
    /// What happens to due times that were missed
    #[arg(long, value_enum, default_value_t)]
    misfire: Misfire,
    /// How many missed ones are fired at most, with `--misfire fire_all` [default: 10]
    #[arg(long, allow_negative_numbers = true)]
    misfire_max: Option<i64>,
    /// What was missed for longer is not caught up on [default: 1h]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    catch_up: Option<Duration>,
    /// Nothing is fired later than this after its due time
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    start_deadline: Option<Duration>,
    /// Words to find the schedule by, see `list`; may be repeated
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Words on each of its tasks; may be repeated
    #[arg(long = "task-label", value_name = "KEY=VALUE")]
    task_labels: Vec<String>,
    /// Only where it is at this version, see `get`; 0: only where there is none
    #[arg(long)]
    version: Option<i64>,
    #[command(flatten)]
    task: Template,
}

/// When it is due: one of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct When {
    /// By an expression of 5 or 6 parts, or a word such as @hourly
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Again and again after this time
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    every: Option<Duration>,
    /// Once, at this instant, RFC 3339
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Where the clock hangs, from when to when, and how far due times are spread.
#[derive(Debug, clap::Args)]
struct Bounds {
    /// The time zone of the expression, such as Europe/Berlin [default: UTC]
    #[arg(long, alias = "timezone", value_name = "ZONE")]
    tz: Option<String>,
    /// Not due before this instant, RFC 3339
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Not due after this instant, RFC 3339
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// Each due time is fired up to this much later, always the same ones [default: 0s]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    jitter: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Previewed {
    /// An expression of 5 or 6 parts, or a word such as @hourly
    cron: String,
    #[command(flatten)]
    bounds: Bounds,
    /// What `H` and the jitter are spread by
    #[arg(long)]
    name: Option<String>,
    /// How many due times
    #[arg(short, default_value_t = 5, value_parser = nth())]
    n: u64,
}

pub(super) async fn set(global: &Global, client: &Client, asked: Set) -> Result<Exit, Failure> {
    let name = named(&asked.name)?;
    let version = asked.version;
    let request = asked.request()?;
    let mut faults = request.check(PAYLOAD_BYTES_MAX);
    let now_ms = u64::try_from(clock::now().as_millisecond()).unwrap_or(0);
    faults.extend(request.timing(&name, now_ms).err().into_iter().flatten());
    let mut sent = body(&request, &faults)?;
    sent.if_match = version;
    let answer = client.put(&path(&name, ""), sent).await?;
    match global.output {
        Output::Json => answer.print()?,
        Output::Table => told(client, &answer.read()?).await?,
    }
    Ok(Exit::Done)
}

/// When it is due next, in a line.
async fn told(client: &Client, set: &Schedule) -> Result<(), Failure> {
    let next = query(&path(&set.name, "/next"), &[("n", Some(&TOLD.to_string()))]);
    eprintln!("{}", set.english);
    if let Some(why) = show::paused(set) {
        eprintln!("it is paused, {why}: `tenure schedule resume {}`", set.name);
    }
    // It is declared, whatever becomes of this question.
    let line = match client
        .get(&next)
        .await
        .and_then(|next| next.read::<Preview>())
    {
        Ok(next) => show::next_line(&next, clock::now()),
        Err(_) => set.next.map(|at| at.to_string()).unwrap_or_default(),
    };
    out::line(&format!("next: {line}"))
}

pub(super) async fn preview(
    global: &Global,
    client: &Client,
    asked: Previewed,
) -> Result<Exit, Failure> {
    let name = asked.name.as_deref().map(named).transpose()?;
    let path = query(
        "/v1/schedules/preview",
        &[("n", Some(&asked.n.to_string())), ("name", name.as_deref())],
    );
    let request = asked.bounds.request(ScheduleRequest {
        cron: Some(asked.cron),
        ..ScheduleRequest::default()
    });
    let sent = body(&request, &request.check(PAYLOAD_BYTES_MAX))?;
    let answer = client.post(&path, sent).await?;
    answer.show(global.output, show::dues)?;
    Ok(Exit::Done)
}

impl Set {
    fn request(self) -> Result<ScheduleRequest, Failure> {
        let When { cron, every, at } = self.when;
        let default = ScheduleRequest::default();
        let task = SubmitRequest {
            labels: pairs("--task-label", &self.task_labels)?,
            ..self.task.request()?
        };
        Ok(self.bounds.request(ScheduleRequest {
            cron,
            every_ms: every.map(millis),
            at,
            overlap: self.overlap,
            misfire: self.misfire,
            misfire_max: self.misfire_max,
            catch_up_ms: self.catch_up.map_or(default.catch_up_ms, millis),
            start_deadline_ms: self.start_deadline.map(millis),
            labels: pairs("--label", &self.labels)?,
            task: Some(task),
            ..default
        }))
    }
}

impl Bounds {
    fn request(self, of: ScheduleRequest) -> ScheduleRequest {
        ScheduleRequest {
            timezone: self.tz,
            start: self.start,
            end: self.end,
            jitter_ms: self.jitter.map_or(0, millis),
            ..of
        }
    }
}

fn named(text: &str) -> Result<String, Failure> {
    let name = schedule_name(text).map_err(Failure::usage)?;
    Ok(name.to_string())
}
