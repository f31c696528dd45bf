//! `tenure failovers`: what became of sessions and terms that are over, for who has to know in the night.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::client::{Client, query};
use super::table::{length_ms, pairs, relative, table};
use super::{Exit, Failure, Global, out};
use crate::api::wire::{
    Failover, FailoverEvidence, FailoverHow, FailoverOf, FailoverPage, FailoverSign, MovedTasks,
    Succession, Time,
};
use crate::clock;

#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Tell all of one: its ID as it is listed
    id: Option<i64>,
    /// List so many at most, 1 to 100
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

pub(super) async fn run(global: &Global, asked: Asked) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    if let Some(id) = asked.id {
        let answer = client.get(&format!("/v1/failovers/{id}")).await?;
        answer.show(global.output, one)?;
        return Ok(Exit::Done);
    }
    let limit = asked.limit.to_string();
    let path = query("/v1/failovers", &[("limit", Some(&limit))]);
    let answer = client.get(&path).await?;
    answer.show(global.output, |page: &FailoverPage| list(page))?;
    Ok(Exit::Done)
}

/// The last one on one line, for `tenure status`; nothing where there is none, or where the node's release does not tell.
pub(super) async fn last(client: &Client) -> Option<String> {
    let answer = client.get("/v1/failovers?limit=1").await.ok()?;
    let page: FailoverPage = answer.read().ok()?;
    let last = page.items.first()?;
    let gap = gap(last).map(|gap| format!(", nobody led for {}", length_ms(gap)));
    let moved = match last.tasks.held {
        0 => String::new(),
        held => format!(", {} of {held} tasks started elsewhere", last.tasks.started),
    };
    Some(format!(
        "{}, {}{}{moved}; tenure failovers {}",
        relative(last.gone_at, clock::now()),
        what(last),
        gap.unwrap_or_default(),
        last.id
    ))
}

fn list(page: &FailoverPage) -> String {
    if page.items.is_empty() {
        eprintln!("no failover is on record: no node has left or died, and no leader has changed");
        return String::new();
    }
    let now = clock::now();
    let row = |one: &Failover| {
        let tasks = &one.tasks;
        vec![
            one.id.to_string(),
            relative(one.gone_at, now),
            one.node.clone(),
            role(one).to_owned(),
            how(one),
            one.detection_ms.map(length_ms).unwrap_or_default(),
            gap(one).map(length_ms).unwrap_or_default(),
            moved(tasks),
            tasks.wait_p50_ms.map(length_ms).unwrap_or_default(),
            tasks.wait_max_ms.map(length_ms).unwrap_or_default(),
            if one.complete_at.is_some() {
                ""
            } else {
                "going on"
            }
            .to_owned(),
        ]
    };
    let heads = [
        ">ID",
        "WHEN",
        "NODE",
        "ROLE",
        "KNOWN BY",
        ">GONE IN",
        ">NOBODY LED FOR",
        "TASKS MOVED",
        ">WAIT P50",
        ">MAX",
        "STATE",
    ];
    if page.next_cursor.is_some() {
        eprintln!("there are more: --limit 100 lists all that are on record");
    }
    table(&heads, page.items.iter().map(row))
}

fn role(one: &Failover) -> &'static str {
    match (one.of, one.died) {
        (FailoverOf::Leader, true) => "leader",
        (FailoverOf::Leader, false) => "leader, its node lives",
        (FailoverOf::Node, _) => "",
    }
}

/// `refused, by n2`.
fn how(one: &Failover) -> String {
    let word = one.evidence.map_or("unknown", FailoverEvidence::as_str);
    match &one.by {
        Some(by) => format!("{word}, by {by}"),
        None => word.to_owned(),
    }
}

fn gap(one: &Failover) -> Option<u64> {
    one.succession.as_ref().map(|to| to.leaderless_ms)
}

fn moved(tasks: &MovedTasks) -> String {
    match tasks {
        MovedTasks { held: 0, .. } => String::new(),
        MovedTasks { held, started, .. } => format!("{started} of {held}"),
    }
}

