//! The harness can fail: answers of a real etcd with one rule broken are told from those of another, by a short sequence.

use etcd_client::proto::PbTxnOpResponse;

use crate::answer::Answer;
use crate::compare::{Fault, Pair};
use crate::{connect, search};
use tenure_testkit::Etcd;

/// 5,000 operations are to show any of the faults; most take a hundred.
const OPS: usize = 5_000;

/// A rule and how it is broken, and the most operations that are needed to show it.
const FAULTS: &[(&str, usize, Fault)] = &[
    ("a limit says that there is more", 4, |step| {
        if let Answer::Range(r) = &mut step.answer {
            r.more = false;
        }
    }),
    ("a put tells of what was there before", 2, |step| {
        if let Answer::Put(r) = &mut step.answer {
            r.prev_kv = None;
        }
    }),
    ("keys come in order", 3, |step| {
        if let Answer::Range(r) = &mut step.answer {
            r.kvs.reverse();
        }
    }),
    ("a delete in a transaction is counted", 2, |step| {
        if let Answer::Txn(r) = &mut step.answer {
            for op in &mut r.responses {
                if let Some(PbTxnOpResponse::ResponseDeleteRange(r)) = &mut op.response {
                    r.deleted = 0;
                }
            }
        }
    }),
    ("a refusal has its message", 2, |step| {
        if let Answer::Refused(_, message) = &mut step.answer {
            message.make_ascii_uppercase();
        }
    }),
    ("a watch tells of what was there before", 3, |step| {
        for (_, response) in &mut step.watched {
            response
                .events
                .iter_mut()
                .for_each(|event| event.prev_kv = None);
        }
    }),
    ("a watch tells of deletes", 3, |step| {
        for (_, response) in &mut step.watched {
            response.events.retain(|event| event.r#type == 0);
        }
    }),
    ("a watch of what was compacted says so", 2, |step| {
        for (_, response) in &mut step.watched {
            response.compact_revision = 0;
        }
    }),
    ("a revision comes whole", 3, |step| {
        for (stream, mut response) in std::mem::take(&mut step.watched) {
            let rest = response.events.split_off(response.events.len().min(1));
            let mut second = response.clone();
            step.watched.push((stream, response));
            if !rest.is_empty() {
                second.events = rest;
                step.watched.push((stream, second));
            }
        }
    }),
];

#[tokio::test]
async fn a_broken_rule_is_found_and_shrunk() {
    let (one, two) = (Etcd::single(), Etcd::single());
    for (rule, ops_max, fault) in FAULTS {
        let pair = Pair {
            etcd: connect(&one),
            other: connect(&two),
            fault: Some(*fault),
        };
        let found = search(&pair, 1, OPS).await.expect_err(rule);
        let found = pair.shrink(*found).await;
        eprintln!("{rule}: {found}");
        assert!(found.ops.len() <= *ops_max, "{rule}: {found}");
    }
}
