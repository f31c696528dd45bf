//! What a run is told on the command line.

use crate::cluster;
use crate::scenario::{Length, Scenario};
use crate::tools;
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// 60 s: how long what has ended is kept by clusters that are started for a run, the least there is, so that it is seen to be collected.
pub(super) const RETENTION_MS: u64 = 60_000;

/// Where docker-compose.yml is, and what a cluster is called, unless said.
const PROJECT: &str = ".";
const CLUSTER: &str = "default";

/// What is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetKind {
    /// Nodes and an etcd as processes of this machine, started for it
    Processes,
    /// The cluster of docker-compose.yml, started for it under a project name of its own
    Compose,
    /// A cluster that is there: only what is safe is done to it
    Existing,
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Processes => "processes",
            Self::Compose => "compose",
            Self::Existing => "existing",
        })
    }
}

#[derive(Args, PartialEq)]
pub(crate) struct Options {
    /// What to run on
    #[arg(long, value_enum, default_value_t = TargetKind::Processes)]
    pub(super) target: TargetKind,
    /// A scenario by name (`tenure-chaos scenarios` lists them), or a file of one
    #[arg(long, default_value = "default")]
    scenario: String,
    /// Makes work and faults; the same seed asks for the same
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Nodes, instead of the scenario's
    #[arg(long)]
    nodes: Option<u8>,
    /// Members of etcd, instead of the scenario's
    #[arg(long)]
    etcd_members: Option<u8>,
    /// For how long faults are made, instead of the scenario's, as 90s or 1h
    #[arg(long)]
    duration: Option<Length>,
    /// After how long a new cluster is started, instead of the scenario's
    #[arg(long)]
    chapter: Option<Length>,
    /// Kinds of faults, instead of the scenario's: names, `all`, and with a `-` before it what is left out
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    faults: Vec<String>,
    /// Runs at a time on each node, instead of the scenario's
    #[arg(long)]
    slots: Option<u32>,
    /// The tenure binary; beside this program, or on PATH, unless said
    #[arg(long)]
    tenure: Option<PathBuf>,
    /// A tenure binary of the build before, on containers the name of its image, for the fault `upgrade`
    #[arg(long)]
    pub(super) previous: Option<PathBuf>,
    /// The directory that holds etcd; that of the one on PATH unless said
    #[arg(long)]
    etcd: Option<PathBuf>,
    /// Where logs, histories and reports go, in a directory `run` that is made anew
    #[arg(long, default_value = ".chaos")]
    pub(super) work: PathBuf,
    /// Go on with the run that is in that directory
    #[arg(long)]
    pub(super) resume: bool,
    /// What nodes find in their environment besides, as `NAME=VALUE`, for `--target processes`
    #[arg(long, value_parser = pair)]
    pub(super) node_env: Vec<(String, String)>,
    /// The directory of docker-compose.yml, for `--target compose`
    #[arg(long, default_value = PROJECT)]
    pub(super) project: PathBuf,
    /// Addresses of nodes' APIs, for `--target existing`
    #[arg(long, value_delimiter = ',')]
    pub(super) server: Vec<String>,
    /// A token of the role admin, for `--target existing`
    #[arg(long, env = "TENURE_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// Addresses of etcd's members, for `--target existing`: its log is what a verdict is made of
    #[arg(long, value_delimiter = ',')]
    pub(super) etcd_endpoints: Vec<String>,
    /// The cluster's name, for `--target existing`
    #[arg(long, default_value = CLUSTER)]
    pub(super) cluster: String,
}

impl Options {
    /// The scenario, with what was said instead.
    pub(super) fn scenario(&self) -> anyhow::Result<Scenario> {
        let mut scenario = Scenario::find(&self.scenario)?;
        scenario.nodes = self.nodes.unwrap_or(scenario.nodes);
        scenario.members = self.etcd_members.unwrap_or(scenario.members);
        scenario.duration = self.duration.unwrap_or(scenario.duration);
        scenario.chapter = self.chapter.unwrap_or(scenario.chapter);
        scenario.slots = self.slots.unwrap_or(scenario.slots);
        if !self.faults.is_empty() {
            scenario.faults.kinds.clone_from(&self.faults);
        }
        if self.target == TargetKind::Existing {
            // As many as it was told of; nothing is started.
            scenario.nodes = u8::try_from(self.server.len().clamp(1, 9)).unwrap_or(1);
        }
        scenario.validate()?;
        if self.target == TargetKind::Existing {
            scenario.members = u8::try_from(self.etcd_endpoints.len()).unwrap_or(u8::MAX);
        }
        if self.target == TargetKind::Compose && (scenario.nodes, scenario.members) != (3, 3) {
            bail!("nodes, members: the compose cluster has three of each");
        }
        Ok(scenario)
    }

