//! Where in a file something stands, for what is wrong with it; reads no file and judges nothing.

use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::compare::Id;
use crate::api::wire::FieldError;

/// The text of a file.
pub(super) enum Source<'a> {
    /// Its tables know where they are; none where it is not TOML.
    Toml(&'a str, Option<Spanned<DeTable<'a>>>),
    /// A thing of it is there as it was written.
    Json(&'a str),
}

impl<'a> Source<'a> {
    pub(super) fn of(text: &'a str, is_json: bool) -> Self {
        if is_json {
            return Self::Json(text);
        }
        Self::Toml(text, DeTable::parse(text).ok())
    }

    /// The line of a field of a thing, from 1, or of what it would be in where it is not there. `at` is the line within a thing of JSON,
    /// where its reader named one.
    pub(super) fn line(
        &self,
        id: &Id,
        pointer: &str,
        thing: &RawValue,
        at: Option<usize>,
    ) -> Option<usize> {
        match self {
            Self::Toml(text, table) => {
                let path = [id.sort.section(), &id.name].into_iter();
                let path = path.chain(pointer.split('/').filter(|part| !part.is_empty()));
                Some(line_at(text, place(table.as_ref()?, path)?))
            }
            Self::Json(text) => {
                // Others may be written the same: it is the one behind its name.
                let name = serde_json::to_string(&id.name).ok()?;
                let is_its = |at: usize| {
                    let before = text[..at].trim_end().strip_suffix(':');
                    before.is_some_and(|before| before.trim_end().ends_with(&name))
                };
                let mut places = text.match_indices(thing.get()).map(|(at, _)| at);
                let first = line_at(text, places.find(|at| is_its(*at))?);
                Some(first + at.map_or(0, |at| at.saturating_sub(1)))
            }
        }
    }
}

/// Where the last part of a path begins that is there; none where not even the first is.
fn place<'p>(table: &Spanned<DeTable<'_>>, path: impl Iterator<Item = &'p str>) -> Option<usize> {
    let (mut tables, mut items): (Option<&DeTable<'_>>, Option<&[Spanned<DeValue<'_>>]>) =
        (Some(table.get_ref()), None);
    let mut found = None;
    for part in path {
        let value = match (tables, items) {
            (Some(table), _) => {
                let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == part) else {
                    break;
                };
                found = Some(key.span().start);
                value
            }
            (None, Some(items)) => {
                let nth = part.parse::<usize>().ok().and_then(|nth| items.get(nth));
                let Some(value) = nth else { break };
                found = Some(value.span().start);
                value
            }
            (None, None) => break,
        };
        (tables, items) = match value.get_ref() {
            DeValue::Table(table) => (Some(table), None),
            DeValue::Array(items) => (None, Some(&**items)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => (None, None),
        };
    }
    found
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// A fault without the position that its reader put behind it, which is one within the thing and not within the file; the line of that.
pub(super) fn unplaced(mut fault: FieldError) -> (FieldError, Option<usize>) {
    let line = fault.detail.rfind(" at line ").and_then(|from| {
        let (line, column) = fault.detail[from + " at line ".len()..].split_once(" column ")?;
        column.parse::<usize>().ok()?;
        Some((from, line.parse::<usize>().ok()?))
    });
    let Some((from, line)) = line else {
        return (fault, None);
    };
    fault.detail.truncate(from);
    (fault, Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::files::compare::Sort;

    fn id() -> Id {
        Id {
            sort: Sort::Schedule,
            name: "b".to_owned(),
        }
    }

    #[test]
    fn a_field_of_toml_is_where_it_stands_and_a_missing_one_where_its_table_is() {
        let text = "[schedules.a]\ncron = \"@daily\"\n\n[schedules.b]\ncron = \"@daily\"\noverlap = \"skp\"\n\n\
                    [schedules.b.task]\nkind = \"x\"\nlocks = [\n  \"a\",\n  7,\n]\n";
        let source = Source::of(text, false);
        let thing = RawValue::from_string("{}".to_owned()).unwrap();
        let table = [
            ("/overlap", 6),
            ("/task/kind", 9),
            ("/task/locks/1", 12),
            ("/task/priority", 8),
            ("/jitter_ms", 4),
            ("", 4),
        ];
        for (pointer, line) in table {
            assert_eq!(
                source.line(&id(), pointer, &thing, Some(1)),
                Some(line),
                "{pointer}"
            );
        }
    }

    #[test]
    fn a_line_within_a_thing_of_json_is_one_of_the_file() {
        let body = "{\n    \"cron\": 7\n  }";
        let text = format!("{{\"schedules\": {{\n  \"a\": {body},\n  \"b\" : {body}\n}}}}");
        let thing = RawValue::from_string(body.to_owned()).unwrap();
        let source = Source::of(&text, true);

        // Another one is written the same.
        assert_eq!(source.line(&id(), "/cron", &thing, Some(2)), Some(6));
        assert_eq!(source.line(&id(), "/cron", &thing, None), Some(5));
    }

    #[test]
    fn a_position_is_taken_off_a_fault_and_nothing_else_is() {
        let table = [
            ("invalid type at line 3 column 22", "invalid type", Some(3)),
            ("hour, character 3", "hour, character 3", None),
            ("due at line speed", "due at line speed", None),
        ];
        for (said, left, line) in table {
            let (fault, at) = unplaced(FieldError::new("cron", said.to_owned()));
            assert_eq!((&*fault.detail, at), (left, line));
        }
    }
}
