//! The settings as flags of a command: made from the table, collected as words.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::{Config, Setting, Shape};

/// What the command line said: flatten it into a command of clap's.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The file to read.
    pub config: Option<PathBuf>,
    pub(super) words: Vec<(&'static str, Vec<String>)>,
}

/// `token-file` is a flag of every command, client and server alike, and so of none in particular.
const GLOBAL: &str = "token-file";

impl Flags {
    /// Flags as if given: for programs that embed a node, and for tests.
    pub fn given(words: &[(&'static str, &str)]) -> Self {
        let words = words
            .iter()
            .map(|(name, word)| (*name, vec![(*word).to_owned()]))
            .collect();
        Self {
            config: None,
            words,
        }
    }

    /// As if the flag `name` had been given with this word, and nothing else of it.
    pub fn set(&mut self, name: &'static str, word: &str) {
        self.words.retain(|(given, _)| *given != name);
        self.words.push((name, vec![word.to_owned()]));
    }

    pub(super) fn words(&self, name: &str) -> Option<&[String]> {
        let given = self.words.iter().find(|(given, _)| *given == name);
        given.map(|(_, words)| words.as_slice())
    }
}

fn arg(setting: &'static Setting) -> Arg {
    let default = if setting.default.is_empty() {
        String::new()
    } else {
        format!(" [default: {}]", setting.default)
    };
    let bound = setting
        .bound
        .map(|(low, high)| format!(" [{low} to {high}]"))
        .unwrap_or_default();
    let help = format!(
        "{}{bound}{default} [env: {}]",
        setting.doc_line(),
        setting.env()
    );
    let arg = Arg::new(setting.name)
        .long(setting.name)
        .help(help)
        .help_heading(heading(setting));
    match setting.shape {
        Shape::One => arg.value_name("VALUE"),
        Shape::Many => arg.value_name("VALUE").action(ArgAction::Append),
        Shape::Map => arg.value_name("KEY=VALUE").action(ArgAction::Append),
        Shape::Switch => arg
            .value_name("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    }
}

fn heading(setting: &Setting) -> &'static str {
    match setting.section {
        "etcd" => "etcd options",
        "node" => "Node options",
        "api" => "API options",
        "work" => "Work options",
        "breaker" => "Circuit breaker options",
        _ => "Log options",
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("The TOML file of settings [env: TENURE_CONFIG]");
        let own = |setting: &&Setting| !setting.secret && setting.name != GLOBAL;
        command
            .arg(config)
            .args(Config::SETTINGS.iter().filter(own).map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self {
            config: matches.get_one("config").cloned(),
            words: Vec::new(),
        };
        for setting in Config::SETTINGS.iter().filter(|setting| !setting.secret) {
            let from = matches.try_contains_id(setting.name).unwrap_or(false);
            if from && matches.value_source(setting.name) == Some(ValueSource::CommandLine) {
                let words = matches.get_raw(setting.name).into_iter().flatten();
                let words = words
                    .map(|word| word.to_string_lossy().into_owned())
                    .collect();
                flags.words.push((setting.name, words));
            }
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
