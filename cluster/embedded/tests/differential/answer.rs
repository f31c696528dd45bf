//! What came back, and its text with revisions counted from the start of the sequence. Two answers are equal where their texts
//! are, so a text holds every field that both servers must agree on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use etcd_client::proto::{
    PbDeleteResponse, PbEvent, PbKeyValue, PbLeaseGrantResponse, PbLeaseKeepAliveResponse,
    PbLeaseLeasesResponse, PbLeaseTimeToLiveResponse, PbPutResponse, PbRangeResponse,
    PbResponseHeader, PbTxnOpResponse, PbTxnResponse, PbWatchResponse,
};
use tonic::Code;

/// The answer to one operation.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Range(PbRangeResponse),
    Put(PbPutResponse),
    Delete(PbDeleteResponse),
    Txn(PbTxnResponse),
    Compact(Option<PbResponseHeader>),
    Grant(PbLeaseGrantResponse),
    Revoke(Option<PbResponseHeader>),
    KeepAlive(PbLeaseKeepAliveResponse),
    TimeToLive(PbLeaseTimeToLiveResponse),
    Leases(PbLeaseLeasesResponse),
    /// Asked on a stream of watches; what is answered is among [`Step::watched`].
    Streamed,
    Refused(Code, String),
}

/// One operation's answer, and all that the streams had brought when they were next waited for.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) answer: Answer,
    pub(crate) watched: Vec<(usize, PbWatchResponse)>,
}

/// Writes answers with revisions relative to a base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) base: i64,
}

/// What the base is written as, so that earlier revisions are not negative.
const BASE_SHOWN: i64 = 1000;
/// 64 bytes of a value are written out.
const VALUE_SHOWN: usize = 64;
/// 5 s of a lease that may have gone by between grant and question.
const TTL_TOLERANCE_SECS: i64 = 5;

impl Text {
    /// All of a step, a line for the answer and one for each thing watched.
    pub(crate) fn step(self, step: &Step) -> String {
        let mut text = self.answer(&step.answer);
        for ((stream, id), lines) in self.watched(&step.watched) {
            for line in lines {
                let _ = write!(text, "\n  stream {stream} watch {id}: {line}");
            }
        }
        text
    }

    fn rev(self, rev: i64) -> i64 {
        if rev <= 0 {
            rev
        } else {
            rev - self.base + BASE_SHOWN
        }
    }

    fn header(self, header: Option<&PbResponseHeader>) -> String {
        match header {
            None => "no header".to_owned(),
            // Ids and the term are the server's own; that they are there is not.
            Some(h) => format!(
                "@{}{}",
                self.rev(h.revision),
                if h.cluster_id == 0 || h.member_id == 0 || h.raft_term == 0 {
                    " (ids or term missing)"
                } else {
                    ""
                }
            ),
        }
    }

    fn answer(self, answer: &Answer) -> String {
        match answer {
            Answer::Range(r) => format!("range {}", self.range(r)),
            Answer::Put(r) => format!("put {}", self.put(r)),
            Answer::Delete(r) => format!("delete {}", self.delete(r)),
            Answer::Txn(r) => format!("txn {}", self.txn(r)),
            Answer::Compact(h) => format!("compact {}", self.header(h.as_ref())),
            Answer::Revoke(h) => format!("revoke {}", self.header(h.as_ref())),
            Answer::Grant(r) => {
                let header = self.header(r.header.as_ref());
                format!(
                    "grant {header} id={} ttl={} error={:?}",
                    r.id, r.ttl, r.error
                )
            }
            Answer::KeepAlive(r) => {
                let header = self.header(r.header.as_ref());
                format!("keepalive {header} id={} ttl={}", r.id, r.ttl)
            }
            Answer::TimeToLive(r) => self.time_to_live(r),
            Answer::Leases(r) => {
                let ids: Vec<i64> = r.leases.iter().map(|lease| lease.id).collect();
                format!("leases {} {ids:?}", self.header(r.header.as_ref()))
            }
            Answer::Streamed => "on the stream".to_owned(),
            Answer::Refused(code, message) => format!("refused {code:?} {message:?}"),
        }
    }

    fn kv(self, kv: &PbKeyValue) -> String {
        format!(
            "{{{}={} c{} m{} v{} l{}}}",
            kv.key.escape_ascii(),
            value(&kv.value),
            self.rev(kv.create_revision),
            self.rev(kv.mod_revision),
            kv.version,
            kv.lease
        )
    }

