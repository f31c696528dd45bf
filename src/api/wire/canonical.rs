//! JSON in one canonical form, in which neither the order of keys nor blanks matter, but every digit of a number does. It is compared and
//! digested, and is no JSON itself.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// 128 levels of JSON are put in order, as deep as `serde_json` reads; what is deeper counts as it is written.
const DEPTH_MAX: usize = 128;

/// The form of a text.
pub fn canonical(json: &RawValue) -> String {
    let mut out = String::with_capacity(json.get().len());
    put(json, DEPTH_MAX, &mut out);
    out
}

fn put(json: &RawValue, depth: usize, out: &mut String) {
    let text = json.get();
    let done = match text.as_bytes().first() {
        Some(b'{') if depth > 0 => object(text, depth, out),
        Some(b'[') if depth > 0 => array(text, depth, out),
        Some(b'"') => string(text, out),
        Some(_) | None => None,
    };
    if done.is_none() {
        out.push_str(text);
    }
}

fn object(text: &str, depth: usize, out: &mut String) -> Option<()> {
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).ok()?;
    out.push('{');
    for (key, value) in fields {
        out.push_str(&serde_json::to_string(&key).expect("a string encodes"));
        out.push(':');
        put(value, depth - 1, out);
        out.push(',');
    }
    out.push('}');
    Some(())
}

fn array(text: &str, depth: usize, out: &mut String) -> Option<()> {
    let values: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    out.push('[');
    for value in values {
        put(value, depth - 1, out);
        out.push(',');
    }
    out.push(']');
    Some(())
}

/// However its characters were escaped.
fn string(text: &str, out: &mut String) -> Option<()> {
    let plain: String = serde_json::from_str(text).ok()?;
    out.push_str(&serde_json::to_string(&plain).expect("a string encodes"));
    Some(())
}
