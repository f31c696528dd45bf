//! Lays the sources over each other and keeps where each value came from. It reads the file and
//! nothing else: the environment is handed to it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{Config, Embedded, Flags, Invalid, Setting, Slots, file};

/// Where values come from, the strongest first.
pub struct Sources<'a> {
    /// The command line.
    pub flags: &'a Flags,
    /// The environment: a variable's value by its name.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// Where one value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag(&'static str),
    /// A variable of the environment.
    Env(String),
    /// A line of a file.
    File(PathBuf, usize),
    /// The table.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a file makes no sense.
    #[error("{}:{line}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A value is not of its setting's type.
    #[error("{name}: `{value}` {problem} ({origin})")]
    Value {
        /// The setting.
        name: &'static str,
        /// The value; of a secret, three stars.
        value: String,
        /// What is wrong.
        problem: String,
        /// Where it was said.
        origin: Origin,
    },
    /// Values are out of their bounds or do not go together.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A config and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config, complete but not yet validated.
    pub config: Config,
    origins: BTreeMap<&'static str, Origin>,
}

impl Loaded {
    /// Lays flags over environment over file over defaults and fills in what the machine tells.
    /// The file is the flag `--config`, or `TENURE_CONFIG`, or none.
    ///
    /// # Errors
    /// [`Error`], at the first value that cannot be read.
    pub fn read(sources: &Sources<'_>) -> Result<Self, Error> {
        let path = sources.flags.config.clone();
        let path = path.or_else(|| set(sources.env, "TENURE_CONFIG").map(PathBuf::from));
        let entries = path
            .as_deref()
            .map(file::read)
            .transpose()?
            .unwrap_or_default();
        let mut loaded = Self {
            config: Config::unresolved(),
            origins: BTreeMap::new(),
        };
        for setting in Config::SETTINGS {
            let from_file = || {
                let entry = entries.iter().find(|entry| entry.name == setting.name)?;
                let path = path.clone().unwrap_or_default();
                Some((entry.words.clone(), Origin::File(path, entry.line)))
            };
            let said = sources.outer(setting)?.or_else(from_file);
            loaded.put(setting, said)?;
        }
        if loaded.config.embedded != Embedded::No && !loaded.is_given("etcd-endpoints") {
            // Nobody asked for the default.
            loaded.config.etcd_endpoints.clear();
        }
        loaded.config.resolve();
        Ok(loaded)
    }

    /// As [`Loaded::read`] from one file alone.
    ///
    /// # Errors
    /// [`Error`], at the first value that cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let flags = Flags {
            config: Some(path.to_owned()),
            ..Flags::default()
        };
        Self::read(&Sources {
            flags: &flags,
            env: &|_| None,
        })
    }

    /// Where the value of `setting` came from.
    pub fn origin(&self, setting: &Setting) -> &Origin {
        self.origins.get(setting.name).unwrap_or(&Origin::Default)
    }

    /// Whether a flag, a variable or the file said something of the setting `name`.
    pub fn is_given(&self, name: &str) -> bool {
        self.origins.contains_key(name)
    }

    fn put(
        &mut self,
        setting: &'static Setting,
        said: Option<(Vec<String>, Origin)>,
    ) -> Result<(), Error> {
        let Some((words, origin)) = said else {
            return Ok(());
        };
        let shown = if setting.secret {
            "***".to_owned()
        } else {
            words.join(",")
        };
        (setting.set)(&mut self.config, &words).map_err(|problem| Error::Value {
            name: setting.name,
            value: shown,
            problem,
            origin: origin.clone(),
        })?;
        self.origins.insert(setting.name, origin);
        Ok(())
    }
}

impl Sources<'_> {
    /// What the flags or else the environment say of `setting`.
    fn outer(&self, setting: &Setting) -> Result<Option<(Vec<String>, Origin)>, Error> {
        if let Some(words) = self.flags.words(setting.name) {
            return Ok(Some((words.to_vec(), Origin::Flag(setting.name))));
        }
        let env = setting.env();
        if let Some(word) = set(self.env, &env) {
            return Ok(Some((vec![word], Origin::Env(env))));
        }
        let Some(env) = setting.env_file() else {
            return Ok(None);
        };
        let Some(path) = set(self.env, &env).map(PathBuf::from) else {
            return Ok(None);
        };
        let text =
            std::fs::read_to_string(&path).map_err(|source| Error::Unreadable { path, source })?;
        Ok(Some((vec![text], Origin::Env(env))))
    }
}

/// A variable that is set and not empty: compose files pass unset variables on as empty ones.
fn set(env: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    env(name).filter(|value| !value.trim().is_empty())
}

impl Config {
    /// Fills in what the machine tells: its name, its cores, the address to advertise.
    fn resolve(&mut self) {
        if self.node_name.is_empty() {
            self.node_name = hostname();
        }
        if self.slots == Slots::fixed(0) {
            self.slots = Slots::usual();
        }
        if self.advertise.is_empty() {
            self.advertise = if self.listen.ip().is_unspecified() {
                format!("http://{}:{}", self.node_name, self.listen.port())
            } else {
                format!("http://{}", self.listen)
            };
        }
    }

    /// The value of the setting `name` as words, for messages.
    pub(super) fn shown(&self, name: &str) -> String {
        let setting = Self::SETTINGS.iter().find(|setting| setting.name == name);
        setting
            .map(|setting| setting.words(self).join(","))
            .unwrap_or_default()
    }
}

impl Default for Config {
    fn default() -> Self {
        let mut config = Self::unresolved();
        config.resolve();
        config
    }
}

/// The machine's name as the kernel has it.
fn hostname() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = kernel
        .map(|name| name.trim().to_owned())
        .unwrap_or_default();
    if name.is_empty() {
        "node".to_owned()
    } else {
        name
    }
}
