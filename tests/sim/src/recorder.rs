//! The store's log, from its first revision, over a connection that nothing breaks. Where it misses something it says so, and
//! then nothing can be judged.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Event, EventType, WatchOptions};
use tenure_chaos::history::{Entry, Marker, StoreEvent, Value};
use tenure_embedded::Embedded;
use tokio::sync::watch;

use crate::chronicle::Chronicle;
use crate::link::Writes;

/// 10 ms before a watch that was refused is asked for again.
const AGAIN: Duration = Duration::from_millis(10);

/// Watches everything and writes it down, until dropped or until something is missing; tells the last revision it has.
pub(crate) async fn record(
    store: Arc<Embedded>,
    writes: Writes,
    chronicle: Chronicle,
    has: watch::Sender<i64>,
) {
    let client = Client::from_channel(store.channel(), None)
        .await
        .expect("a channel is enough");
    loop {
        let from = *has.borrow() + 1;
        let options = WatchOptions::new()
            .with_all_keys()
            .with_start_revision(from)
            .with_prev_key();
        let watch = client.watch_client().watch("", Some(options)).await;
        let Ok(watch) = watch else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let (_sender, mut answers) = watch.split();
        // The stream ends where the store restarts: then it goes on where it was.
        while let Ok(Some(answer)) = answers.message().await {
            if answer.canceled() {
                return chronicle.saw(Entry::Marker(Marker::Gap { after: from - 1 }));
            }
            for event in answer.events() {
                chronicle.saw(told(event, &writes));
            }
            if let Some(last) = answer.events().last().and_then(Event::kv) {
                has.send_replace(last.mod_revision());
            }
        }
    }
}

fn told(event: &Event, writes: &Writes) -> StoreEvent {
    let kv = event.kv().expect("every event has a key");
    let put = event.event_type() == EventType::Put;
    let prev = event.prev_kv();
    let revision = kv.mod_revision();
    let by = writes
        .lock()
        .expect("nothing panics while it is held")
        .get(&revision)
        .copied();
    StoreEvent {
        revision,
        key: String::from_utf8_lossy(kv.key()).into_owned(),
        value: put.then(|| Value(kv.value().to_vec())),
        prev: prev.map(|kv| Value(kv.value().to_vec())),
        lease: if put {
            kv.lease()
        } else {
            prev.map_or(0, etcd_client::KeyValue::lease)
        },
        create_revision: if put { kv.create_revision() } else { 0 },
        version: if put { kv.version() } else { 0 },
        by: by.map(str::to_owned),
    }
}
