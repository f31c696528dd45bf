//! What a cluster has, as a file: TOML, or JSON. What is written reads back as what it was made of, or is refused.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::value::{RawValue, to_raw_value};

use super::compare::{Id, Stored};
use super::fields::Fields;
use super::read::Declared;
use crate::cli::{Failure, Output};

type Sections = BTreeMap<&'static str, BTreeMap<String, Box<RawValue>>>;

/// The text of a file that declares all of this.
pub(super) fn text(stored: &BTreeMap<Id, Stored>, output: Output) -> Result<String, Failure> {
    let mut sections = Sections::new();
    for (id, seen) in stored {
        let Some(fields) = &seen.fields else { continue };
        let thing = to_raw_value(&fields.nested()).expect("fields have string keys");
        let section = sections.entry(id.sort.section()).or_default();
        section.insert(id.name.clone(), thing);
    }
    match output {
        Output::Json => Ok(json(&sections)),
        Output::Table => {
            let text = toml(&sections)?;
            reads_back(&text, stored)?;
            Ok(text)
        }
    }
}

fn json(sections: &Sections) -> String {
    let text = serde_json::to_string_pretty(sections);
    text.expect("sections have string keys")
}

fn toml(sections: &Sections) -> Result<String, Failure> {
    let mut file = toml::Table::new();
    for (section, things) in sections {
        let mut table = toml::Table::new();
        for (name, thing) in things {
            let thing: serde_json::Value =
                serde_json::from_str(thing.get()).expect("fields are JSON");
            let thing = toml::Value::try_from(&thing);
            let thing = thing.map_err(|problem| beyond(&format!("{section}.{name}"), &problem))?;
            table.insert(name.clone(), thing);
        }
        file.insert((*section).to_owned(), toml::Value::Table(table));
    }
    toml::to_string_pretty(&file).map_err(|problem| beyond("it", &problem))
}

/// TOML has no null, and no numbers beyond 64 bits.
fn reads_back(text: &str, stored: &BTreeMap<Id, Stored>) -> Result<(), Failure> {
    let read = Declared::of(Path::new("export.toml"), text)?;
    for (id, seen) in stored {
        let Some(fields) = &seen.fields else { continue };
        let same = read
            .fields
            .get(id)
            .is_some_and(|read: &Fields| read == fields);
        if !same {
            let table = format!("{}.{}", id.sort.section(), id.name);
            return Err(beyond(&table, &"a number or a text would become another"));
        }
    }
    Ok(())
}

fn beyond(table: &str, problem: &dyn std::fmt::Display) -> Failure {
    let hint = "`tenure export -o json` has it as it is";
    Failure::usage(format!(
        "{table} cannot be said in TOML: {problem}\n  {hint}"
    ))
}
