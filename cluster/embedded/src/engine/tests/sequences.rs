//! Random sequences: the engine answers as the model does, and so does one rebuilt from its records.

use std::time::Duration;

use etcd_client::proto::{
    PbCompactionRequest, PbDeleteRequest, PbPutRequest, PbRangeRequest, PbTargetUnion,
    PbTxnOpRequest,
};
use proptest::prelude::*;

use super::super::{Engine, Error, Store};
use super::model::Model;
use super::{compare, delete, engine, grant, op, put, range, txn};

#[derive(Debug, Clone)]
enum Step {
    Put {
        key: Vec<u8>,
        value: u8,
        lease: i64,
    },
    Delete {
        key: Vec<u8>,
        end: Vec<u8>,
    },
    /// Puts the first and deletes the second where the version of the first is this, else puts the second.
    Txn {
        key: Vec<u8>,
        other: Vec<u8>,
        version: i64,
    },
    Grant {
        id: i64,
    },
    Revoke {
        id: i64,
    },
    Compact {
        back: i64,
    },
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"abc".to_vec()), 1..3)
}

fn end() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(vec![]), Just(vec![0]), key()]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (key(), any::<u8>(), 0..3_i64).prop_map(|(key, value, lease)| Step::Put { key, value, lease }),
        2 => (key(), end()).prop_map(|(key, end)| Step::Delete { key, end }),
        3 => (key(), key(), 0..3_i64).prop_map(|(key, other, version)| Step::Txn { key, other, version }),
        1 => (1..3_i64).prop_map(|id| Step::Grant { id }),
        1 => (1..3_i64).prop_map(|id| Step::Revoke { id }),
        1 => (0..12_i64).prop_map(|back| Step::Compact { back }),
    ]
}

struct Pair {
    engine: Engine,
    model: Model,
    leases: Vec<i64>,
    compacted: i64,
}

impl Pair {
    fn take(&mut self, step: Step) {
        match step {
            Step::Put { key, value, lease } => self.put(&key, value, lease),
            Step::Delete { key, end } => {
                let gone = self.model.within(self.model.revision(), &key, &end);
                let answer = self.engine.delete(&PbDeleteRequest {
                    prev_kv: true,
                    ..delete(&key, &end)
                });
                assert_eq!(answer.unwrap().prev_kvs, gone);
                self.deleted(gone.into_iter().map(|kv| kv.key));
            }
            Step::Txn {
                key,
                other,
                version,
            } => self.txn(&key, &other, version),
            Step::Grant { id } => {
                let answer = self.engine.grant(Duration::ZERO, &grant(id, 10)).err();
                let twice = self.leases.contains(&id);
                assert_eq!(answer, twice.then_some(Error::LeaseExists));
                if !twice {
                    self.leases.push(id);
                }
            }
            Step::Revoke { id } => {
                let there = self.leases.contains(&id);
                let answer = self.engine.revoke(id).err();
                assert_eq!(answer, (!there).then_some(Error::LeaseNotFound));
                self.leases.retain(|lease| *lease != id);
                let on_it = self.model.now().values().filter(|kv| kv.lease == id);
                let on_it: Vec<_> = on_it.map(|kv| kv.key.clone()).collect();
                self.deleted(on_it.into_iter());
            }
            Step::Compact { back } => {
                let revision = self.model.revision() - back;
                let answer = self.engine.compact(&PbCompactionRequest {
                    revision,
                    physical: false,
                });
                assert_eq!(answer.is_ok(), revision > self.compacted);
                self.compacted = self.compacted.max(revision);
            }
        }
        assert_eq!(self.engine.store().revision(), self.model.revision());
    }

    fn put(&mut self, key: &[u8], value: u8, lease: i64) {
        let request = PbPutRequest {
            lease,
            prev_kv: true,
            ..put(key, &[value])
        };
        let answer = self.engine.put(request);
        if lease != 0 && !self.leases.contains(&lease) {
            assert_eq!(answer.err(), Some(Error::LeaseNotFound));
            return;
        }
        assert_eq!(answer.unwrap().prev_kv.as_ref(), self.model.now().get(key));
        self.model
            .write(&[(key.to_vec(), Some((vec![value], lease)))]);
    }

