//! What a cluster holds that was there before anybody recorded it: all its keys as of one revision.

use super::{CALL, connect};
use anyhow::Context as _;
use etcd_client::{GetOptions, KeyValue, SortOrder, SortTarget};
use tenure_chaos::history::{StoreEvent, Value};
use tokio::time::timeout;

/// 1,000 keys at a time.
const PAGE: i64 = 1_000;
/// 1,000 pages: a million keys.
const PAGES_MAX: usize = 1_000;

/// All keys at a revision, in the order of their last changes.
#[derive(Debug, Default)]
pub(super) struct There {
    pub(super) revision: i64,
    pub(super) events: Vec<StoreEvent>,
}

/// Reads them.
pub(super) async fn read(endpoints: &[String], root: &str) -> anyhow::Result<There> {
    let mut client = connect(endpoints).await?;
    let mut there = There::default();
    let end = after_prefix(root);
    let mut from = root.as_bytes().to_vec();
    for _ in 0..PAGES_MAX {
        let options = GetOptions::new()
            .with_range(end.clone())
            .with_limit(PAGE)
            .with_revision(there.revision)
            .with_sort(SortTarget::Key, SortOrder::Ascend);
        let answer = timeout(CALL, client.get(from, Some(options))).await??;
        let header = answer.header().context("an answer without a header")?;
        if there.revision == 0 {
            there.revision = header.revision();
        }
        there.events.extend(answer.kvs().iter().map(event));
        let last = answer.kvs().last().filter(|_| answer.more());
        let Some(last) = last else {
            there.events.sort_by_key(|event| event.revision);
            return Ok(there);
        };
        from = [last.key(), &[0]].concat();
    }
    anyhow::bail!("the cluster has more than {PAGES_MAX} pages of {PAGE} keys")
}

fn event(kv: &KeyValue) -> StoreEvent {
    StoreEvent {
        revision: kv.mod_revision(),
        key: String::from_utf8_lossy(kv.key()).into_owned(),
        value: Some(Value(kv.value().to_vec())),
        prev: None,
        lease: kv.lease(),
        create_revision: kv.create_revision(),
        version: kv.version(),
        by: None,
    }
}

/// The first key that does not begin with these words, which end with a slash.
fn after_prefix(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
