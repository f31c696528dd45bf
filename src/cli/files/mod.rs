//! `tenure apply`, `diff` and `export`: schedules, rules of queues and semaphores as files, so that they can live in git. Pauses are in
//! no file, and are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::client::{Client, Sent, escaped, query};
use super::table::short;
use super::{Exit, Failure, Global, Output, out, task};

mod compare;
mod fields;
mod read;
mod source;
mod stored;
mod write;

use compare::{Change, Id, Sort, Stored, What, compare};
use fields::Field;
use read::Declared;

/// 60 characters of a value in a line.
const VALUE_CHARS_MAX: usize = 60;

/// Which files.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// A file with sections [schedules.NAME], [queues.NAME] and [semaphores.NAME] in TOML, or the same in JSON; or a directory, whose
    /// files that end in .toml and .json are read together. May be repeated
    #[arg(short, long = "file", required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Also what no file has is taken away: of each of schedules, queues and semaphores whose section is in a file. An empty section
    /// takes all of them away; what has no section at all is left alone
    #[arg(long)]
    prune: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Apply {
    #[command(flatten)]
    files: Files,
    /// Only say what would be done, and which schedules a preview refuses: when they are due, and the fields of their tasks
    #[arg(long)]
    dry_run: bool,
}

/// What files declare, and what the cluster has of it.
struct Both {
    declared: Declared,
    stored: BTreeMap<Id, Stored>,
    prune: BTreeSet<Sort>,
}

/// Makes the cluster as the files say. What was edited since it was compared is left as it is, and told.
pub(super) async fn apply(global: &Global, asked: Apply) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    let both = Both::of(&client, &asked.files).await?;
    let changes = both.changes();
    say(global, &both, &changes)?;
    if asked.dry_run {
        return tried(&client, &both, &changes).await;
    }
    let gone = changes
        .iter()
        .filter(|change| change.what == What::Prune)
        .count();
    if gone > 0 {
        task::confirm(global, &format!("take {gone} things away that no file has"))?;
    }
    sent(&client, &both, &changes).await
}

/// Sends what differs, one after the other: what is refused is told and the rest is done; where it cannot go on, it says how far it got.
async fn sent(client: &Client, both: &Both, changes: &[Change<'_>]) -> Result<Exit, Failure> {
    let (mut done, mut failed) = (Vec::new(), None);
    let mut left = changes.iter().filter(|change| change.what != What::Same);
    for change in left.by_ref() {
        let Err(failure) = send(client, both, change).await else {
            done.push(change.id);
            continue;
        };
        let goes_on = matches!(failure.exit, Exit::Conflict | Exit::Usage);
        let failure = named(both, change, failure);
        eprintln!("error: {}", failure.message);
        failed = Some(failure.exit);
        if !goes_on {
            for id in &done {
                eprintln!("done: {} {}", id.sort.as_str(), id.name);
            }
            break;
        }
    }
    eprintln!("{} done, {} not tried", done.len(), left.count());
    Ok(match failed {
        None => Exit::Done,
        Some(_) if !done.is_empty() => Exit::Partial,
        Some(exit) => exit,
    })
}

/// Says what apply would do; exits 1 where that is anything, and never because it failed.
pub(super) async fn diff(global: &Global, files: Files) -> Result<Exit, Failure> {
    compared(global, files).await.map_err(|failure| {
        if failure.exit != Exit::Failed {
            return failure;
        }
        let exit = Exit::Uncompared;
        Failure { exit, ..failure }
    })
}

async fn compared(global: &Global, files: Files) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    let both = Both::of(&client, &files).await?;
    let changes = both.changes();
    say(global, &both, &changes)?;
    let same = changes.iter().all(|change| change.what == What::Same);
    Ok(if same { Exit::Done } else { Exit::Failed })
}

/// Prints what the cluster has as a file.
pub(super) async fn export(global: &Global) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    let stored = stored::all(&client, &BTreeSet::from(Sort::ALL)).await?;
    let text = write::text(&stored, global.output)?;
    out::line(text.trim_end())?;
    Ok(Exit::Done)
}

impl Both {
    async fn of(client: &Client, files: &Files) -> Result<Self, Failure> {
        let declared = read::read(&files.files)?;
        let prune = if files.prune {
            declared.sections.clone()
        } else {
            BTreeSet::new()
        };
        let stored = stored::beside(client, declared.fields.keys(), &prune).await?;
        Ok(Self {
            declared,
            stored,
            prune,
        })
    }

    fn changes(&self) -> Vec<Change<'_>> {
        compare(&self.declared.fields, &self.stored, &self.prune)
    }
}

