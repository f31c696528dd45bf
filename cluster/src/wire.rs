//! Our values to etcd-client's and back. Pure; the only room that knows both.

use bytes::Bytes;
use etcd_client as etcd;

use crate::read::{KeyValue, Page, Range, Span};
use crate::txn::{Answer, Branch, Committed, Guard, Op, Outcome, Refused, Test, Txn};

/// A read in the else branch that tells which guards were false.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Probe<'a> {
    key: &'a str,
    oldest: bool,
    value: bool,
}

/// One read per guarded key, with its value where a guard tests that.
pub(crate) fn probes(guards: &[Guard]) -> Vec<Probe<'_>> {
    let mut probes: Vec<Probe<'_>> = Vec::with_capacity(guards.len());
    for guard in guards {
        let (oldest, value) = needs(&guard.test);
        match probes
            .iter_mut()
            .find(|probe| probe.key == guard.key && probe.oldest == oldest)
        {
            Some(probe) => probe.value |= value,
            None => probes.push(Probe {
                key: &guard.key,
                oldest,
                value,
            }),
        }
    }
    probes
}

/// Whether a test is about the oldest key under a prefix, and whether it needs a value.
fn needs(test: &Test) -> (bool, bool) {
    match test {
        Test::OldestIn(_) => (true, false),
        Test::ValueBelow(_) | Test::ValueAbove(_) => (false, true),
        Test::Absent | Test::CreatedAt(_) | Test::NotCreatedAt(_) | Test::ModifiedAt(_) => {
            (false, false)
        }
    }
}

/// The transaction as sent: the probes come first in each else branch, before anything there writes.
pub(crate) fn txn(txn: &Txn) -> etcd::Txn {
    let otherwise: Vec<etcd::TxnOp> = probes(&txn.guards)
        .iter()
        .map(probe)
        .chain(txn.otherwise.iter().map(op))
        .collect();
    etcd::Txn::new()
        .when(txn.guards.iter().map(compare).collect::<Vec<_>>())
        .and_then(txn.then.iter().map(op).collect::<Vec<_>>())
        .or_else(otherwise)
}

fn compare(guard: &Guard) -> etcd::Compare {
    use etcd::{Compare, CompareOp};
    let key = guard.key.as_str();
    match &guard.test {
        Test::Absent => Compare::create_revision(key, CompareOp::Equal, 0),
        Test::CreatedAt(at) => Compare::create_revision(key, CompareOp::Equal, *at),
        Test::NotCreatedAt(at) => Compare::create_revision(key, CompareOp::NotEqual, *at),
        Test::ModifiedAt(at) => Compare::mod_revision(key, CompareOp::Equal, *at),
        Test::ValueBelow(value) => Compare::value(key, CompareOp::Less, value.clone()),
        Test::ValueAbove(value) => Compare::value(key, CompareOp::Greater, value.clone()),
        Test::OldestIn(at) => {
            Compare::create_revision(key, CompareOp::Greater, at - 1).with_prefix()
        }
    }
}

fn probe(probe: &Probe<'_>) -> etcd::TxnOp {
    let options = etcd::GetOptions::new();
    let options = if probe.oldest {
        options
            .with_prefix()
            .with_sort(etcd::SortTarget::Create, etcd::SortOrder::Ascend)
            .with_limit(1)
    } else {
        options
    };
    let options = if probe.value {
        options
    } else {
        options.with_keys_only()
    };
    etcd::TxnOp::get(probe.key, Some(options))
}

fn op(op: &Op) -> etcd::TxnOp {
    match op {
        Op::Put { key, value, lease } => {
            let options = etcd::PutOptions::new().with_lease(*lease);
            etcd::TxnOp::put(key.as_str(), value.clone(), Some(options))
        }
        Op::Delete { key } => etcd::TxnOp::delete(key.as_str(), None),
        Op::DeletePrefix { prefix } => {
            let options = etcd::DeleteOptions::new().with_prefix();
            etcd::TxnOp::delete(prefix.as_str(), Some(options))
        }
        Op::Get { key } => etcd::TxnOp::get(key.as_str(), None),
        Op::GetPrefix { prefix, limit } => {
            let options = etcd::GetOptions::new().with_prefix().with_limit(*limit);
            etcd::TxnOp::get(prefix.as_str(), Some(options))
        }
        Op::Nested(inner) => etcd::TxnOp::txn(txn(inner)),
    }
}

