//! How much history is kept where no client compacts.

use std::collections::VecDeque;
use std::time::Duration;

use etcd_client::proto::PbCompactionRequest;

use crate::engine::Engine;

/// 5 min, how old a revision may be dropped: what Kubernetes keeps, and longer than any read needs.
const AGE: Duration = Duration::from_mins(5);
/// 5 s where there is no space: what the leader itself keeps then, and as long as a read may take.
const AGE_WHEN_FULL: Duration = Duration::from_secs(5);
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
    /// What could be seen some seconds ago, and when.
    before: (Duration, i64),
}

impl History {
    /// Compacts what is neither young nor among the last, every 10 s. Where there is no space, all that is
    /// older than 5 s: nobody else can, where its only client cannot get a lease. `visible` is the last revision that anybody can see.
    pub(crate) fn keep(&mut self, engine: &mut Engine, now: Duration, visible: i64) {
        let (at, before) = self.before;
        if now.saturating_sub(at) >= AGE_WHEN_FULL {
            self.before = (now, visible);
            if engine.full() {
                compact(engine, before);
            }
        }
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
        compact(engine, upto);
    }
}

/// Drops history before a revision, where there is any.
fn compact(engine: &mut Engine, revision: i64) {
    if revision > engine.store().compacted().max(1) {
        let request = PbCompactionRequest {
            revision,
            physical: false,
        };
        engine
            .compact(&request)
            .expect("between the compacted revision and the last");
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

    fn keep(history: &mut History, engine: &mut Engine, now: Duration) {
        let visible = engine.store().revision();
        history.keep(engine, now, visible);
    }

    fn engine() -> Engine {
        within(None)
    }

    fn within(quota_bytes: Option<usize>) -> Engine {
        Engine::new(Identity {
            member: 1,
            cluster: 2,
            quota_bytes,
            lease_seed: 1,
        })
    }

    #[test]
    fn what_is_old_and_not_among_the_last_is_dropped() {
        let (mut engine, mut history) = (engine(), History::default());
        write(&mut engine, REVISIONS_MIN + 50);
        let then = engine.store().revision();
        keep(&mut history, &mut engine, Duration::ZERO);
        write(&mut engine, 100);

        keep(&mut history, &mut engine, AGE.saturating_sub(EVERY));
        let young = engine.store().compacted();
        keep(&mut history, &mut engine, AGE);
        let few = engine.store().compacted();
        write(&mut engine, 2 * REVISIONS_MIN);
        keep(&mut history, &mut engine, AGE + EVERY);

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

        keep(&mut history, &mut engine, Duration::ZERO);

        let dropped = engine.store().revision() - REVISIONS_MAX;
        assert_eq!(engine.store().compacted(), dropped);
    }
    #[test]
    fn a_store_full_of_history_makes_room_by_itself_and_accepts_writes_again() {
        let (mut engine, mut history) = (within(Some(100_000)), History::default());
        let put = |engine: &mut Engine| {
            engine.put(PbPutRequest {
                key: b"a".to_vec(),
                value: vec![0; 10_000],
                ..PbPutRequest::default()
            })
        };
        while put(&mut engine).is_ok() {}
        engine.lower_where_room();
        assert!(engine.full(), "nothing has gone yet");

        keep(&mut history, &mut engine, AGE_WHEN_FULL);
        engine.lower_where_room();
        assert!(
            engine.full(),
            "what was there a moment ago is still readable"
        );
        keep(&mut history, &mut engine, 2 * AGE_WHEN_FULL);
        engine.lower_where_room();

        assert!(put(&mut engine).is_ok());
    }

    #[test]
    fn an_alarm_that_a_client_raised_is_not_lowered_by_itself() {
        let mut engine = within(Some(100_000));
        engine.raise_no_space();
        engine.lower_where_room();
        let request = PbPutRequest {
            key: b"a".to_vec(),
            ..PbPutRequest::default()
        };
        assert!(engine.put(request).is_err());
    }
}