/// `node n1 died`, in a few words.
fn what(one: &Failover) -> String {
    let Failover { node, .. } = one;
    match (one.of, one.died, one.evidence) {
        (FailoverOf::Leader, true, Some(FailoverEvidence::Left)) => format!("leader {node} left"),
        (
            FailoverOf::Leader,
            true,
            Some(FailoverEvidence::Refused | FailoverEvidence::Replaced),
        ) => {
            format!("leader {node} died")
        }
        (FailoverOf::Leader, true, _) => format!("leader {node} lost its session"),
        (FailoverOf::Leader, false, Some(FailoverEvidence::Left)) => {
            format!("leader {node} stepped down")
        }
        (FailoverOf::Leader, false, _) => format!("leader {node} lost its term"),
        (FailoverOf::Node, _, Some(FailoverEvidence::Left)) => format!("node {node} left"),
        (FailoverOf::Node, _, Some(FailoverEvidence::Refused | FailoverEvidence::Replaced)) => {
            format!("node {node} died")
        }
        (FailoverOf::Node, _, _) => format!("node {node} lost its session"),
    }
}

/// A line of the story: when, as far as that is known, how long after the key was gone, and what.
type Line = (Option<Timestamp>, Option<u64>, String);

/// The whole story of one.
fn one(one: &Failover) -> String {
    let head = match (one.term, one.died) {
        (Some(term), true) => format!("{}; it led term {term}", what(one)),
        (Some(term), false) => format!("{}; it had led term {term}, its node lives", what(one)),
        (None, _) => what(one),
    };
    let to = one.succession.iter();
    let mut then: Vec<Line> = to.flat_map(|to| succession(one, to)).collect();
    then.extend(tasks(one));
    // What has no length after the loss comes last.
    then.sort_by_key(|(_, after, _)| after.unwrap_or(u64::MAX));
    let lines = noticed(one).into_iter().chain(then);
    let lines = lines.map(|(at, after, what)| {
        let after = after.map(|ms| format!("+{ms} ms")).unwrap_or_default();
        vec![at.map(of_day).unwrap_or_default(), after, what]
    });
    let told = one.told_by.iter();
    let told = told.map(|by| format!("{} (term {})", by.node, by.term));
    let day = one
        .gone_at
        .0
        .to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d UTC");
    let facts = pairs(&[
        ("day", day.to_string()),
        (
            "session",
            one.session.map(|it| it.to_string()).unwrap_or_default(),
        ),
        ("instance", one.instance.clone().unwrap_or_default()),
        ("told by", told.collect::<Vec<_>>().join(", then ")),
    ]);
    let story = table(&["TIME", ">AFTER", "WHAT"], lines);
    let list = one.tasks.list.iter().map(|task| {
        let wait = format!("{} ms", task.wait_ms);
        vec![task.task.to_string(), task.node.clone(), wait]
    });
    let list = match one.tasks.list.len() as u64 {
        0 => String::new(),
        listed => {
            let tasks = table(&["TASK", "STARTED ON", ">WAIT"], list);
            let more = match one.tasks.started.saturating_sub(listed) {
                0 => String::new(),
                more => format!("\nand {more} more"),
            };
            format!("\n\n{tasks}{more}")
        }
    };
    format!("failover {}: {head}\n\n{facts}\n\n{story}{list}", one.id)
}