    fn kvs<'a>(self, kvs: impl IntoIterator<Item = &'a PbKeyValue>) -> String {
        let kvs: Vec<String> = kvs.into_iter().map(|kv| self.kv(kv)).collect();
        format!("[{}]", kvs.join(" "))
    }

    fn range(self, r: &PbRangeResponse) -> String {
        let header = self.header(r.header.as_ref());
        format!(
            "{header} count={} more={} {}",
            r.count,
            r.more,
            self.kvs(&r.kvs)
        )
    }

    fn put(self, r: &PbPutResponse) -> String {
        format!(
            "{} prev={}",
            self.header(r.header.as_ref()),
            self.kvs(&r.prev_kv)
        )
    }

    fn delete(self, r: &PbDeleteResponse) -> String {
        let header = self.header(r.header.as_ref());
        format!(
            "{header} deleted={} prev={}",
            r.deleted,
            self.kvs(&r.prev_kvs)
        )
    }

    fn txn(self, r: &PbTxnResponse) -> String {
        let inner = r.responses.iter().map(|op| match &op.response {
            None => "nothing".to_owned(),
            Some(PbTxnOpResponse::ResponseRange(r)) => format!("range {}", self.range(r)),
            Some(PbTxnOpResponse::ResponsePut(r)) => format!("put {}", self.put(r)),
            Some(PbTxnOpResponse::ResponseDeleteRange(r)) => format!("delete {}", self.delete(r)),
            Some(PbTxnOpResponse::ResponseTxn(r)) => format!("txn {}", self.txn(r)),
        });
        let inner: Vec<String> = inner.collect();
        let header = self.header(r.header.as_ref());
        format!("{header} succeeded={} ({})", r.succeeded, inner.join("; "))
    }

    /// Keys come in no order from etcd; of what is left of the time, only that it is about all.
    fn time_to_live(self, r: &PbLeaseTimeToLiveResponse) -> String {
        let mut keys: Vec<String> = r
            .keys
            .iter()
            .map(|k| k.escape_ascii().to_string())
            .collect();
        keys.sort();
        let left = if r.ttl <= r.granted_ttl && r.ttl >= r.granted_ttl - TTL_TOLERANCE_SECS {
            "about all".to_owned()
        } else {
            r.ttl.to_string()
        };
        let header = self.header(r.header.as_ref());
        format!(
            "ttl {header} id={} granted={} left={left} keys={keys:?}",
            r.id, r.granted_ttl
        )
    }

    /// Each watch's stream in order. How revisions are grouped into responses is timing; that a revision comes whole, and
    /// not above the header's revision, is not.
    fn watched(self, watched: &[(usize, PbWatchResponse)]) -> BTreeMap<(usize, i64), Vec<String>> {
        let mut logs: BTreeMap<(usize, i64), Vec<String>> = BTreeMap::new();
        let mut last: BTreeMap<(usize, i64), (i64, bool)> = BTreeMap::new();
        for (stream, response) in watched {
            let at = (*stream, response.watch_id);
            let log = logs.entry(at).or_default();
            log.extend(self.control(response));
            let first = response.events.first().map_or(0, mod_revision);
            if let Some((rev, fragment)) = last.get(&at)
                && *rev == first
                && first != 0
                && !fragment
            {
                log.push(format!(
                    "torn: revision {} in two responses",
                    self.rev(first)
                ));
            }
            log.extend(response.events.iter().map(|event| self.event(event)));
            if let Some(event) = response.events.last() {
                let header = response.header.as_ref().map_or(0, |h| h.revision);
                if header < mod_revision(event) {
                    log.push(format!("its header is older: {}", self.rev(header)));
                }
                last.insert(at, (mod_revision(event), response.fragment));
            }
        }
        logs
    }

    /// What a response says beside its events.
    fn control(self, r: &PbWatchResponse) -> Option<String> {
        if !r.events.is_empty() && !r.created && !r.canceled {
            return None;
        }
        let word = match (r.created, r.canceled) {
            (true, false) => "created",
            (true, true) => "not created",
            (false, true) => "canceled",
            (false, false) => "progress",
        };
        Some(format!(
            "{word} {} compacted={} reason={:?}",
            self.header(r.header.as_ref()),
            self.rev(r.compact_revision),
            r.cancel_reason
        ))
    }

    fn event(self, event: &PbEvent) -> String {
        let kind = match event.r#type {
            0 => "put",
            1 => "delete",
            _ => "unknown",
        };
        format!(
            "{kind} {} prev={}",
            self.kvs(&event.kv),
            self.kvs(&event.prev_kv)
        )
    }
}

/// Of large ones the length, and what they start with: large ones differ in these.
fn value(value: &[u8]) -> String {
    match value.get(VALUE_SHOWN..) {
        None | Some([]) => value.escape_ascii().to_string(),
        Some(_) => format!(
            "{}... {} B",
            value[..VALUE_SHOWN].escape_ascii(),
            value.len()
        ),
    }
}

fn mod_revision(event: &PbEvent) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}
