//! What a payload of `command` asks for. Knows the bounds of the system, not what this node allows.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::worker::kinds::payload::{PayloadError, parse};

/// 1,024 arguments: a list that is longer belongs in a file or in standard input.
const ARGV_MAX: usize = 1024;

/// 256 variables, far above what programs read.
const ENV_MAX: usize = 256;

/// 131,071 bytes, the longest single argument or `NAME=value` that Linux takes (`MAX_ARG_STRLEN`
/// less its NUL).
const STRING_BYTES_MAX: usize = 131_071;

/// What to run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The program and its arguments.
    pub(super) argv: Vec<String>,
    /// Variables beside PATH and those that name the run.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// An absolute directory; the root unless given, which is the same on every node.
    pub(super) cwd: Option<String>,
    /// What standard input holds; empty unless given.
    pub(super) stdin: Option<String>,
}

impl Asked {
    pub(super) fn read(payload: &RawValue) -> Result<Self, PayloadError> {
        let asked: Self = parse(payload)?;
        asked.check_argv()?;
        asked.check_env()?;
        match &asked.cwd {
            Some(cwd) if !cwd.starts_with('/') || cwd.contains('\0') => Err(PayloadError::new(
                "cwd",
                format!("{cwd:?}"),
                "an absolute path",
            )),
            Some(_) | None => Ok(asked),
        }
    }

    fn check_argv(&self) -> Result<(), PayloadError> {
        let length = self.argv.len();
        if length == 0 || length > ARGV_MAX {
            let bound = format!("1 to {ARGV_MAX} strings, the program first");
            return Err(PayloadError::new(
                "argv",
                format!("{length} strings"),
                bound,
            ));
        }
        if self.argv[0].is_empty() {
            let bound = "a program, by name or absolute path";
            return Err(PayloadError::new("argv[0]", "empty", bound));
        }
        for (at, argument) in self.argv.iter().enumerate() {
            check_string(&format!("argv[{at}]"), argument, argument.len())?;
        }
        Ok(())
    }

    fn check_env(&self) -> Result<(), PayloadError> {
        if self.env.len() > ENV_MAX {
            let problem = format!("{} variables", self.env.len());
            return Err(PayloadError::new(
                "env",
                problem,
                format!("at most {ENV_MAX}"),
            ));
        }
        for (name, value) in &self.env {
            let field = format!("env.{name}");
            if name.is_empty() || name.contains(['=', '\0']) {
                let bound = "a name without = and NUL";
                return Err(PayloadError::new(&field, format!("name {name:?}"), bound));
            }
            if name.starts_with("TENURE_") {
                let bound = "another name: TENURE_ is for the identity of the run";
                return Err(PayloadError::new(&field, "reserved name", bound));
            }
            check_string(&field, value, name.len() + 1 + value.len())?;
        }
        Ok(())
    }
}

fn check_string(field: &str, string: &str, bytes: usize) -> Result<(), PayloadError> {
    if string.contains('\0') {
        return Err(PayloadError::new(
            field,
            "holds a NUL",
            "a string without NUL",
        ));
    }
    if bytes > STRING_BYTES_MAX {
        let bound = format!("at most {STRING_BYTES_MAX} bytes");
        return Err(PayloadError::new(field, format!("{bytes} bytes"), bound));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::worker::kinds::tests::raw;

    #[test]
    fn a_payload_is_refused_by_field() {
        let long = "x".repeat(131_072);
        let table = [
            (json!({}), "payload.argv"),
            (json!({"argv": []}), "payload.argv"),
            (json!({"argv": "ls -l"}), "payload.argv"),
            (json!({"argv": vec!["x"; 1025]}), "payload.argv"),
            (json!({"argv": [""]}), "payload.argv[0]"),
            (json!({"argv": ["ls", "a\0b"]}), "payload.argv[1]"),
            (json!({"argv": ["ls", long]}), "payload.argv[1]"),
            (json!({"argv": ["ls"], "shell": true}), "payload.shell"),
            (
                json!({"argv": ["ls"], "env": {"A=B": "c"}}),
                "payload.env.A=B",
            ),
            (
                json!({"argv": ["ls"], "env": {"TENURE_FENCE": "1"}}),
                "payload.env.TENURE_FENCE",
            ),
            (json!({"argv": ["ls"], "env": {"A": 1}}), "payload.env.A"),
            (json!({"argv": ["ls"], "cwd": "tmp"}), "payload.cwd"),
            (json!({"argv": ["ls"], "stdin": 1}), "payload.stdin"),
        ];

        for (payload, field) in table {
            let error = Asked::read(&raw(&payload)).unwrap_err();
            assert_eq!(error.field, field);
        }
    }
}
