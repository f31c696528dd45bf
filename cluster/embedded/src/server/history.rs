//! How much history is kept where no client compacts.

use std::collections::VecDeque;
use std::time::Duration;

use etcd_client::proto::PbCompactionRequest;

use crate::engine::Engine;

/// 5 min, how old a revision may be dropped: what Kubernetes keeps, and longer than any read needs.
const AGE: Duration = Duration::from_mins(5);
/// 10,000 revisions are kept however old, so that a quiet server keeps what its watches may ask for.
const REVISIONS_MIN: i64 = 10_000;
/// 500,000 revisions at most, however young: some 250 MB at 500 bytes each.
const REVISIONS_MAX: i64 = 500_000;
/// 10 s between looks: a compaction then drops a thirtieth of what is kept.
const EVERY: Duration = Duration::from_secs(10);

/// When which revision was the last.
#[derive(Debug, Default)]
pub(crate) struct History {
    seen: VecDeque<(Duration, i64)>,
    next: Duration,
}

impl History {
    /// Compacts what is neither young nor among the last, every 10 s.
    pub(crate) fn keep(&mut self, engine: &mut Engine, now: Duration) {
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let revision = engine.store().revision();
        self.seen.push_back((now, revision));
        let mut old = 0;
        while let Some((at, then)) = self.seen.front()
            && now.saturating_sub(*at) >= AGE
        {
            old = *then;
            self.seen.pop_front();
        }
        if old > 0 {
            // Still the newest that is old enough at the next look.
            self.seen.push_front((now.saturating_sub(AGE), old));
        }
        let upto = old
            .min(revision - REVISIONS_MIN)
            .max(revision - REVISIONS_MAX);
        if upto > engine.store().compacted().max(1) {
            let request = PbCompactionRequest {
                revision: upto,
                physical: false,
            };
            engine
                .compact(&request)
                .expect("between the compacted revision and the last");
        }
    }
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::PbPutRequest;

    use super::*;
    use crate::engine::Identity;

    /// Writes so many revisions.
    fn write(engine: &mut Engine, revisions: i64) {
        for _ in 0..revisions {
            let request = PbPutRequest {
                key: b"a".to_vec(),
                ..PbPutRequest::default()
            };
            engine.put(request).unwrap();
        }
    }

    fn engine() -> Engine {
        Engine::new(Identity {
            member: 1,
            cluster: 2,
            quota_bytes: None,
            lease_seed: 1,
        })
    }

    #[test]
    fn what_is_old_and_not_among_the_last_is_dropped() {
        let (mut engine, mut history) = (engine(), History::default());
        write(&mut engine, REVISIONS_MIN + 50);
        let then = engine.store().revision();
        history.keep(&mut engine, Duration::ZERO);
        write(&mut engine, 100);

        history.keep(&mut engine, AGE.saturating_sub(EVERY));
        let young = engine.store().compacted();
        history.keep(&mut engine, AGE);
        let few = engine.store().compacted();
        write(&mut engine, 2 * REVISIONS_MIN);
        history.keep(&mut engine, AGE + EVERY);

        assert!(young <= 0, "{young} though nothing is old");
        // Of what is old, the last 10,000 are kept.
        assert_eq!(few, then + 100 - REVISIONS_MIN);
        // Of what is beyond the last 10,000, what is young is kept.
        assert_eq!(engine.store().compacted(), then);
    }

    #[test]
    fn however_young_no_more_than_half_a_million_revisions_are_kept() {
        let (mut engine, mut history) = (engine(), History::default());
        write(&mut engine, REVISIONS_MAX + 7);

        history.keep(&mut engine, Duration::ZERO);

        let dropped = engine.store().revision() - REVISIONS_MAX;
        assert_eq!(engine.store().compacted(), dropped);
    }
}
