//! A length of time as people write it: `90s`, `5m`, `1h 30m`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// 7 days: nothing here takes longer.
const MOST: Duration = Duration::from_hours(168);

/// A whole number of milliseconds, more than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Length(Duration);

impl Length {
    /// So many seconds.
    pub(crate) const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// This length, to the second.
    pub(crate) const fn of(length: Duration) -> Self {
        Self::secs(length.as_secs())
    }

    /// In milliseconds.
    pub(crate) fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).expect("seven days at most")
    }

    /// As the clocks count.
    pub(crate) const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` is no length of time such as 90s or 1h: {why}");
        let read: jiff::SignedDuration =
            text.parse().map_err(|error| wrong(&format!("{error}")))?;
        let length = Duration::try_from(read).map_err(|_| wrong("it is less than nothing"))?;
        if length.as_millis() == 0 || length > MOST {
            return Err(wrong("it is not between 1ms and 168h"));
        }
        Ok(Self(length))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = jiff::SignedDuration::try_from(self.0).expect("seven days at most");
        write!(f, "{length:#}")
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written_as_people_do() {
        for (text, ms) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("250ms", 250),
        ] {
            let length: Length = text.parse().unwrap();
            assert_eq!(length.millis(), ms, "{text}");
            assert_eq!(length.to_string().parse(), Ok(length), "{text}");
        }
        for text in ["", "90", "-1s", "0s", "200h", "soon"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }
}