    fn txn(&mut self, key: &[u8], other: &[u8], version: i64) {
        let compare = compare(key, b"", 0, 0, PbTargetUnion::Version(version));
        let puts = |key: &[u8]| op(PbTxnOpRequest::RequestPut(put(key, b"t")));
        let deletes = op(PbTxnOpRequest::RequestDeleteRange(delete(other, b"")));
        let request = txn(vec![compare], vec![puts(key), deletes], vec![puts(other)]);
        let answer = self.engine.txn(request);
        if key == other {
            assert_eq!(answer.err(), Some(Error::DuplicateKey));
            return;
        }
        let found = self.model.now().get(key).map_or(0, |kv| kv.version);
        assert_eq!(answer.unwrap().succeeded, found == version);
        let mut writes = Vec::new();
        if found == version {
            writes.push((key.to_vec(), Some((b"t".to_vec(), 0))));
            if self.model.now().contains_key(other) {
                writes.push((other.to_vec(), None));
            }
        } else {
            writes.push((other.to_vec(), Some((b"t".to_vec(), 0))));
        }
        self.model.write(&writes);
    }

    fn deleted(&mut self, keys: impl Iterator<Item = Vec<u8>>) {
        let writes: Vec<_> = keys.map(|key| (key, None)).collect();
        self.model.write(&writes);
    }

    /// Every revision that can be read and watched is the model's.
    fn agree(&self, store: &Store, key: &[u8], end: &[u8]) {
        let oldest = self.compacted.max(1);
        for revision in oldest..=self.model.revision() {
            let wanted = self.model.within(revision, key, end);
            let span = super::super::Span::new(key, end);
            let (found, count) = store.range(span, revision, 0).unwrap();
            let found: Vec<_> = found.iter().map(|record| record.kv.clone()).collect();
            assert_eq!(
                (&found, count),
                (&wanted, wanted.len()),
                "revision {revision}"
            );
        }
        for revision in oldest.max(2)..=self.model.revision() {
            let mut told: Vec<_> = store
                .log(revision)
                .iter()
                .map(|record| {
                    let value = (!record.deleted()).then(|| record.kv.value.clone());
                    (record.kv.key.clone(), value)
                })
                .collect();
            told.sort();
            assert_eq!(
                told,
                self.model.changes(revision),
                "events of revision {revision}"
            );
        }
        let before = store.range(super::super::Span::One(b"a"), oldest - 1, 0);
        assert_eq!(
            before.is_err(),
            oldest - 1 > 0 && oldest - 1 < self.compacted
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_answers_as_the_model_does(
        steps in prop::collection::vec(step(), 1..60),
        (key, end) in (key(), end()),
    ) {
        let mut pair = Pair { engine: engine(), model: Model::new(), leases: vec![], compacted: -1 };
        for step in steps {
            pair.take(step);
        }

        pair.agree(pair.engine.store(), &key, &end);
        let limited = PbRangeRequest { limit: 2, ..range(&key, &end) };
        let limited = pair.engine.range(&limited).unwrap();
        let all = pair.model.within(pair.model.revision(), &key, &end);
        prop_assert_eq!(limited.more, all.len() > 2);
        prop_assert_eq!(&limited.kvs[..], &all[..all.len().min(2)]);

        let mut records: Vec<_> = pair.engine.store().records().map(|record| (**record).clone()).collect();
        records.sort_by_key(|record| (record.kv.mod_revision, record.sub));
        let (rebuilt, dropped) = Store::rebuild(records, pair.model.revision(), pair.compacted);
        pair.agree(&rebuilt, &key, &end);
        prop_assert_eq!(dropped, vec![]);
        prop_assert_eq!(rebuilt.bytes(), pair.engine.store().bytes());
    }
}