    /// Whether what the target needs is said and there.
    ///
    /// # Errors
    /// Names the option that is missing or wrong.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.target {
            TargetKind::Processes => self.binaries().map(drop),
            TargetKind::Compose => {
                let file = self.project.join("docker-compose.yml");
                anyhow::ensure!(file.is_file(), "--project: there is no {}", file.display());
                Ok(())
            }
            TargetKind::Existing => {
                anyhow::ensure!(!self.server.is_empty(), "--server: it is missing");
                anyhow::ensure!(
                    self.token.is_some(),
                    "--token, or TENURE_TOKEN: it is missing; say an empty one where nodes ask for none"
                );
                anyhow::ensure!(
                    !self.etcd_endpoints.is_empty(),
                    "--etcd-endpoints: it is missing; a verdict is made of etcd's log"
                );
                Ok(())
            }
        }
    }

    /// The binaries: tenure, and the directory that holds etcd.
    pub(super) fn binaries(&self) -> anyhow::Result<(PathBuf, PathBuf)> {
        let tenure = match &self.tenure {
            Some(path) => path.clone(),
            None => beside("tenure")?,
        };
        let etcd = match &self.etcd {
            Some(dir) => dir.clone(),
            None => tools::found("etcd")
                .context("etcd is not on PATH; say --etcd DIRECTORY")?
                .parent()
                .context("no directory")?
                .to_owned(),
        };
        let (tenure, etcd) = (whole(&tenure)?, whole(&etcd)?);
        cluster::check_binaries(&tenure, &etcd)?;
        if let Some(previous) = &self.previous {
            cluster::check_binaries(&whole(previous)?, &etcd)?;
        }
        Ok((tenure, etcd))
    }

    /// What is tested, as it says itself; empty where nobody says.
    pub(super) fn version(&self) -> String {
        let Ok((tenure, _)) = self.binaries() else {
            return String::new();
        };
        let said = Command::new(tenure).arg("--version").output();
        said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
            .unwrap_or_default()
    }

    /// The command that runs it again.
    pub(super) fn command(&self, scenario: &Scenario) -> String {
        let tight = |length: Length| length.to_string().replace(' ', "");
        let mut said = vec![
            ("target", self.target.to_string()),
            ("scenario", self.scenario.clone()),
            ("seed", self.seed.to_string()),
            ("duration", tight(scenario.duration)),
        ];
        let mut option =
            |name, value: Option<String>| said.extend(value.map(|value| (name, value)));
        option("nodes", self.nodes.map(|nodes| nodes.to_string()));
        option(
            "etcd-members",
            self.etcd_members.map(|members| members.to_string()),
        );
        option("chapter", self.chapter.map(tight));
        option("slots", self.slots.map(|slots| slots.to_string()));
        option("faults", listed(&self.faults));
        said.extend(self.place());
        said.push(("work", self.work.display().to_string()));
        let words = said
            .iter()
            .map(|(name, value)| format!("--{name} {}", quoted(value)));
        format!("tenure-chaos run {}", words.collect::<Vec<_>>().join(" "))
    }

    /// What says on which cluster it runs, and of what that is made; a run that is gone on with has the same.
    pub(super) fn place(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let unlike = |usual: &str, said: String| (said != usual).then_some(said);
        let said = [
            ("tenure", path(&self.tenure)),
            ("previous", path(&self.previous)),
            ("etcd", path(&self.etcd)),
            (
                "project",
                unlike(PROJECT, self.project.display().to_string()),
            ),
            ("server", listed(&self.server)),
            ("etcd-endpoints", listed(&self.etcd_endpoints)),
            ("cluster", unlike(CLUSTER, self.cluster.clone())),
        ];
        let said = said
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let env = self.node_env.iter();
        let env = env.map(|(name, value)| ("node-env", format!("{name}={value}")));
        said.chain(env).collect()
    }
}

fn listed(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(","))
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+.,:/@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn whole(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize()
        .with_context(|| path.display().to_string())
}

/// A program beside this one, else on PATH.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is")?;
    let there = own
        .parent()
        .map(|dir| dir.join(name))
        .filter(|path| path.exists());
    there.or_else(|| tools::found(name)).with_context(|| {
        format!("{name} is neither beside this program nor on PATH; say --{name} FILE")
    })
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

    fn read(words: &[&str]) -> Options {
        let words = ["run"].iter().chain(words);
        Line::try_parse_from(words).unwrap().options
    }

    #[test]
    fn the_command_that_runs_it_again_says_all_that_was_said() {
        for said in [
            "--duration 90s",
            "--target compose --project /srv/tenure --seed 7 --duration 1h30m --chapter 5m --faults all,-loss",
            "--target existing --server http://a:1,http://b:1 --etcd-endpoints http://e:2 --cluster blue --duration 2m",
            "--tenure bin/tenure --previous bin/before --etcd bin --nodes 5 --etcd-members 1 --slots 2 --duration 90s \
             --work w --scenario long --node-env A=b --node-env C=d=e",
        ] {
            let words: Vec<&str> = said.split_whitespace().collect();
            let options = read(&words);
            let scenario = options.scenario().unwrap();

            let command = options.command(&scenario);

            let again: Vec<&str> = command.split_whitespace().skip(2).collect();
            assert!(read(&again) == options, "{said}\n{command}");
        }
    }

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        let options = read(&["--node-env", "A=it's b", "--duration", "90s"]);

        let command = options.command(&options.scenario().unwrap());

        assert!(
            command.contains(r"--node-env 'A=it'\''s b' --work"),
            "{command}"
        );
    }
}
