//! Reads payloads, and says of a bad one which field it is and what would have been right. Never
//! looks at anything but the payload.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::run::cut;

/// 256 bytes: what is repeated of a payload to whoever sent it. A wrong value may be as long as the
/// payload.
const QUOTED_BYTES_MAX: usize = 256;

/// What is wrong with a payload, for whoever submitted it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}, expected {bound}")]
pub struct PayloadError {
    /// The field, from the payload down: `payload.argv[2]`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What it may be.
    pub bound: String,
}

impl PayloadError {
    pub(crate) fn new(
        field: &str,
        problem: impl Into<String>,
        bound: impl Into<String>,
    ) -> PayloadError {
        let field = match field {
            "" => "payload".to_owned(),
            index if index.starts_with('[') => format!("payload{index}"),
            path => format!("payload.{path}"),
        };
        PayloadError {
            field: cut(field, QUOTED_BYTES_MAX),
            problem: cut(problem.into(), QUOTED_BYTES_MAX),
            bound: bound.into(),
        }
    }
}

/// Reads a payload into the shape of its kind.
pub(crate) fn parse<T: DeserializeOwned>(payload: &RawValue) -> Result<T, PayloadError> {
    let mut json = serde_json::Deserializer::from_str(payload.get());
    serde_path_to_error::deserialize(&mut json).map_err(|error| explain(&error))
}

/// serde says "problem, expected bound at line 1 column 2". The position means nothing to someone
/// whose payload was cut out of a larger request.
fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> PayloadError {
    let path = error.path().to_string();
    let path = if path == "." { "" } else { path.as_str() };
    let text = error.inner().to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    let (problem, bound) = text
        .split_once(", expected ")
        .unwrap_or((text, "valid JSON"));
    if let Some(missing) = quoted(problem, "missing field ") {
        return PayloadError::new(&join(path, missing), "missing", "a value, it is required");
    }
    if let Some(unknown) = quoted(problem, "unknown field ") {
        // The reader has already stepped into the field when it finds that it does not know it.
        let field = if path.ends_with(unknown) {
            path.to_owned()
        } else {
            join(path, unknown)
        };
        return PayloadError::new(&field, "unknown field", bound);
    }
    PayloadError::new(path, problem, bound)
}

fn quoted<'a>(problem: &'a str, before: &str) -> Option<&'a str> {
    problem
        .strip_prefix(before)
        .map(|name| name.trim_matches('`'))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read only to see it refused")]
    struct Shape {
        argv: Vec<String>,
        #[serde(default)]
        env: BTreeMap<String, String>,
    }

    #[test]
    fn an_error_does_not_repeat_a_long_payload() {
        let json = format!(r#"{{"argv":"{0}"}}"#, "x".repeat(100_000));
        let raw: Box<RawValue> = serde_json::from_str(&json).unwrap();

        let error = parse::<Shape>(&raw).unwrap_err();

        assert!(error.problem.starts_with("invalid type: string \"xxx"));
        assert_eq!(
            (error.problem.len(), error.bound.as_str()),
            (QUOTED_BYTES_MAX, "a sequence")
        );
    }

    #[test]
    fn an_error_names_the_field_and_what_it_may_be() {
        let table = [
            ("{}", "payload.argv", "missing"),
            (r#"{"argv":[],"cmd":1}"#, "payload.cmd", "unknown field"),
            (
                r#"{"argv":["a",3]}"#,
                "payload.argv[1]",
                "invalid type: integer `3`",
            ),
            (
                r#"{"argv":[],"env":{"A":null}}"#,
                "payload.env.A",
                "invalid type: null",
            ),
            (r#""x""#, "payload", "invalid type: string \"x\""),
        ];

        for (json, field, problem) in table {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            let error = parse::<Shape>(&raw).unwrap_err();
            assert_eq!(
                (error.field.as_str(), error.problem.as_str()),
                (field, problem),
                "{json}"
            );
            assert!(!error.bound.contains("line"), "{json}: {error}");
        }
    }
}
