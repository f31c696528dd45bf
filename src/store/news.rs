//! Tells waiters that outcomes of their pack were committed; never says what the outcomes are.

use tokio_util::sync::CancellationToken;

use super::bells::{Bells, Heard, Listener};
use super::commit::Store;
use crate::task::PackId;

/// Where waiters for outcomes listen. A cheap handle.
#[derive(Clone, Default)]
pub struct News(Bells<PackId>);

/// Reads the news. One per node, owned by it.
pub struct Herald {
    store: Store,
    news: News,
}

/// The two ends.
pub fn news(store: &Store) -> (News, Herald) {
    let news = News::default();
    let herald = Herald {
        store: store.clone(),
        news: news.clone(),
    };
    (news, herald)
}

impl News {
    /// Listens for outcomes of a pack from now on. How many may, whoever asks bounds.
    pub fn of(&self, pack: PackId) -> Listener<PackId> {
        self.0.listen(pack)
    }
}

impl Herald {
    /// Watches while somebody waits, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let heard = Heard {
            bells: self.news.0,
            prefix: self.store.keys().result_prefix(),
            what: "outcomes",
            whose: |store, event| {
                let result = store.keys().result_of(&event.kv.key)?;
                Some(result.0)
            },
            woke: |_| (),
        };
        heard.tell(&self.store, &stop).await;
    }
}
