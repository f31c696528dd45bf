//! Ranges: filters, order and limits as etcd applies them.

use etcd_client::proto::{PbKeyValue, PbRangeRequest, PbRangeResponse, PbResponseHeader};

use super::error::Error;
use super::record::Shared;
use super::span::Span;
use super::store::Store;

const SORT_NONE: i32 = 0;
const SORT_DESCEND: i32 = 2;
const BY_KEY: i32 = 0;

/// Answers a range; the header has only the revision.
pub(crate) fn range(store: &Store, request: &PbRangeRequest) -> Result<PbRangeResponse, Error> {
    let limit = usize::try_from(request.limit).ok().filter(|max| *max > 0);
    // Whatever filters or sorts sees all keys. One more than the limit shows that there are more.
    let fetched = match limit {
        Some(_) if request.sort_order == SORT_NONE && !filters(request) => {
            request.limit.saturating_add(1)
        }
        _ => 0,
    };
    let span = Span::new(&request.key, &request.range_end);
    let (mut records, count) = store.range(span, request.revision, fetched)?;
    let mut answer = PbRangeResponse {
        header: Some(PbResponseHeader {
            revision: store.current(),
            ..PbResponseHeader::default()
        }),
        count: i64::try_from(count).expect("keys in memory are fewer than 2^63"),
        ..PbRangeResponse::default()
    };
    if request.count_only {
        return Ok(answer);
    }
    if filters(request) {
        records.retain(|record| passes(request, &record.kv));
    }
    sort(request, &mut records);
    if let Some(limit) = limit
        && records.len() > limit
    {
        records.truncate(limit);
        answer.more = true;
    }
    let shown = records.iter().map(|record| show(request, &record.kv));
    answer.kvs = shown.collect();
    Ok(answer)
}

fn filters(request: &PbRangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes(request: &PbRangeRequest, kv: &PbKeyValue) -> bool {
    let within = |revision: i64, min: i64, max: i64| {
        (min == 0 || revision >= min) && (max == 0 || revision <= max)
    };
    within(
        kv.mod_revision,
        request.min_mod_revision,
        request.max_mod_revision,
    ) && within(
        kv.create_revision,
        request.min_create_revision,
        request.max_create_revision,
    )
}

/// Sorts where asked to. A target other than the key sorts even without an order, ascending, and then only
/// what the limit had let through. Equals stay in the order of their keys.
fn sort(request: &PbRangeRequest, records: &mut [Shared]) {
    if request.sort_target == BY_KEY && request.sort_order != SORT_DESCEND {
        return;
    }
    let compare = |a: &Shared, b: &Shared| match request.sort_target {
        1 => a.kv.version.cmp(&b.kv.version),
        2 => a.kv.create_revision.cmp(&b.kv.create_revision),
        3 => a.kv.mod_revision.cmp(&b.kv.mod_revision),
        4 => a.kv.value.cmp(&b.kv.value),
        _ => a.kv.key.cmp(&b.kv.key),
    };
    if request.sort_order == SORT_DESCEND {
        records.sort_by(|a, b| compare(b, a));
    } else {
        records.sort_by(compare);
    }
}

fn show(request: &PbRangeRequest, kv: &PbKeyValue) -> PbKeyValue {
    if !request.keys_only {
        return kv.clone();
    }
    PbKeyValue {
        key: kv.key.clone(),
        value: Vec::new(),
        ..*kv
    }
}
