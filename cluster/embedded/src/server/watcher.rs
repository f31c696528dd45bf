//! One watch of a stream: what it asked for, how far it has come, what it is told next.

use etcd_client::EventType;
use etcd_client::proto::{PbEvent, PbKeyValue, PbWatchResponse};
use prost::Message;

use crate::engine::{Engine, REQUEST_BYTES_MAX, Record, Span};

/// 1,000 revisions in one answer, as etcd has for a watch that catches up.
const REVISIONS_PER_ANSWER: usize = 1_000;
/// 1 MiB of events in one answer, where they are of several revisions: a client may refuse more than 4 MiB.
const ANSWER_BYTES: usize = 1 << 20;
/// 10,000 revisions looked at while the state is locked: less than a millisecond.
const REVISIONS_PER_LOOK: i64 = 10_000;

/// What a watch asked for.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "these are etcd's options")]
pub(crate) struct Spec {
    pub(crate) key: Vec<u8>,
    pub(crate) range_end: Vec<u8>,
    /// The first revision wanted, 0 for the next.
    pub(crate) start_revision: i64,
    pub(crate) prev_kv: bool,
    pub(crate) no_put: bool,
    pub(crate) no_delete: bool,
    pub(crate) fragment: bool,
    pub(crate) progress_notify: bool,
}

/// One watch.
#[derive(Debug)]
pub(crate) struct Watcher {
    id: i64,
    spec: Spec,
    /// The first revision it has not been told of.
    next: i64,
    /// Whether it was told something since this was last cleared.
    pub(crate) told: bool,
    /// It was told that what it wants is compacted, and is told nothing more. As in etcd it keeps its id
    /// until it is canceled.
    over: bool,
}

/// What a look at the state gave.
pub(crate) enum Look {
    /// It knows all that is visible.
    Done,
    /// Told, or looked at so much that others come first; look again.
    More(Vec<PbWatchResponse>),
    /// What it wants next is compacted, which is the last it is told.
    Compacted(PbWatchResponse),
}

impl Spec {
    /// Whether no key can ever match.
    pub(crate) fn empty(&self) -> bool {
        Span::new(&self.key, &self.range_end).bounds().is_none()
    }

    fn wants(&self, record: &Record) -> bool {
        let filtered = if record.deleted() {
            self.no_delete
        } else {
            self.no_put
        };
        !filtered && Span::new(&self.key, &self.range_end).contains(&record.kv.key)
    }
}

impl Watcher {
    /// A watch from the wanted revision on, or from the next one after what is visible.
    pub(crate) fn new(id: i64, spec: Spec, visible: i64) -> Self {
        let next = match spec.start_revision {
            0 => visible + 1,
            start => start,
        };
        Self {
            id,
            spec,
            next,
            told: false,
            over: false,
        }
    }

    /// Whether it knows all that is visible, and wanted nothing later.
    pub(crate) fn synced(&self, visible: i64) -> bool {
        !self.over && self.next > visible && self.spec.start_revision <= visible
    }

    /// Whether it wants to be told of progress from time to time.
    pub(crate) fn wants_progress(&self) -> bool {
        self.spec.progress_notify
    }

    /// Looks for what it is to be told next: whole revisions, in order.
    pub(crate) fn look(&mut self, engine: &Engine, visible: i64) -> Look {
        if self.over {
            return Look::Done;
        }
        let store = engine.store();
        if self.next < store.compacted() {
            self.over = true;
            return Look::Compacted(PbWatchResponse {
                // As in etcd, without a revision.
                header: Some(engine.header_at(0)),
                watch_id: self.id,
                canceled: true,
                compact_revision: store.compacted(),
                ..PbWatchResponse::default()
            });
        }
        if self.next > visible {
            return Look::Done;
        }
        let last = visible.min(self.next + REVISIONS_PER_LOOK);
        let (mut events, mut revisions, mut bytes) = (Vec::new(), 0, 0);
        while self.next <= last && revisions < REVISIONS_PER_ANSWER && bytes < ANSWER_BYTES {
            let before = events.len();
            let wanted = store.log(self.next).iter();
            for record in wanted.filter(|record| self.spec.wants(record)) {
                bytes += record.bytes();
                events.push(self.event(engine, record));
            }
            revisions += usize::from(events.len() > before);
            self.next += 1;
        }
        if events.is_empty() {
            return Look::More(Vec::new());
        }
        self.told = true;
        Look::More(self.answers(engine, events))
    }

    /// What says that it knows everything up to the revision.
    pub(crate) fn progress(&self, engine: &Engine, visible: i64) -> PbWatchResponse {
        progress(engine, self.id, visible)
    }

    fn event(&self, engine: &Engine, record: &Record) -> PbEvent {
        let kind = if record.deleted() {
            EventType::Delete
        } else {
            EventType::Put
        };
        PbEvent {
            r#type: kind.into(),
            kv: Some(record.kv.clone()),
            prev_kv: self.prev_kv(engine, record),
        }
    }

    fn prev_kv(&self, engine: &Engine, record: &Record) -> Option<PbKeyValue> {
        if !self.spec.prev_kv || record.created() {
            return None;
        }
        let before = record.kv.mod_revision - 1;
        let found = engine.store().get_at(&record.kv.key, before);
        found.map(|record| record.kv.clone())
    }

    /// One answer, or several parts of one where that is allowed and it is large.
    fn answers(&self, engine: &Engine, events: Vec<PbEvent>) -> Vec<PbWatchResponse> {
        let answer = |events, fragment| PbWatchResponse {
            header: Some(engine.header_at(self.next - 1)),
            watch_id: self.id,
            events,
            fragment,
            ..PbWatchResponse::default()
        };
        if !self.spec.fragment {
            return vec![answer(events, false)];
        }
        let mut parts = vec![];
        let (mut part, mut bytes) = (Vec::new(), 0);
        for event in events {
            let size = event.encoded_len();
            if !part.is_empty() && bytes + size >= REQUEST_BYTES_MAX {
                parts.push(answer(std::mem::take(&mut part), true));
                bytes = 0;
            }
            bytes += size;
            part.push(event);
        }
        parts.push(answer(part, false));
        parts
    }
}

/// An answer without events: whoever has this id knows everything up to the revision.
pub(crate) fn progress(engine: &Engine, id: i64, visible: i64) -> PbWatchResponse {
    PbWatchResponse {
        header: Some(engine.header_at(visible)),
        watch_id: id,
        ..PbWatchResponse::default()
    }
}
