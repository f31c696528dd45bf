//! Reads on where a window runs low: bounded at both ends once a backlog is long, because etcd counts all keys of a range, whatever
//! its limit.

use tenure_cluster::{KeyValue, Page, Range};
use tracing::error;

use crate::plan::View;
use crate::store::{Keys, Lane, Live, LookError, Record, RecordId, Seen, Store};

/// 10,000 keys behind the edge: counting them takes etcd about a millisecond (some 90 ns each, docs/benchmarks.md); more are read in
/// bounded ranges.
const OPEN_KEYS_MAX: i64 = 10_000;

/// Reads what the windows want, at the view's revision.
///
/// # Errors
/// [`LookError`]; behind compaction the view has to be loaded anew.
pub(super) async fn refill(store: &Store, view: &mut View) -> Result<(), LookError> {
    let wanting: Vec<Lane> = view
        .lanes
        .iter()
        .filter(|(_, window)| window.wants().is_some())
        .map(|(lane, _)| lane.clone())
        .collect();
    for lane in wanting {
        refill_lane(store, view, &lane).await?;
    }
    if let Some(edge) = view.due.wants().map(str::to_owned) {
        let keys = store.keys();
        let end = Keys::past(&keys.due_prefix());
        let page = read(store, (edge, end), view.due.room(), view.revision).await?;
        let edge = edge_of(&page, None);
        let mut records = Vec::new();
        for kv in page.kvs {
            if let Some(Live::Due(ms, id)) = keys.live(&kv.key)
                && let Some(seen) = seen(&kv)
            {
                records.push((kv.key, (ms, id, seen)));
            }
        }
        view.due.extend(records, edge);
    }
    Ok(())
}

async fn refill_lane(store: &Store, view: &mut View, lane: &Lane) -> Result<(), LookError> {
    let (keys, revision) = (store.keys(), view.revision);
    let Some(window) = view.lanes.get_mut(lane) else {
        return Ok(());
    };
    let Some(edge) = window.wants().map(str::to_owned) else {
        return Ok(());
    };
    let end = Keys::past(&keys.ready_lane(lane));
    let bounded = window
        .span_ms()
        .and_then(|span| bound(keys, lane, &edge, span));
    let (to, near) = bounded.map_or((end.clone(), false), |to| (to, true));
    let page = read(store, (edge.clone(), to.clone()), window.room(), revision).await?;
    if near && page.kvs.is_empty() {
        // Nothing within the bound: read openly next time, the backlog is thinner than it was.
        window.extend([], Some(to));
        window.set_span(None);
        return Ok(());
    }
    let edge = edge_of(&page, near.then_some(to));
    let span = span(keys, &page);
    let mut records: Vec<(String, (RecordId, Seen<Record>))> = Vec::new();
    for kv in page.kvs {
        if let Some(Live::Ready(_, id)) = keys.live(&kv.key)
            && let Some(seen) = seen(&kv)
        {
            records.push((kv.key, (id, seen)));
        }
    }
    window.extend(records, edge);
    if let Some(span) = span {
        window.set_span(Some(span));
    } else if !near {
        window.set_span(None);
    }
    Ok(())
}

async fn read(
    store: &Store,
    (from, to): (String, String),
    room: usize,
    revision: i64,
) -> Result<Page, LookError> {
    let limit = i64::try_from(room).unwrap_or(i64::MAX);
    let range = Range::between(from, to).limit(limit).at(revision);
    Ok(store.connection().range(&range).await?)
}

/// Where the window is complete up to after this page.
fn edge_of(page: &Page, bounded: Option<String>) -> Option<String> {
    if page.more {
        page.kvs.last().map(|kv| Keys::following(&kv.key))
    } else {
        bounded
    }
}

/// How much time of packs to read next, in milliseconds: twice what this page spans, where the backlog behind it is long.
fn span(keys: &Keys, page: &Page) -> Option<u64> {
    if page.count < OPEN_KEYS_MAX {
        return None;
    }
    let made_ms = |kv: &KeyValue| match keys.live(&kv.key) {
        Some(Live::Ready(_, id)) => Some(id.pack.unix_ms()),
        Some(Live::Node(_) | Live::Lane(_) | Live::Due(..) | Live::Run(..) | Live::Stop(..))
        | None => None,
    };
    let (first, last) = (made_ms(page.kvs.first()?)?, made_ms(page.kvs.last()?)?);
    Some(last.saturating_sub(first).max(1) * 2)
}

/// A bound that much later than the edge, within the edge's priority.
fn bound(keys: &Keys, lane: &Lane, edge: &str, span_ms: u64) -> Option<String> {
    let (priority, pack) = keys.ready_edge(lane, edge)?;
    Some(keys.ready_since(lane, priority, pack.unix_ms() + span_ms))
}

/// None for what cannot be decoded: one such record must not keep the others waiting.
fn seen(kv: &KeyValue) -> Option<Seen<Record>> {
    Seen::of(kv)
        .inspect_err(|problem| error!(%problem, "left out of the view"))
        .ok()
}
