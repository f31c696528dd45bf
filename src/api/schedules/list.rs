//! Schedules page by page at one revision, by name; each page is bounded, and so is what is read for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use futures::future::try_join_all;
use serde::Deserialize;

use super::{named, told};
use crate::api::answer::Answer;
use crate::api::body::{number, parameter, query};
use crate::api::error::ApiError;
use crate::api::state::Room;
use crate::api::wire::{Schedule, SchedulePage};
use crate::store::{Declared, LookError, TOGETHER_MAX};
use crate::task::Name;

/// 64 characters are told of a text that is no label.
const PAIR_CHARS_MAX: usize = 64;

/// 1,000 schedules to a page at most, 100 where nothing is said.
const LIMIT_MAX: usize = 1_000;
const LIMIT: usize = 100;

/// 32 reads to one page: a filter that nothing matches ends the page early, with a cursor to go on from.
const READS_MAX: usize = 32;

/// 8 MiB of payloads to a page, and what one read brings more: then it ends early.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// 16 ledgers are read at once, for the last line of those schedules that do not have it at hand.
const LEDGERS_AT_ONCE: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    cursor: Option<String>,
    limit: Option<String>,
    label: Option<String>,
    paused: Option<String>,
}

/// Which schedules.
struct Filter {
    labels: BTreeMap<String, String>,
    paused: Option<bool>,
}

/// Where a page begins: the revision, 0 for the newest, and the name before it.
#[derive(Default)]
struct Cursor {
    revision: i64,
    after: Option<Name>,
}

/// Lists schedules by name, page by page at one revision.
#[utoipa::path(get, path = "/v1/schedules", tag = "schedules",
    params(("label" = Option<String>, Query, description = "`key=value`, several with commas: those that have all of them"),
        ("paused" = Option<bool>, Query, description = "`true`: paused ones; `false`: the others"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filter"),
        ("limit" = Option<u32>, Query, description = "1 to 1,000; 100 where absent")),
    responses((status = 200, body = SchedulePage), (status = 410, description = "`cursor_expired`: list again from the start")))]
pub(in crate::api) async fn list(
    State(room): State<Arc<Room>>,
    uri: Uri,
) -> Result<Answer<SchedulePage>, ApiError> {
    let asked: Listed = query(&uri)?;
    let limit = number("limit", asked.limit.as_deref(), LIMIT, LIMIT_MAX)?;
    let filter = Filter {
        labels: labels(asked.label.as_deref())?,
        paused: asked.paused.as_deref().map(paused).transpose()?,
    };
    let cursor = asked.cursor.as_deref().map(cursor).transpose()?;
    let pinned = cursor.is_some();
    let page = page(&room, &filter, cursor.unwrap_or_default(), limit).await;
    let page = page.map_err(|problem| {
        if pinned && problem.is_compacted() {
            ApiError::CursorExpired
        } else {
            problem.into()
        }
    })?;
    Ok(Answer::at(page.revision, page))
}

async fn page(
    room: &Room,
    filter: &Filter,
    from: Cursor,
    limit: usize,
) -> Result<SchedulePage, LookError> {
    let store = &room.door.store;
    let Cursor {
        mut revision,
        mut after,
    } = from;
    let (mut found, mut bytes, mut ended) = (Vec::new(), 0, false);
    for _ in 0..READS_MAX {
        let read = store.schedule_page(after.as_ref(), TOGETHER_MAX, revision);
        let (read, more, at) = read.await?;
        revision = at;
        let count = read.len();
        for (nth, declared) in read.into_iter().enumerate() {
            after = Some(declared.name.clone());
            if filter.takes(&declared) {
                bytes += declared.schedule.value.spec.payload.get().len();
                found.push(declared);
            }
            if found.len() == limit {
                ended = !more && nth + 1 == count;
                break;
            }
        }
        if found.len() == limit || bytes > PAGE_BYTES_MAX {
            break;
        }
        if !more {
            ended = true;
            break;
        }
    }
    let next = after.filter(|_| !ended);
    Ok(SchedulePage {
        items: told(room, &found).await?,
        next_cursor: next.map(|name| format!("{revision}.{name}")),
        revision,
    })
}

async fn told(room: &Room, found: &[Declared]) -> Result<Vec<Schedule>, LookError> {
    let mut told = Vec::with_capacity(found.len());
    for some in found.chunks(LEDGERS_AT_ONCE) {
        let lasts = some
            .iter()
            .map(|declared| room.door.store.ledger(declared, 1));
        let lasts = try_join_all(lasts).await?;
        let pairs = some.iter().zip(&lasts);
        told.extend(pairs.map(|(declared, last)| told::schedule(declared, last.first())));
    }
    Ok(told)
}

impl Filter {
    fn takes(&self, declared: &Declared) -> bool {
        let schedule = &declared.schedule.value;
        let is_paused = schedule.paused.is_some();
        self.paused.is_none_or(|paused| paused == is_paused) && told::has(schedule, &self.labels)
    }
}

fn labels(text: Option<&str>) -> Result<BTreeMap<String, String>, ApiError> {
    let pairs = text.into_iter().flat_map(|text| text.split(','));
    let pair = |pair: &str| {
        let split = pair.split_once('=');
        let split = split.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let pair: String = pair.chars().take(PAIR_CHARS_MAX).collect();
        split.ok_or_else(|| parameter("label", format!("`{pair}` is not `key=value`")))
    };
    pairs.map(pair).collect()
}

fn paused(text: &str) -> Result<bool, ApiError> {
    let wrong = |_| parameter("paused", "is not `true` or `false`");
    text.parse().map_err(wrong)
}

fn cursor(text: &str) -> Result<Cursor, ApiError> {
    let wrong = || parameter("cursor", "is not a next_cursor of this list");
    let (revision, name) = text.split_once('.').ok_or_else(wrong)?;
    let revision = revision.parse().ok().filter(|revision| *revision > 0);
    Ok(Cursor {
        revision: revision.ok_or_else(wrong)?,
        after: Some(named(name).map_err(|_| wrong())?),
    })
}
