//! The types that a setting may have: how each is read from words and written as words.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::Cidr;

/// How many words a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One.
    One,
    /// Any number: a flag may be repeated or hold a comma, a key holds an array.
    Many,
    /// Any number of `key=value`; in the file a table.
    Map,
    /// `true` or `false`; the bare flag is true.
    Switch,
}

/// A type that a setting may have.
pub trait Value: Sized {
    /// How many words it takes.
    const SHAPE: Shape;
    /// Whether it is never shown.
    const SECRET: bool = false;

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, to follow the value: "is not a duration …".
    fn parse(words: &[String]) -> Result<Self, String>;

    /// Writes it, so that `parse` reads the same again; a secret is three stars.
    fn words(&self) -> Vec<String>;
}

/// A type of which a setting may have bounds.
pub(super) trait Bounded: Value {
    fn within(&self, low: &Self, high: &Self) -> bool;
}

pub(super) fn within<T: Bounded>(value: &T, low: &str, high: &str) -> bool {
    value.within(&default(low), &default(high))
}

/// A value that stands in the table itself.
pub(super) fn default<T: Value>(text: &str) -> T {
    T::parse(&[text.to_owned()]).expect("a test reads every default and bound of the table")
}

pub(super) fn one<'a, T>(
    words: &'a [String],
    read: impl Fn(&'a str) -> Result<T, String>,
) -> Result<T, String> {
    match words {
        [word] => read(word.trim()),
        [] | [_, ..] => Err("is not one value".to_owned()),
    }
}

/// Commas separate within a word, so that one variable can hold several.
fn many(words: &[String]) -> impl Iterator<Item = &str> {
    words
        .iter()
        .flat_map(|word| word.split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

macro_rules! from_str {
    ($($type:ty, $what:literal;)+) => { $(
        impl Value for $type {
            const SHAPE: Shape = Shape::One;
            fn parse(words: &[String]) -> Result<Self, String> {
                one(words, |word| word.parse().map_err(|_| concat!("is not ", $what).to_owned()))
            }
            fn words(&self) -> Vec<String> {
                vec![self.to_string()]
            }
        }
    )+ };
}

from_str! {
    String, "text";
    u32, "a whole number";
    f64, "a number";
    SocketAddr, "an address with a port, such as 127.0.0.1:8700";
    Bytes, "a size, such as 256KiB";
    LogFormat, "one of text, json, auto";
    Cidr, "a network, such as 10.0.0.0/8";
    Every, "a duration, such as 5m, or off";
}

macro_rules! ordered {
    ($($type:ty),+) => { $(
        impl Bounded for $type {
            fn within(&self, low: &Self, high: &Self) -> bool {
                (low..=high).contains(&self)
            }
        }
    )+ };
}

ordered!(u32, f64, Bytes, Duration);

impl Bounded for Every {
    fn within(&self, low: &Self, high: &Self) -> bool {
        self.0.is_none() || (low.0..=high.0).contains(&self.0)
    }
}

impl Value for bool {
    const SHAPE: Shape = Shape::Switch;
    fn parse(words: &[String]) -> Result<Self, String> {
        one(words, |word| match word {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("is not true or false".to_owned()),
        })
    }
    fn words(&self) -> Vec<String> {
        vec![self.to_string()]
    }
}

impl Value for PathBuf {
    const SHAPE: Shape = Shape::One;
    fn parse(words: &[String]) -> Result<Self, String> {
        one(words, |word| Ok(Self::from(word)))
    }
    fn words(&self) -> Vec<String> {
        vec![self.display().to_string()]
    }
}

impl Value for Duration {
    const SHAPE: Shape = Shape::One;
    fn parse(words: &[String]) -> Result<Self, String> {
        one(words, |word| {
            let span = word.parse::<jiff::SignedDuration>().ok();
            span.and_then(|span| Self::try_from(span).ok())
                .ok_or_else(|| "is not a duration, such as 500ms, 5s or 24h".to_owned())
        })
    }
    fn words(&self) -> Vec<String> {
        vec![duration(*self)]
    }
}

fn duration(length: Duration) -> String {
    jiff::SignedDuration::try_from(length)
        .map_or_else(|_| "forever".to_owned(), |d| format!("{d:#}"))
}

impl<T: Value> Value for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const SECRET: bool = T::SECRET;
    fn parse(words: &[String]) -> Result<Self, String> {
        if words.iter().all(|word| word.trim().is_empty()) {
            return Ok(None);
        }
        T::parse(words).map(Some)
    }
    fn words(&self) -> Vec<String> {
        self.as_ref().map_or_else(|| vec![String::new()], T::words)
    }
}

impl<T: Value> Value for Vec<T> {
    const SHAPE: Shape = Shape::Many;
    fn parse(words: &[String]) -> Result<Self, String> {
        many(words)
            .map(|word| T::parse(&[word.to_owned()]))
            .collect()
    }
    fn words(&self) -> Vec<String> {
        self.iter().flat_map(T::words).collect()
    }
}

impl Value for BTreeMap<String, String> {
    const SHAPE: Shape = Shape::Map;
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut map = Self::new();
        for word in many(words) {
            let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err("is not key=value".to_owned());
            };
            if map.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("is not clear: it gives {key} twice"));
            }
        }
        Ok(map)
    }
    fn words(&self) -> Vec<String> {
        self.iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to hand it to whoever must know it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Value for Secret {
    const SHAPE: Shape = Shape::One;
    const SECRET: bool = true;
    fn parse(words: &[String]) -> Result<Self, String> {
        one(words, |word| Ok(Self(word.to_owned())))
    }
    fn words(&self) -> Vec<String> {
        vec!["***".to_owned()]
    }
}

/// A number of bytes: `4096`, `256KiB`, `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl FromStr for Bytes {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let split = UNITS
            .iter()
            .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
        let (number, size) = split.unwrap_or((text, 1));
        let number: u64 = number.trim().parse().map_err(drop)?;
        number.checked_mul(size).map(Self).ok_or(())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, size): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*size);
        let (unit, size) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

