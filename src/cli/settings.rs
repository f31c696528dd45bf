//! `tenure config`: what is in force and why, an example to start from, and whether a file is good.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Exit, Failure, Global, Output, out};
use crate::config::{Config, Error, Flags, Loaded, Origins, Shape, Sources, example};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the settings in force, secrets as stars
    Show {
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Print a file of all settings at their defaults, commented
    Example,
    /// Say whether a file of settings is good
    Validate {
        /// The file
        file: PathBuf,
    },
}

pub(super) fn run(global: &Global, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Show { origin, flags } => {
            let loaded = load(&flags)?;
            match global.output {
                Output::Json => out::line(&json(&loaded).to_string())?,
                Output::Table => {
                    let origins = if origin {
                        Origins::Shown
                    } else {
                        Origins::Hidden
                    };
                    out::bytes(loaded.show(origins).as_bytes())?;
                }
            }
        }
        Command::Example => out::bytes(example().as_bytes())?,
        Command::Validate { file } => {
            let loaded = Loaded::from_file(&file).map_err(wrong)?;
            loaded
                .config
                .validate()
                .map_err(|invalid| Failure::usage(invalid.to_string()))?;
            eprintln!("{} is good", file.display());
        }
    }
    Ok(Exit::Done)
}

/// The settings as flags, environment and file say.
pub(super) fn load(flags: &Flags) -> Result<Loaded, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    Loaded::read(&Sources { flags, env: &env }).map_err(wrong)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "stands where map_err wants a function"
)]
fn wrong(error: Error) -> Failure {
    Failure::usage(error.to_string())
}

fn json(loaded: &Loaded) -> Value {
    let settings = Config::SETTINGS.iter().map(|setting| {
        let words = setting.words(&loaded.config);
        let value = match setting.shape {
            Shape::One | Shape::Switch => Value::String(words.concat()),
            Shape::Many | Shape::Map => Value::from(words),
        };
        let origin = loaded.origin(setting).to_string();
        (
            setting.name.to_owned(),
            json!({ "value": value, "origin": origin }),
        )
    });
    Value::Object(settings.collect::<Map<_, _>>())
}
