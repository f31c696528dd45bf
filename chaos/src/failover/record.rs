//! What came of trials so far: a file of JSON lines, to which each chapter is added when it is over, so that an interrupted test
//! goes on and a finished one can be told again.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tenure_chaos::check::shows::Shown;
use tenure_chaos::history::Show;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    /// What one trial shows.
    Trial {
        chapter: u64,
        #[serde(flatten)]
        shown: Shown,
    },
    /// A chapter is over: what the checks say of its whole history.
    Chapter {
        chapter: u64,
        failures: Vec<String>,
        /// Why nothing can be said, where its log is not whole.
        gap: Option<String>,
        history: PathBuf,
    },
}

/// The file.
pub(super) struct Record {
    path: PathBuf,
}

impl Record {
    pub(super) fn at(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path }
    }

    /// What is in it; nothing where there is none.
    pub(super) fn lines(&self) -> anyhow::Result<Vec<Line>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context(self.path.display().to_string()),
        };
        let parsed: Result<Vec<Line>, _> = text.lines().map(serde_json::from_str).collect();
        parsed.with_context(|| format!("{} has a line that is none", self.path.display()))
    }

    /// Adds a chapter, whole.
    pub(super) fn append(&self, lines: &[Line]) -> anyhow::Result<()> {
        let mut text = String::new();
        for line in lines {
            text += &serde_json::to_string(line)?;
            text.push('\n');
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path);
        let mut file = file.with_context(|| self.path.display().to_string())?;
        // One write: an interrupted test has all of a chapter or nothing of it.
        file.write_all(text.as_bytes())?;
        Ok(file.sync_all()?)
    }
}

/// How often each show was tried.
pub(super) fn counts(lines: &[Line]) -> BTreeMap<Show, u64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        if let Line::Trial { shown, .. } = line {
            *counts.entry(shown.trial.show).or_default() += 1;
        }
    }
    counts
}

/// How many chapters are over.
pub(super) fn chapters(lines: &[Line]) -> u64 {
    let number = |line: &Line| match line {
        Line::Chapter { chapter, .. } | Line::Trial { chapter, .. } => *chapter,
    };
    lines.iter().map(number).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_chaos::history::Trial;

    #[test]
    fn a_record_is_gone_on_with_where_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::at(&dir.path().join("record.jsonl"));
        assert_eq!(record.lines().unwrap(), []);
        let shown = Shown {
            trial: Trial {
                number: 1,
                show: Show::NodeKill,
                target: Some("n2".to_owned()),
            },
            at_ms: 7,
            figures: BTreeMap::from([("elsewhere_ms".to_owned(), 9)]),
            failures: vec!["two had it".to_owned()],
            nothing: None,
        };
        let chapter = |chapter| Line::Chapter {
            chapter,
            failures: Vec::new(),
            gap: None,
            history: "h".into(),
        };
        let trial = |chapter| Line::Trial {
            chapter,
            shown: shown.clone(),
        };

        record.append(&[trial(1), chapter(1)]).unwrap();
        record.append(&[trial(2), trial(2), chapter(2)]).unwrap();

        let lines = record.lines().unwrap();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0], trial(1));
        assert_eq!(counts(&lines), BTreeMap::from([(Show::NodeKill, 3)]));
        assert_eq!(chapters(&lines), 2);
    }
}