/// Asks the cluster about each schedule that would be sent.
async fn tried(client: &Client, both: &Both, changes: &[Change<'_>]) -> Result<Exit, Failure> {
    let mut refused = None;
    for change in changes {
        let sent = match change.what {
            What::Create | What::Edit(_) => change.id.sort == Sort::Schedule,
            What::Same | What::Prune => false,
        };
        let Some(body) = both.declared.bodies.get(change.id).filter(|_| sent) else {
            continue;
        };
        let path = query("/v1/schedules/preview", &[("name", Some(&change.id.name))]);
        let sent = Sent {
            body: body.clone(),
            ..Sent::default()
        };
        match client.post(&path, sent).await {
            Ok(_) => {}
            Err(failure) if failure.exit == Exit::Usage => {
                let failure = named(both, change, failure);
                eprintln!("error: {}", failure.message);
                refused = Some(failure.exit);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(refused.unwrap_or(Exit::Done))
}

async fn send(client: &Client, both: &Both, change: &Change<'_>) -> Result<(), Failure> {
    let name = escaped(&change.id.name);
    let path = match change.id.sort {
        Sort::Semaphore => format!("/v1/semaphores/{name}"),
        Sort::Queue => format!("/v1/queues/{name}/rules"),
        Sort::Schedule => format!("/v1/schedules/{name}"),
    };
    let put = |body: &[u8]| Sent {
        body: body.to_vec(),
        if_match: Some(change.version),
        ..Sent::default()
    };
    match (&change.what, change.id.sort) {
        (What::Same, _) => Ok(()),
        (What::Create | What::Edit(_), _) => {
            let body = &both.declared.bodies[change.id];
            client.put(&path, put(body)).await.map(drop)
        }
        // Rules are all set at once, and a pause stays.
        (What::Prune, Sort::Queue) => client.put(&path, put(b"{}")).await.map(drop),
        (What::Prune, Sort::Semaphore | Sort::Schedule) => {
            let version = Some(change.version);
            client.delete_at(&path, version).await.map(drop)
        }
    }
}

/// A failure with the file and the table that it is about.
fn named(both: &Both, change: &Change<'_>, mut failure: Failure) -> Failure {
    let Id { sort, name } = change.id;
    let file = both.declared.file(change.id);
    let file = file.map(|file| format!("{}: ", file.display()));
    let table = format!("{}{}.{name}", file.unwrap_or_default(), sort.section());
    failure.message = format!("{table}: {}", failure.message);
    if failure.exit == Exit::Conflict {
        failure.message += "\n  look what it is now with `tenure diff`, and apply again";
    }
    failure
}

fn say(global: &Global, both: &Both, changes: &[Change<'_>]) -> Result<(), Failure> {
    if global.output == Output::Json {
        let changes = changes.iter().filter(|change| change.what != What::Same);
        let told: Vec<serde_json::Value> = changes.map(told).collect();
        return out::line(&serde_json::Value::Array(told).to_string());
    }
    for change in changes {
        for line in lines(both, change) {
            out::line(&line)?;
        }
    }
    let count =
        |of: fn(&What<'_>) -> bool| changes.iter().filter(|change| of(&change.what)).count();
    eprintln!(
        "{} to create, {} to change, {} to take away, {} the same",
        count(|what| *what == What::Create),
        count(|what| matches!(what, What::Edit(_))),
        count(|what| *what == What::Prune),
        count(|what| *what == What::Same),
    );
    Ok(())
}

fn lines(both: &Both, change: &Change<'_>) -> Vec<String> {
    let Id { sort, name } = change.id;
    let file = both.declared.file(change.id);
    let file = file.map(|file| format!(" ({})", file.display()));
    let head = |mark: char| {
        format!(
            "{mark} {} {name}{}",
            sort.as_str(),
            file.clone().unwrap_or_default()
        )
    };
    match &change.what {
        What::Create => vec![head('+')],
        What::Prune => vec![head('-')],
        What::Same => Vec::new(),
        What::Edit(fields) => {
            let field = |(name, was, to): &(&str, Option<&Field>, Option<&Field>)| {
                format!("    {name}: {} -> {}", value(*was), value(*to))
            };
            let fields = fields.iter().map(field);
            std::iter::once(head('~')).chain(fields).collect()
        }
    }
}

fn told(change: &Change<'_>) -> serde_json::Value {
    let json = |field: Option<&Field>| {
        let text = field.map(|field| field.json().get());
        text.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
    };
    let (what, fields) = match &change.what {
        What::Create => ("create", Vec::new()),
        What::Prune => ("prune", Vec::new()),
        What::Same => ("same", Vec::new()),
        What::Edit(fields) => {
            let field = |(name, was, to): &(&str, Option<&Field>, Option<&Field>)| serde_json::json!({"field": name, "from": json(*was), "to": json(*to)});
            ("change", fields.iter().map(field).collect())
        }
    };
    let Id { sort, name } = change.id;
    serde_json::json!({"sort": sort.as_str(), "name": name, "what": what, "fields": fields})
}

/// A value on a line; what is at its default is not said.
fn value(field: Option<&Field>) -> String {
    field.map_or("(default)".to_owned(), |field| {
        short(&field.json().get().replace('\n', " "), VALUE_CHARS_MAX)
    })
}

#[cfg(test)]
mod tests;
