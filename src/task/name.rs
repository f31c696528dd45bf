//! Names that users give and keys carry: queues, kinds, nodes; never holds a character that a key uses as a separator.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// 64 characters: long enough for `team.service-purpose`, short enough that a key of four names stays small.
pub const NAME_CHARS_MAX: usize = 64;

/// A queue, kind or node name: 1 to 64 of `A-Z a-z 0-9 _ . -`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "name `{given}` is not 1 to 64 of letters, digits, `_`, `.` and `-`, starting with a letter or digit"
)]
pub struct NameError {
    given: String,
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if starts_well && text.len() <= NAME_CHARS_MAX && text.chars().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(NameError {
            given: text.chars().take(NAME_CHARS_MAX).collect(),
        })
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

/// So that a map by name can be asked with text.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_separators_or_out_of_bounds_are_refused() {
        let long = "a".repeat(65);
        for bad in ["", "a/b", " a", ".a", "-a", "ä", "a b", long.as_str()] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?} was taken");
        }
        for good in ["a", "A-1_b.c", "0", &"a".repeat(64)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
    }
}
