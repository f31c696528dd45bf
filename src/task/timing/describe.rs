//! An expression in English, from the values it means and not from how it is spelled.

use std::collections::BTreeSet;

use super::Part;
use super::expression::{Expression, Item};
use super::fields::Fields;
use super::wall::Wall;

/// 6 times of day are listed; more are put as minutes of hours.
const TIMES_MAX: usize = 6;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

/// What it says.
pub(super) fn english(wall: &Wall) -> String {
    let fields = wall.fields();
    let mut said = vec![times(fields)];
    said.extend(wall.expression().as_ref().and_then(days));
    let months = fields.values(Part::Month);
    if months.len() < MONTHS.len() {
        let months = runs(&months, |month| MONTHS[usize::from(month) - 1].to_owned());
        said.push(format!("in {months}"));
    }
    said.join(" ")
}

fn times(fields: &Fields) -> String {
    let seconds = fields.values(Part::Second);
    let minutes = fields.values(Part::Minute);
    let hours = fields.values(Part::Hour);
    if seconds.len() * minutes.len() * hours.len() <= TIMES_MAX {
        return format!("at {}", listed_times(&seconds, &minutes, &hours));
    }
    let (every_minute, every_hour) = (minutes.len() == 60, hours.len() == 24);
    let on_the_minute = seconds == [0];
    let pace_of_seconds = pace("second", &seconds);
    let pace_of_minutes = pace("minute", &minutes).filter(|_| on_the_minute || every_minute);
    // What keeps a pace through all that is above it needs no more words.
    if every_hour && every_minute && !on_the_minute && pace_of_seconds.is_some() {
        return pace_of_seconds.unwrap_or_default();
    }
    let goes_on = every_hour && pace_of_minutes.is_some();
    let mut said = Vec::new();
    if !on_the_minute {
        said.push(pace_of_seconds.unwrap_or_else(|| at("second", &seconds)));
    }
    said.push(match pace_of_minutes {
        Some(pace) => pace,
        None if on_the_minute => at("minute", &minutes),
        None => named("minute", &minutes),
    });
    if !every_hour {
        said.push(named("hour", &hours));
    } else if !goes_on {
        said.push("every hour".to_owned());
    }
    said.join(" of ")
}

fn listed_times(seconds: &[u8], minutes: &[u8], hours: &[u8]) -> String {
    let mut times = Vec::new();
    for hour in hours {
        for minute in minutes {
            for second in seconds {
                times.push(match second {
                    0 if seconds.len() == 1 => format!("{hour:02}:{minute:02}"),
                    _ => format!("{hour:02}:{minute:02}:{second:02}"),
                });
            }
        }
    }
    join(&times)
}

/// `every 15 minutes`, where values are evenly spaced through 60 of them.
fn pace(unit: &str, values: &[u8]) -> Option<String> {
    const ALL: usize = 60;
    let step = ALL.checked_div(values.len())?;
    let even = (0..ALL)
        .step_by(step)
        .eq(values.iter().map(|value| usize::from(*value)));
    match step {
        1 => even.then(|| format!("every {unit}")),
        _ => (even && values.len() > 1).then(|| format!("every {step} {unit}s")),
    }
}

/// `at minutes 5 and 20`.
fn at(unit: &str, values: &[u8]) -> String {
    format!("at {}", named(unit, values))
}

/// `minutes 5 and 20`.
fn named(unit: &str, values: &[u8]) -> String {
    let plural = if values.len() == 1 { "" } else { "s" };
    format!("{unit}{plural} {}", runs(values, |value| value.to_string()))
}

/// The days; none where all fit.
fn days(expression: &Expression) -> Option<String> {
    let of_month = &expression.parts[Part::DayOfMonth as usize];
    let of_week = &expression.parts[Part::DayOfWeek as usize];
    let (any_month, any_week) = (*of_month == [Item::Any], *of_week == [Item::Any]);
    match (any_month, any_week) {
        (true, true) => None,
        (false, true) => Some(format!("on {}", days_of_month(of_month))),
        (true, false) => Some(format!("on {}", days_of_week(of_week))),
        (false, false) => {
            let word = if expression.both { "if it is" } else { "or on" };
            let (month, week) = (days_of_month(of_month), days_of_week(of_week));
            Some(format!("on {month} {word} {week}"))
        }
    }
}

fn days_of_month(items: &[Item]) -> String {
    let mut said = Vec::new();
    let days = plain(items);
    if !days.is_empty() {
        said.push(named("day", &days));
    }
    for item in items {
        match item {
            Item::LastDay => said.push("the last day of the month".to_owned()),
            Item::LastWeekday => {
                said.push("the last weekday (Monday to Friday) of the month".to_owned());
            }
            Item::Nearest(day) => {
                said.push(format!("the weekday (Monday to Friday) nearest day {day}"));
            }
            Item::Any
            | Item::Steps { .. }
            | Item::Range { .. }
            | Item::Nth { .. }
            | Item::LastOf { .. } => {}
        }
    }
    join(&said)
}

fn days_of_week(items: &[Item]) -> String {
    let mut said = Vec::new();
    // A week is told from Monday on.
    let mut days: Vec<u8> = plain(items).into_iter().map(|day| (day + 6) % 7).collect();
    days.sort_unstable();
    days.dedup();
    if !days.is_empty() {
        said.push(runs(&days, |day| weekday(day + 1)));
    }
    for item in items {
        let (low, high, which) = match item {
            Item::Nth { low, high, nth } => (*low, *high, ORDINALS[usize::from(*nth) - 1]),
            Item::LastOf { low, high } => (*low, *high, "last"),
            Item::Any
            | Item::Steps { .. }
            | Item::Range { .. }
            | Item::LastDay
            | Item::LastWeekday
            | Item::Nearest(_) => continue,
        };
        let days: Vec<u8> = (low..=high).collect();
        let days = runs(&days, weekday);
        said.push(format!("the {which} {days} of the month"));
    }
    join(&said)
}

fn weekday(day: u8) -> String {
    WEEKDAYS[usize::from(day) % 7].to_owned()
}

/// The values of steps and ranges, each once, in order.
fn plain(items: &[Item]) -> Vec<u8> {
    let mut values = BTreeSet::new();
    for item in items {
        match item {
            Item::Range { low, high, step } => {
                values.extend((*low..=*high).step_by(usize::from(*step)));
            }
            Item::Any
            | Item::Steps { .. }
            | Item::Nth { .. }
            | Item::LastOf { .. }
            | Item::LastDay
            | Item::LastWeekday
            | Item::Nearest(_) => {}
        }
    }
    values.into_iter().collect()
}

/// Values as words, three and more that follow each other as a range.
fn runs(values: &[u8], word: impl Fn(u8) -> String) -> String {
    let mut said = Vec::new();
    for run in values.chunk_by(|one, next| one + 1 == *next) {
        match run {
            [first, _, .., last] => said.push(format!("{} to {}", word(*first), word(*last))),
            few => said.extend(few.iter().map(|value| word(*value))),
        }
    }
    join(&said)
}

fn join(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
