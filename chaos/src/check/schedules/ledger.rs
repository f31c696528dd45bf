//! The lines of one schedule's ledger, as its revisions tell them: nothing is changed in it, nothing lost before its time.

use std::collections::BTreeMap;

use super::Touch;
use crate::check::keyspace::{Line, Page, Progress, Value};

/// 512 lines are kept of each schedule at least.
const KEPT_LINES: u64 = 512;

/// What a ledger has.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    count: u64,
    recent: Vec<Line>,
    /// How many lines there were when a page was full.
    full: BTreeMap<u64, u64>,
}

impl Ledger {
    /// The lines that a revision adds.
    ///
    /// # Errors
    /// How it is not what it was and more.
    pub(super) fn take(
        &mut self,
        progress: &Progress,
        touch: &Touch<'_>,
    ) -> Result<Vec<Line>, String> {
        let written = self.pages(touch)?;
        let mut lines: Vec<Line> = written.into_iter().flat_map(|page| page.lines).collect();
        lines.extend(progress.recent.iter().cloned());
        let (before, after) = (self.count, progress.count);
        let kept = std::mem::replace(&mut self.recent, progress.recent.clone());
        self.count = after;
        if !lines.starts_with(&kept) {
            let all = kept.len();
            return Err(format!("its ledger lost some of the last {all} lines"));
        }
        let added = lines.split_off(kept.len());
        if before + length(&added) != after {
            let (told, counted) = (added.len(), after.saturating_sub(before));
            return Err(format!(
                "its ledger has {told} lines more, and counts {counted}"
            ));
        }
        Ok(added)
    }

    /// Pages that are full by this revision.
    fn pages(&mut self, touch: &Touch<'_>) -> Result<Vec<Page>, String> {
        let mut written = Vec::new();
        for (number, change) in &touch.pages {
            match (change.was.as_deref(), change.is.as_deref()) {
                (None, Some(Value::Page(page))) => {
                    let next = self.full.keys().next_back().map_or(0, |last| last + 1);
                    if *number != next {
                        return Err(format!("page {number} of its ledger follows {next} pages"));
                    }
                    let until = self.full.values().next_back().copied().unwrap_or(0);
                    self.full.insert(*number, until + length(&page.lines));
                    written.push(page.clone());
                }
                (Some(_), None) => {}
                _ => return Err(format!("page {number} of its ledger was written again")),
            }
        }
        let until = self.full.values().next_back().copied().unwrap_or(0);
        for (number, change) in &touch.pages {
            let at = self.full.get(number).copied().unwrap_or(0);
            if change.is.is_none() && at + KEPT_LINES > until {
                return Err(format!("page {number} of its ledger went too early"));
            }
        }
        Ok(written)
    }
}

fn length(lines: &[Line]) -> u64 {
    u64::try_from(lines.len()).unwrap_or(u64::MAX)
}
