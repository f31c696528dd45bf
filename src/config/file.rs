//! Reads a TOML file into words for each key, with its line. It knows which keys there are, not what
//! they mean.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{Config, Error};

/// One key of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) line: usize,
    pub(super) words: Vec<String>,
}

pub(super) fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, Error> {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
    let wrong = |at: usize, problem: String| Error::File {
        path: path.to_owned(),
        line: line(at),
        problem,
    };
    let table = DeTable::parse(text).map_err(|e| {
        wrong(
            e.span().map_or(0, |span| span.start),
            e.message().to_owned(),
        )
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let at = key.span().start;
        let name: &str = key.get_ref();
        let Some(setting) = Config::SETTINGS.iter().find(|setting| setting.name == name) else {
            return Err(wrong(at, unknown(name)));
        };
        let words = words(value.get_ref()).map_err(|e| wrong(at, format!("`{name}` {e}")))?;
        entries.push(Entry {
            name: setting.name,
            line: line(at),
            words,
        });
    }
    Ok(entries)
}

fn unknown(key: &str) -> String {
    let kebab = key.replace('_', "-");
    let near = Config::SETTINGS
        .iter()
        .find(|setting| setting.name == kebab);
    let hint = near.map_or_else(
        || "`tenure config example` lists all keys".to_owned(),
        |setting| format!("did you mean `{}`?", setting.name),
    );
    format!("unknown key `{key}`; {hint}")
}

fn words(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match value {
        DeValue::Array(items) => items.iter().map(|item| word(item.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, item)| Ok(format!("{}={}", key.get_ref(), word(item.get_ref())?)))
            .collect(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => Ok(vec![word(value)?]),
    }
}

fn word(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        DeValue::Integer(_) => Err("is not a decimal number".to_owned()),
        DeValue::Datetime(_) => Err("is not a value of a setting: a date".to_owned()),
        DeValue::Array(_) | DeValue::Table(_) => Err("is nested too deep".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("t.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn keys_become_words_with_their_lines() {
        let text = "# a comment\nslots = 8\nlabels = { zone = \"a\" }\netcd-endpoints = ['x', 'y']";

        let entries = parse(Path::new("t.toml"), text).unwrap();

        let mut seen: Vec<_> = entries
            .iter()
            .map(|e| (e.line, e.name, e.words.join("|")))
            .collect();
        seen.sort();
        let slots = (2, "slots", "8".to_owned());
        let labels = (3, "labels", "zone=a".to_owned());
        assert_eq!(
            seen,
            [slots, labels, (4, "etcd-endpoints", "x|y".to_owned())]
        );
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        assert_eq!(
            error("slots = 8\n\nlease_ttl = '5s'"),
            "t.toml:3: unknown key `lease_ttl`; did you mean `lease-ttl`?"
        );
        assert!(error("colour = 1").contains("t.toml:1: unknown key `colour`"));
    }

    #[test]
    fn what_is_no_toml_is_an_error_with_its_line() {
        assert!(error("slots = 8\nlisten = ").starts_with("t.toml:2: "));
    }
}
