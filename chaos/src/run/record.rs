//! What is written down of a run, so that it can be gone on with: what it is, and what came of each chapter.

use super::options::Options;
use crate::scenario::Scenario;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tenure_chaos::summary::Chapter;

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) target: String,
    /// What else was said of the cluster, by the names of options; none where it was not written down.
    #[serde(default)]
    pub(super) place: Option<Vec<(String, String)>>,
    #[serde(default)]
    pub(super) version: String,
    pub(super) started: String,
    pub(super) command: String,
    /// Chapters that were begun so far; one that broke off counts, and its seed is not used again.
    pub(super) chapters: u64,
}

impl Facts {
    /// Of histories of which nothing else is known.
    pub(super) fn of_histories(histories: &[PathBuf]) -> Self {
        let names: Vec<String> = histories
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        Self {
            scenario: Scenario::of_histories(),
            seed: 0,
            target: "histories that were saved".to_owned(),
            place: None,
            version: String::new(),
            started: String::new(),
            command: format!("tenure-chaos report {}", names.join(" ")),
            chapters: 0,
        }
    }

    /// The first option by which these differ from what was said of the cluster before.
    fn unlike(&self, options: &Options) -> Option<String> {
        if self.target != options.target.to_string() {
            return Some("target".to_owned());
        }
        let (before, now) = (self.place.as_ref()?, place(options));
        let only = |of: &[(String, String)], other: &[(String, String)]| {
            of.iter().find(|said| !other.contains(said)).cloned()
        };
        let (name, _) = only(&now, before).or_else(|| only(before, &now))?;
        Some(name)
    }
}

/// What is said of the cluster.
fn place(options: &Options) -> Vec<(String, String)> {
    let said = options.place().into_iter();
    said.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// One line to a chapter.
#[derive(Serialize, Deserialize)]
struct Line {
    history: PathBuf,
    faults_ms: u64,
    chapter: Chapter,
}

/// The files of a run's directory.
pub(super) struct Record {
    dir: PathBuf,
}

impl Record {
    pub(super) fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// A new one, or the one that is gone on with, which has to be of the same scenario and seed, on the same cluster.
    pub(super) fn begin(&self, scenario: &Scenario, options: &Options) -> anyhow::Result<Facts> {
        if !self.file("run.json").exists() {
            let facts = Facts {
                scenario: scenario.clone(),
                seed: options.seed,
                target: options.target.to_string(),
                place: Some(place(options)),
                version: options.version(),
                started: jiff::Timestamp::now()
                    .strftime("%Y-%m-%d %H:%M:%S UTC")
                    .to_string(),
                command: options.command(scenario),
                chapters: 0,
            };
            self.told(&facts)?;
            return Ok(facts);
        }
        let facts = self.facts()?;
        let mut before = facts.scenario.clone();
        // A longer or a shorter run of the same is the same.
        before.duration = scenario.duration;
        anyhow::ensure!(
            before == *scenario && facts.seed == options.seed,
            "{} has a run of another scenario or seed: say the same, or leave out --resume",
            self.dir.display()
        );
        if let Some(name) = facts.unlike(options) {
            anyhow::bail!(
                "{} has a run with another --{name}: say the same, or leave out --resume",
                self.dir.display()
            );
        }
        Ok(Facts {
            scenario: scenario.clone(),
            ..facts
        })
    }

    pub(super) fn told(&self, facts: &Facts) -> anyhow::Result<()> {
        let path = self.file("run.json");
        fs::write(&path, serde_json::to_vec_pretty(facts)?)
            .with_context(|| path.display().to_string())
    }

    pub(super) fn facts(&self) -> anyhow::Result<Facts> {
        let path = self.file("run.json");
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    pub(super) fn append(
        &self,
        chapter: &Chapter,
        history: &Path,
        faults_ms: u64,
    ) -> anyhow::Result<()> {
        let path = self.file("chapters.jsonl");
        let mut line = serde_json::to_vec(&Line {
            history: history.to_owned(),
            faults_ms,
            chapter: chapter.clone(),
        })?;
        line.push(b'\n');
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.write_all(&line)
            .with_context(|| path.display().to_string())
    }

    pub(super) fn chapters(&self) -> anyhow::Result<Vec<Chapter>> {
        Ok(self.lines()?.into_iter().map(|line| line.chapter).collect())
    }

    /// For how long faults were made so far, in milliseconds.
    pub(super) fn faults_ms(&self) -> anyhow::Result<u64> {
        Ok(self.lines()?.iter().map(|line| line.faults_ms).sum())
    }

    pub(super) fn histories(&self) -> anyhow::Result<Vec<PathBuf>> {
        Ok(self.lines()?.into_iter().map(|line| line.history).collect())
    }

    fn lines(&self) -> anyhow::Result<Vec<Line>> {
        let path = self.file("chapters.jsonl");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let line = |(nth, line): (usize, &str)| {
            serde_json::from_str(line)
                .with_context(|| format!("{}, line {}", path.display(), nth + 1))
        };
        text.lines().enumerate().map(line).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn begin(record: &Record, words: &[&str]) -> anyhow::Result<Facts> {
        let words = ["run", "--tenure", "/none"].iter().chain(words);
        let options = Line::try_parse_from(words)?.options;
        record.begin(&options.scenario()?, &options)
    }

    #[test]
    fn a_run_is_gone_on_with_on_the_cluster_that_it_was_begun_on() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::at(dir.path());
        let env = ["--node-env", "A=b"];
        begin(&record, &env).unwrap();

        let refused = |words: &[&str]| begin(&record, words).unwrap_err().to_string();

        begin(&record, &env).unwrap();
        begin(&record, &["--node-env", "A=b", "--duration", "5m"]).unwrap();
        for (words, name) in [
            (&["--target", "compose"][..], "another --target:"),
            (
                &["--node-env", "A=b", "--previous", "x"],
                "another --previous:",
            ),
            (&["--node-env", "A=c"], "another --node-env:"),
            (&[], "another --node-env:"),
        ] {
            assert!(
                refused(words).contains(name),
                "{words:?}: {}",
                refused(words)
            );
        }
    }

    #[test]
    fn a_run_of_which_less_was_written_down_is_told_by_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::at(dir.path());
        let facts = begin(&record, &["--node-env", "A=b"]).unwrap();
        record
            .told(&Facts {
                place: None,
                ..facts
            })
            .unwrap();

        begin(&record, &[]).unwrap();
        let refused = begin(&record, &["--target", "compose"]).unwrap_err();
        assert!(
            refused.to_string().contains("another --target:"),
            "{refused}"
        );
    }
}