/// How often, or never: `5m`, `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every(pub Option<Duration>);

impl FromStr for Every {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        Duration::parse(&[text.to_owned()]).map(|every| Self(Some(every)))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(every) => f.write_str(&duration(every)),
            None => f.write_str("off"),
        }
    }
}

/// Whether a node brings its own etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedded {
    /// It does not.
    No,
    /// It keeps it in a directory.
    Durable,
    /// It keeps it in memory only.
    Memory,
}

impl Value for Embedded {
    const SHAPE: Shape = Shape::Switch;
    fn parse(words: &[String]) -> Result<Self, String> {
        one(words, |word| match (word, bool::parse(words)) {
            ("memory", _) => Ok(Self::Memory),
            (_, Ok(true)) => Ok(Self::Durable),
            (_, Ok(false)) => Ok(Self::No),
            (_, Err(_)) => Err("is not true, false or memory".to_owned()),
        })
    }
    fn words(&self) -> Vec<String> {
        let word = match self {
            Self::No => "false",
            Self::Durable => "true",
            Self::Memory => "memory",
        };
        vec![word.to_owned()]
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// Text on a terminal, else JSON.
    Auto,
}

impl FromStr for LogFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "auto" => Ok(Self::Auto),
            _ => Err(()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Auto => "auto",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<T: Value>(text: &str) -> String {
        T::parse(&[text.to_owned()]).map_or_else(|e| e, |value| value.words().join(","))
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        for text in ["5s", "500ms", "5m", "24h", "0s", "1m 30s"] {
            assert_eq!(round::<Duration>(text), text);
        }
        for (text, shown) in [
            ("4096", "4KiB"),
            ("256KiB", "256KiB"),
            ("7", "7B"),
            ("0", "0B"),
        ] {
            assert_eq!(round::<Bytes>(text), shown);
        }
        assert_eq!(round::<Every>("off"), "off");
        assert_eq!(round::<Vec<Cidr>>("10.0.0.0/8, ::1"), "10.0.0.0/8,::1/128");
        assert_eq!(round::<BTreeMap<_, _>>("b=2,a=1"), "a=1,b=2");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for wrong in [
            round::<Duration>("-5s"),
            round::<Duration>("5"),
            round::<Bytes>("99999999999GiB"),
            round::<Cidr>("10.0.0.0/33"),
            round::<bool>("perhaps"),
            round::<BTreeMap<_, _>>("=x"),
            round::<BTreeMap<_, _>>("a=1,a=2"),
        ] {
            assert!(wrong.starts_with("is not "), "{wrong}");
        }
    }
}
