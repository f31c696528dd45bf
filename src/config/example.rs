//! Writes a config as people read it: the commented example, and what is in force.

use std::fmt::Write as _;

use super::{Config, Loaded, Setting, Shape};

/// A file with every setting at its default, commented out, each with its meaning and bound.
pub fn example() -> String {
    let config = Config::unresolved();
    let mut text = "# Tenure. Flags win over TENURE_ variables, those over this file.\n".to_owned();
    let mut section = "";
    for setting in Config::SETTINGS {
        if setting.section != section {
            section = setting.section;
            let _ = write!(text, "\n# --- {section} ---\n");
        }
        text.push('\n');
        for line in setting.doc {
            let _ = writeln!(text, "# {}", line.trim());
        }
        if let Some((low, high)) = setting.bound {
            let _ = writeln!(text, "# {low} to {high}.");
        }
        let _ = writeln!(text, "#{}", line(setting, &setting.words(&config)));
    }
    text
}

impl Loaded {
    /// What is in force, as a file; `origins` adds where each value came from. Secrets are stars.
    pub fn show(&self, origins: Origins) -> String {
        let mut text = String::new();
        for setting in Config::SETTINGS {
            let line = line(setting, &setting.words(&self.config));
            let _ = match origins {
                Origins::Shown => writeln!(text, "{line}  # {}", self.origin(setting)),
                Origins::Hidden => writeln!(text, "{line}"),
            };
        }
        text
    }
}

/// Whether each value is followed by where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origins {
    /// It is.
    Shown,
    /// It is not.
    Hidden,
}

fn line(setting: &Setting, words: &[String]) -> String {
    let value = match setting.shape {
        Shape::One | Shape::Switch => value(&words.concat()),
        Shape::Many => {
            let items: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            format!("[{}]", items.join(", "))
        }
        Shape::Map => {
            let pairs = words.iter().filter_map(|word| word.split_once('='));
            let items: Vec<_> = pairs
                .map(|(key, word)| format!("{} = {}", quoted(key), quoted(word)))
                .collect();
            format!("{{ {} }}", items.join(", "))
        }
    };
    format!("{} = {value}", setting.name)
}

fn value(word: &str) -> String {
    let number = word.parse::<u64>().is_ok() || word.parse::<f64>().is_ok_and(f64::is_finite);
    if number || word == "true" || word == "false" {
        word.to_owned()
    } else {
        quoted(word)
    }
}

fn quoted(word: &str) -> String {
    toml::Value::from(word).to_string()
}
