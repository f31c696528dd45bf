//! Time zones by name, from the rules that are built in: the same on every node, whatever its system has.

use std::sync::OnceLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{TimingError, TimingField};

/// 64 bytes in the name of a zone; the longest there is has 32.
pub const ZONE_BYTES_MAX: usize = 64;

/// The zone of schedules that name none.
pub(super) const UTC: &str = "UTC";

/// 3 names are offered in place of one that is unknown.
const OFFERS_MAX: usize = 3;

/// The zone of that name.
///
/// # Errors
/// There is none; names that are spelled alike are offered.
pub(super) fn find(name: &str) -> Result<TimeZone, TimingError> {
    let refused = |detail: String| TimingError::of(TimingField::Timezone, detail);
    if name.len() > ZONE_BYTES_MAX {
        let bytes = name.len();
        return Err(refused(format!(
            "has {bytes} bytes; at most {ZONE_BYTES_MAX} are allowed"
        )));
    }
    if let Ok(zone) = database().get(name)
        && zone.iana_name().is_some()
    {
        return Ok(zone);
    }
    let offers = offers(name);
    let hint = if offers.is_empty() {
        "a name such as Europe/Berlin is meant".to_owned()
    } else {
        format!("is {} meant?", offers.join(" or "))
    };
    Err(refused(format!("`{name}` is not a time zone; {hint}")))
}

/// A zone's name.
pub(super) fn name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or(UTC)
}

/// All names there are.
#[cfg(test)]
pub(super) fn names() -> Vec<String> {
    database()
        .available()
        .map(|name| name.to_string())
        .collect()
}

fn database() -> &'static TimeZoneDatabase {
    static BUNDLED: OnceLock<TimeZoneDatabase> = OnceLock::new();
    BUNDLED.get_or_init(TimeZoneDatabase::bundled)
}

/// Names that differ little from `given`, or whose last part does; the nearest first.
fn offers(given: &str) -> Vec<String> {
    let given = given.to_ascii_lowercase().replace(' ', "_");
    let mut near: Vec<(usize, String)> = database()
        .available()
        .map(|name| (distance_of(&given, name.as_str()), name.to_string()))
        .filter(|(distance, _)| *distance <= given.len() / 3)
        .collect();
    near.sort();
    near.truncate(OFFERS_MAX);
    near.into_iter().map(|(_, name)| name).collect()
}

fn distance_of(given: &str, name: &str) -> usize {
    let name = name.to_ascii_lowercase();
    let city = name.rsplit('/').next().unwrap_or(&name);
    distance(given, &name).min(distance(given, city))
}

/// How many characters have to be put, taken or changed to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, mine) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, theirs) in other.iter().enumerate() {
            let changed = diagonal + usize::from(mine != *theirs);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