/// From the last sign of life to the loss of the key.
fn noticed(one: &Failover) -> Vec<Line> {
    let mut lines = Vec::new();
    let by = one.by.as_deref().unwrap_or("another node");
    if let (Some(at), Some(sign)) = (one.last_seen_at, one.last_seen_by) {
        let what = match sign {
            FailoverSign::Link => format!("last word over the link to {by}"),
            FailoverSign::Clock => "last told etcd its time, as it does every 15 s".to_owned(),
        };
        lines.push((Some(at.0), None, what));
    }
    if let Some(at) = one.noticed_at {
        let why = match one.evidence {
            Some(FailoverEvidence::Refused) => "the link broke and connecting anew was refused",
            Some(FailoverEvidence::Replaced) => "another process answered in its place",
            Some(FailoverEvidence::Left) => "it said goodbye",
            Some(FailoverEvidence::Lease | FailoverEvidence::Key) | None => "it was gone",
        };
        let what = format!("{by} noticed: {why}; it put that on record");
        lines.push((Some(at.0), None, what));
    }
    let who = one
        .told_by
        .first()
        .map_or("the leader", |by| by.node.as_str());
    let why = match one.evidence {
        Some(FailoverEvidence::Lease) => ": its lease ended",
        Some(FailoverEvidence::Key) => ": deleted, while the lease lived",
        Some(FailoverEvidence::Left) => ": given up",
        Some(FailoverEvidence::Refused | FailoverEvidence::Replaced) | None => "",
    };
    let what = match one.gone_how {
        FailoverHow::Watched => format!("{who} saw its key gone{why}"),
        FailoverHow::Found => format!("{who} looked, and its key was gone already{why}"),
    };
    lines.push((Some(one.gone_at.0), Some(0), what));
    lines
}

/// How leadership went on.
fn succession(one: &Failover, to: &Succession) -> Vec<Line> {
    let Succession { node, term, .. } = to;
    let gap = length_ms(to.leaderless_ms);
    let steps = [
        (
            Some(to.oldest_ms),
            format!("{node} saw itself the oldest candidate"),
        ),
        (
            Some(to.leaderless_ms),
            format!("{node} was answered that it leads, term {term}; nobody had led for {gap}"),
        ),
        (to.view_ms, format!("{node} had loaded what it leads from")),
        (
            to.assigned_ms,
            "the first assignment of its term was committed".to_owned(),
        ),
    ];
    let known = steps.into_iter();
    known
        .filter_map(|(ms, what)| Some((after(one.gone_at, ms?), ms, what)))
        .collect()
}

/// What became of its tasks.
fn tasks(one: &Failover) -> Vec<Line> {
    let tasks = &one.tasks;
    let mut lines: Vec<Line> = Vec::new();
    if let Some(ms) = tasks.reclaimed_ms {
        let what = "the last of its claims was taken back".to_owned();
        lines.push((after(one.gone_at, ms), Some(ms), what));
    }
    if let Some(ms) = tasks.wait_max_ms {
        let p50 = tasks.wait_p50_ms.unwrap_or(ms);
        let which = match (tasks.open, one.complete_at) {
            (0, _) => "the last",
            (_, None) => "the latest so far",
            (_, Some(_)) => "the last that was seen",
        };
        let what = format!("{which} of its tasks was started elsewhere; median wait {p50} ms");
        lines.push((after(one.gone_at, ms), Some(ms), what));
    }
    if tasks.held > 0 {
        let MovedTasks {
            held,
            started,
            ended,
            open,
            ..
        } = tasks;
        let ended = match ended {
            0 => String::new(),
            ended => format!(", {ended} ended or wait for a time or a decision"),
        };
        let open = match (*open, one.complete_at) {
            (0, _) => String::new(),
            (open, None) => format!(", {open} wait"),
            (open, Some(_)) => format!(", of {open} nobody saw when"),
        };
        let what = format!("it held {held} tasks: {started} started elsewhere{ended}{open}");
        lines.push((None, None, what));
    }
    let done = one
        .complete_at
        .map(|at| (Some(at.0), None, "nothing more was to tell".to_owned()));
    lines.extend(done);
    lines
}

/// So long after a time.
fn after(at: Time, ms: u64) -> Option<Timestamp> {
    at.0.checked_add(i64::try_from(ms).ok()?.milliseconds())
        .ok()
}

/// `12:00:03.250`, in UTC.
fn of_day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%H:%M:%S%.3f")
        .to_string()
}

/// Prints what `tenure status` says of the last one.
pub(super) async fn print_last(client: &Client) -> Result<(), Failure> {
    match last(client).await {
        Some(line) => out::line(&format!("\nlast failover  {line}")),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "failovers_tests.rs"]
mod tests;
