//! How runs can be witnessed here, and what a task has to be for that.

use crate::scenario::Witness;
use crate::workload::SplitMix;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// 10 ms between the signs of life of a command that has a lock, and 50 ms of one that has none.
const BEAT_LOCKED_MS: u64 = 10;
const BEAT_MS: u64 = 50;

/// What there is; neither where nobody can witness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Means {
    /// Commands of this program write there: where nodes are processes of this machine.
    pub(crate) command: Option<Paper>,
    /// Where the witness's server answers nodes, as `http://host:port`.
    pub(crate) http: Option<String>,
}

/// Where commands write what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paper {
    witness: PathBuf,
    log: PathBuf,
    guards: PathBuf,
}

impl Paper {
    /// In this directory, of which it makes what it needs.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub(crate) fn lay_out(dir: &Path) -> anyhow::Result<Self> {
        let guards = dir.join("guards");
        std::fs::create_dir_all(&guards).with_context(|| guards.display().to_string())?;
        Ok(Self {
            witness: std::env::current_exe().context("where this program is")?,
            log: dir.join("witness.jsonl"),
            guards,
        })
    }

    /// Where they write it.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// A command of such a run.
    pub(crate) fn argv(&self, length: &Length<'_>) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let beat_ms = if length.gate.is_some() {
            BEAT_LOCKED_MS
        } else {
            BEAT_MS
        };
        let mut words = vec![path(&self.witness), "witness-run".to_owned()];
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        option("--log", path(&self.log));
        option("--beat-ms", beat_ms.to_string());
        if let Some(gate) = length.gate {
            option("--gate", gate.to_owned());
            option("--guards", path(&self.guards));
        }
        let secs = format!("{}.{:03}", length.run_ms / 1_000, length.run_ms % 1_000);
        words.push("--".to_owned());
        if length.fails {
            words.extend(["sh", "-c", "sleep \"$0\"; exit 1", &secs].map(str::to_owned));
        } else {
            words.extend(["sleep".to_owned(), secs]);
        }
        words
    }
}

/// What a witnessed run is to do.
pub(crate) struct Length<'a> {
    pub(crate) run_ms: u64,
    pub(crate) fails: bool,
    /// The resource that it acts on: the one lock that its task has.
    pub(crate) gate: Option<&'a str>,
}

/// One way of witnessing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Command(Paper),
    Http(String),
}

impl Way {
    /// The kind of such tasks.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Http(_) => "http",
        }
    }

    /// The payload of one.
    pub(super) fn payload(&self, length: &Length<'_>) -> Value {
        match self {
            Self::Command(paper) => json!({ "argv": paper.argv(length) }),
            Self::Http(base) => {
                let (run_ms, fails) = (length.run_ms, u8::from(length.fails));
                // A resource of its own: the server's and that of commands do not know of each other's fences.
                let gate = length.gate.map(|gate| format!("&gate=http.{gate}"));
                let gate = gate.unwrap_or_default();
                json!({ "method": "POST", "url": format!("{base}/run?ms={run_ms}&fails={fails}{gate}") })
            }
        }
    }
}

impl Means {
    /// The ways in which such runs can be witnessed, of which any will do.
    ///
    /// # Errors
    /// There is none; why.
    pub(super) fn ways(&self, witness: Witness) -> anyhow::Result<Vec<Way>> {
        let command = self.command.clone().map(Way::Command);
        let http = self.http.clone().map(Way::Http);
        let (ways, why): (Vec<Way>, &str) = match witness {
            Witness::None => return Ok(Vec::new()),
            Witness::Command => (
                command.into_iter().collect(),
                "nodes are no processes of this machine, so commands cannot write down what they do",
            ),
            Witness::Http => (
                http.into_iter().collect(),
                "nodes cannot reach this program",
            ),
            Witness::Any => (
                command.into_iter().chain(http).collect(),
                "nodes are no processes of this machine, and cannot reach this program",
            ),
        };
        anyhow::ensure!(!ways.is_empty(), "{why}");
        Ok(ways)
    }
}

/// One of several.
pub(super) fn one_of<'a, T>(all: &'a [T], dice: &mut SplitMix) -> Option<&'a T> {
    if all.is_empty() {
        return None;
    }
    all.get(dice.below(all.len()))
}
