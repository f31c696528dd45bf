//! Reads of more than fits one answer: whole prefixes page by page at one revision, and looks that etcd's compaction overtook, once
//! more. Never decides what is read.

use tenure_cluster::{KeyValue, Range};

use super::commit::Store;
use super::keys::Keys;
use super::locate::LookError;

/// 2,048 keys to one read of what is read whole.
const READ_KEYS: i64 = 2_048;

/// 3 looks at one thing: compaction overtakes a look once in a while, never three in a row unless something is wrong.
const LOOKS_MAX: usize = 3;

impl Store {
    /// Hands over all keys of a prefix at a revision, read in bounded pages.
    ///
    /// # Errors
    /// [`LookError`], and what `take` says.
    pub(super) async fn each(
        &self,
        prefix: &str,
        revision: i64,
        mut take: impl FnMut(KeyValue) -> Result<(), LookError> + Send,
    ) -> Result<(), LookError> {
        let (mut from, end) = (prefix.to_owned(), Keys::past(prefix));
        loop {
            let range = Range::between(from, end.clone())
                .limit(READ_KEYS)
                .at(revision);
            let page = self.connection().range(&range).await?;
            let last = page.kvs.last().map(|kv| Keys::following(&kv.key));
            page.kvs.into_iter().try_for_each(&mut take)?;
            match last {
                Some(next) if page.more => from = next,
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// All keys of a prefix at a revision.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn whole(&self, prefix: &str, revision: i64) -> Result<Vec<KeyValue>, LookError> {
        let mut kvs = Vec::new();
        self.each(prefix, revision, |kv| {
            kvs.push(kv);
            Ok(())
        })
        .await?;
        Ok(kvs)
    }
}

/// Looks, and looks again at a newer revision where etcd compacted that one between two reads.
///
/// # Errors
/// The last look's.
pub(super) async fn looked<T, Look: Future<Output = Result<T, LookError>> + Send>(
    look: impl Fn() -> Look + Send,
) -> Result<T, LookError> {
    let mut looks = 1;
    loop {
        match look().await {
            Err(problem) if problem.is_compacted() && looks < LOOKS_MAX => looks += 1,
            seen => return seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tenure_cluster::ReadError;

    use super::*;

    /// What is seen where the first looks find their revision compacted, and how often was looked.
    async fn overtaken(times: usize) -> (Result<usize, LookError>, usize) {
        let looks = AtomicUsize::new(0);
        let seen = looked(|| async {
            let before = looks.fetch_add(1, Ordering::Relaxed);
            if before < times {
                return Err(ReadError::Compacted { at: 7 }.into());
            }
            Ok(before)
        })
        .await;
        (seen, looks.into_inner())
    }

    #[tokio::test]
    async fn what_compaction_overtook_is_looked_at_again_and_not_for_ever() {
        for (times, looks) in [(0, 1), (2, 3), (9, LOOKS_MAX)] {
            let (seen, looked) = overtaken(times).await;
            assert_eq!((seen.is_ok(), looked), (times < LOOKS_MAX, looks));
        }
    }
}
