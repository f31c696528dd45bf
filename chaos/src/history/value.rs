//! A value as it was seen: bytes, which are JSON text where they are this cluster's.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A key's value. In JSON a string where it is UTF-8, else `{"hex": "…"}`.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Spelled", into = "Spelled")]
pub struct Value(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Spelled {
    Text(String),
    Bytes { hex: String },
}

impl From<Value> for Spelled {
    fn from(value: Value) -> Self {
        match String::from_utf8(value.0) {
            Ok(text) => Self::Text(text),
            Err(bytes) => Self::Bytes {
                hex: bytes
                    .into_bytes()
                    .iter()
                    .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
            },
        }
    }
}

impl From<Spelled> for Value {
    fn from(spelled: Spelled) -> Self {
        match spelled {
            Spelled::Text(text) => Self(text.into_bytes()),
            Spelled::Bytes { hex } => Self(
                hex.as_bytes()
                    .chunks(2)
                    .map(|pair| {
                        let digit = |c: &u8| (*c as char).to_digit(16).unwrap_or(0);
                        let byte = pair.iter().fold(0, |sum, c| sum * 16 + digit(c));
                        u8::try_from(byte).expect("two hexadecimal digits are a byte")
                    })
                    .collect(),
            ),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}