/// What etcd answered to a transaction.
pub(crate) fn outcome(txn: &Txn, response: &etcd::TxnResponse) -> Outcome {
    let revision = response.header().map_or(0, etcd::ResponseHeader::revision);
    match branch(txn, response) {
        Branch::Held(results) => Outcome::Committed(Committed { revision, results }),
        Branch::Lost { lost, reads } => Outcome::Refused(Refused {
            revision,
            lost,
            reads,
        }),
    }
}

fn branch(txn: &Txn, response: &etcd::TxnResponse) -> Branch {
    let mut responses = response.op_responses();
    if response.succeeded() {
        return Branch::Held(answers(&txn.then, responses));
    }
    let probes = probes(&txn.guards);
    let reads = answers(
        &txn.otherwise,
        responses.split_off(probes.len().min(responses.len())),
    );
    let found: Vec<Option<KeyValue>> = responses.into_iter().map(first).collect();
    Branch::Lost {
        lost: lost(&txn.guards, &probes, &found),
        reads,
    }
}

fn first(response: etcd::TxnOpResponse) -> Option<KeyValue> {
    match response {
        etcd::TxnOpResponse::Get(mut get) => get.take_kvs().into_iter().next().map(key_value),
        etcd::TxnOpResponse::Put(_)
        | etcd::TxnOpResponse::Delete(_)
        | etcd::TxnOpResponse::Txn(_) => None,
    }
}

fn lost(guards: &[Guard], probes: &[Probe<'_>], found: &[Option<KeyValue>]) -> Vec<&'static str> {
    let holds = |guard: &Guard| {
        let (oldest, _) = needs(&guard.test);
        let at = probes
            .iter()
            .position(|p| p.key == guard.key && p.oldest == oldest);
        guard
            .test
            .holds(at.and_then(|at| found.get(at)).and_then(Option::as_ref))
    };
    let lost: Vec<&'static str> = guards
        .iter()
        .filter(|guard| !holds(guard))
        .map(|guard| guard.name)
        .collect();
    if lost.is_empty() {
        // `check` lets no neighbour write what a guard tests, so this is never seen; where it is, all of
        // them are suspect.
        return guards.iter().map(|guard| guard.name).collect();
    }
    lost
}

fn answers(ops: &[Op], responses: Vec<etcd::TxnOpResponse>) -> Vec<Answer> {
    ops.iter()
        .zip(responses)
        .map(|(op, response)| answer(op, response))
        .collect()
}

fn answer(op: &Op, response: etcd::TxnOpResponse) -> Answer {
    match response {
        etcd::TxnOpResponse::Put(_) => Answer::Put,
        etcd::TxnOpResponse::Delete(delete) => Answer::Deleted(delete.deleted()),
        etcd::TxnOpResponse::Get(mut get) => {
            Answer::Kvs(get.take_kvs().into_iter().map(key_value).collect())
        }
        etcd::TxnOpResponse::Txn(response) => match op {
            Op::Nested(inner) => Answer::Nested(branch(inner, &response)),
            Op::Put { .. }
            | Op::Delete { .. }
            | Op::DeletePrefix { .. }
            | Op::Get { .. }
            | Op::GetPrefix { .. } => unreachable!("etcd answers operations in their order"),
        },
    }
}

/// A read as sent.
pub(crate) fn range(range: &Range, serializable: bool) -> etcd::GetOptions {
    let mut options = etcd::GetOptions::new()
        .with_limit(range.limit)
        .with_revision(range.revision);
    match &range.span {
        Span::Key => {}
        Span::Prefix => options = options.with_prefix(),
        Span::Until(end) => options = options.with_range(end.as_str()),
    }
    if range.keys_only {
        options = options.with_keys_only();
    }
    if range.count_only {
        options = options.with_count_only();
    }
    if range.descending {
        options = options.with_sort(etcd::SortTarget::Key, etcd::SortOrder::Descend);
    }
    if serializable {
        options = options.with_serializable();
    }
    options
}

/// What etcd answered to a read.
pub(crate) fn page(mut response: etcd::GetResponse) -> Page {
    Page {
        revision: response.header().map_or(0, etcd::ResponseHeader::revision),
        count: response.count(),
        more: response.more(),
        kvs: response.take_kvs().into_iter().map(key_value).collect(),
    }
}

/// A key as we hold it.
pub(crate) fn key_value(kv: etcd::KeyValue) -> KeyValue {
    let (create_revision, mod_revision, version, lease) = (
        kv.create_revision(),
        kv.mod_revision(),
        kv.version(),
        kv.lease(),
    );
    let (key, value) = kv.into_key_value();
    KeyValue {
        key: String::from_utf8(key)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        value: Bytes::from(value),
        create_revision,
        mod_revision,
        version,
        lease,
    }
}
