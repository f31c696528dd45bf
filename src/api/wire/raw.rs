//! JSON as its author wrote it: carried through, never re-encoded, so big numbers and the order of keys survive.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// A JSON value as text. Equal where the text is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw(Arc<RawValue>);

impl Raw {
    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Taken apart; numbers beyond 64 bits lose digits here.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(self.get()).unwrap_or_else(|_| Value::String(self.get().to_owned()))
    }

    /// The text, shared.
    pub fn shared(&self) -> &Arc<RawValue> {
        &self.0
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl From<Value> for Raw {
    fn from(value: Value) -> Self {
        let text = serde_json::value::to_raw_value(&value).expect("a JSON value always encodes");
        Self(text.into())
    }
}

impl From<Arc<RawValue>> for Raw {
    fn from(text: Arc<RawValue>) -> Self {
        Self(text)
    }
}
