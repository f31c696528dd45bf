//! What a cluster has, as files would declare it, with the versions that an edit compares.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Id, Sort, Stored};
use super::fields::Fields;
use crate::api::wire::holds::HoldingPage;
use crate::api::wire::{
    QueuePage, QueueRules, QueueRulesRequest, Schedule, SchedulePage, SemaphoreRequest,
};
use crate::cli::client::{Client, escaped, query};
use crate::cli::{Exit, Failure};

/// 32 schedules are asked for one by one; where more are declared, all there are.
const ALONE_MAX: usize = 32;

/// 1,000 schedules to a page.
const PAGE: &str = "1000";

/// Everything of these sorts.
pub(super) async fn all(
    client: &Client,
    sorts: &BTreeSet<Sort>,
) -> Result<BTreeMap<Id, Stored>, Failure> {
    let mut stored = BTreeMap::new();
    for sort in sorts {
        match sort {
            Sort::Semaphore => semaphores(client, &mut stored).await?,
            Sort::Queue => queues(client, &mut stored).await?,
            Sort::Schedule => schedules(client, &mut stored).await?,
        }
    }
    Ok(stored)
}

/// Those that are declared, and all of the sorts that are to be pruned.
pub(super) async fn beside<'a>(
    client: &Client,
    declared: impl Iterator<Item = &'a Id>,
    prune: &BTreeSet<Sort>,
) -> Result<BTreeMap<Id, Stored>, Failure> {
    let mut whole = prune.clone();
    let mut alone: Vec<&Id> = Vec::new();
    for id in declared {
        match id.sort {
            Sort::Semaphore => {
                whole.insert(Sort::Semaphore);
            }
            Sort::Queue | Sort::Schedule => alone.push(id),
        }
    }
    let schedules = alone.iter().filter(|id| id.sort == Sort::Schedule);
    if schedules.count() > ALONE_MAX {
        whole.insert(Sort::Schedule);
    }
    let mut stored = all(client, &whole).await?;
    alone.retain(|id| {
        !whole.contains(&id.sort) || (id.sort == Sort::Queue && !stored.contains_key(id))
    });
    for id in alone {
        let seen = match id.sort {
            Sort::Queue => queue(client, &id.name).await?,
            Sort::Semaphore | Sort::Schedule => schedule(client, &id.name).await?,
        };
        stored.insert(id.clone(), seen);
    }
    Ok(stored)
}

async fn semaphores(client: &Client, stored: &mut BTreeMap<Id, Stored>) -> Result<(), Failure> {
    let mut cursor: Option<String> = None;
    loop {
        let path = query("/v1/semaphores", &[("cursor", cursor.as_deref())]);
        let page: HoldingPage = client.get(&path).await?.read()?;
        for row in page.items {
            let Some(limit) = row.limit else { continue };
            let limit = i64::from(limit);
            let seen = Stored {
                fields: Some(Fields::semaphore(&SemaphoreRequest { limit })),
                version: row.version,
            };
            stored.insert(id(Sort::Semaphore, row.name), seen);
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

async fn queues(client: &Client, stored: &mut BTreeMap<Id, Stored>) -> Result<(), Failure> {
    let page: QueuePage = client.get("/v1/queues").await?.read()?;
    for row in page.items.into_iter().filter(|row| row.rules.is_some()) {
        let seen = queue(client, &row.name).await?;
        stored.insert(id(Sort::Queue, row.name), seen);
    }
    Ok(())
}

async fn schedules(client: &Client, stored: &mut BTreeMap<Id, Stored>) -> Result<(), Failure> {
    let mut cursor: Option<String> = None;
    loop {
        let asked = [("limit", Some(PAGE)), ("cursor", cursor.as_deref())];
        let path = query("/v1/schedules", &asked);
        let page: SchedulePage = client.get(&path).await?.read()?;
        for schedule in page.items {
            stored.insert(id(Sort::Schedule, schedule.name.clone()), of(schedule));
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

async fn queue(client: &Client, name: &str) -> Result<Stored, Failure> {
    let path = format!("/v1/queues/{}/rules", escaped(name));
    let QueueRules { rules, version, .. } = client.get(&path).await?.read()?;
    // A pause is no rule: it is not in files.
    let has_rules = rules != QueueRulesRequest::default();
    Ok(Stored {
        fields: has_rules.then(|| Fields::queue(rules)),
        version,
    })
}

async fn schedule(client: &Client, name: &str) -> Result<Stored, Failure> {
    match client
        .get(&format!("/v1/schedules/{}", escaped(name)))
        .await
    {
        Ok(answer) => Ok(of(answer.read()?)),
        Err(none) if none.exit == Exit::NotFound => Ok(Stored::default()),
        Err(failure) => Err(failure),
    }
}

fn of(schedule: Schedule) -> Stored {
    Stored {
        version: schedule.version,
        fields: Some(Fields::schedule(schedule.declared())),
    }
}

fn id(sort: Sort, name: String) -> Id {
    Id { sort, name }
}
