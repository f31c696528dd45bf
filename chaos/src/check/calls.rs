//! What clients asked and learned: each invocation with its end.

use std::collections::HashMap;

use crate::history::{Answer, Entry, History, Op};

/// One call.
#[derive(Debug)]
pub(super) struct Asked<'h> {
    /// Who asked.
    pub(super) client: &'h str,
    /// What was asked for.
    pub(super) op: &'h Op,
    /// When it was made, in milliseconds.
    pub(super) made_ms: u64,
    /// How it ended.
    pub(super) end: End<'h>,
    /// When it did, in milliseconds; when it was made, where no end was recorded.
    pub(super) end_ms: u64,
    /// Which record of the history made it, and which ended it; the same where no end was recorded.
    pub(super) records: (usize, usize),
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End<'h> {
    /// It was done.
    Ok(&'h Answer),
    /// It was certainly not done, for this reason.
    Fail(&'h str),
    /// Nobody knows; also where no end was recorded.
    Unknown,
}

/// All calls, in the order in which they were made.
pub(super) fn calls(history: &History) -> Vec<Asked<'_>> {
    let mut calls: Vec<Asked<'_>> = Vec::new();
    let mut open = HashMap::new();
    for (place, record) in history.records().iter().enumerate() {
        let (call, end) = match &record.entry {
            Entry::Invoke { call, op } => {
                open.insert(call, calls.len());
                calls.push(Asked {
                    client: &call.client,
                    op,
                    made_ms: record.at_ms,
                    end: End::Unknown,
                    end_ms: record.at_ms,
                    records: (place, place),
                });
                continue;
            }
            Entry::Ok { call, answer } => (call, End::Ok(answer)),
            Entry::Fail { call, why } => (call, End::Fail(why)),
            Entry::Info { call, .. } => (call, End::Unknown),
            Entry::Setup(_)
            | Entry::Store(_)
            | Entry::Marker(_)
            | Entry::RunStarted(_)
            | Entry::RunEnded { .. }
            | Entry::Effect(_)
            | Entry::Trial(_)
            | Entry::Injection(_)
            | Entry::Fault(_)
            | Entry::Healed { .. }
            | Entry::AllHealed
            | Entry::Node(_) => continue,
        };
        if let Some(nth) = open.remove(call) {
            (calls[nth].end, calls[nth].end_ms) = (end, record.at_ms);
            calls[nth].records.1 = place;
        }
    }
    calls
}
