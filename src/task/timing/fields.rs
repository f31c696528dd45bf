//! Which values and days an expression means, as sets, and the next wall clock time that fits them.
//!
//! Croner says what is in the sets; what it parses to takes 5 KiB, so only the sets are kept. Which days of a month fit depends
//! on its length and on the weekday it begins with, so they are asked for once for each of those 28 shapes.

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::time::days_in_month;
use croner::{Cron, CronComponent, CronPattern, Weekday};
use jiff::civil::{Date, DateTime, Time};

use super::{Part, TimingError, TimingField};

/// 50 years are searched before an expression is taken for one that is never due: the longest wait of one that is due takes 40,
/// for a 29 February of a certain weekday across 2100.
pub const SEARCH_YEARS_MAX: i32 = 50;

/// A month of each length, from 28 days: croner asks for no more of a month than its length and a weekday.
const MONTHS: [(i32, u32); 4] = [(2001, 2), (2000, 2), (2001, 4), (2001, 1)];

/// The days of the shortest month.
const SHORTEST: i8 = 28;

/// The sets: bit n stands for n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    /// Days by the month's length, from 28, and its first weekday, from Sunday.
    days: [[u32; 7]; 4],
}

impl Fields {
    /// The sets of an expression in numbers.
    ///
    /// # Errors
    /// Croner does not read it.
    pub(super) fn of(numbers: &str) -> Result<Self, TimingError> {
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .build();
        let refused = |error: &dyn std::fmt::Display| {
            TimingError::of(TimingField::Cron, format!("is refused: {error}"))
        };
        let cron: Cron = parser.parse(numbers).map_err(|error| refused(&error))?;
        let pattern = &cron.pattern;
        Ok(Self {
            seconds: set(&pattern.seconds),
            minutes: set(&pattern.minutes),
            hours: set(&pattern.hours),
            months: set(&pattern.months),
            days: days(pattern).map_err(|error| refused(&error))?,
        })
    }

    /// The values of a part, in order; days have none of their own.
    pub(super) fn values(&self, part: Part) -> Vec<u8> {
        let set = match part {
            Part::Second => self.seconds,
            Part::Minute => self.minutes,
            Part::Hour => self.hours,
            Part::Month => self.months,
            Part::DayOfMonth | Part::DayOfWeek => 0,
        };
        (0..=59).filter(|value| set & (1 << value) != 0).collect()
    }

    /// Whether it is due in each of the 24 hours.
    pub(super) fn every_hour(&self) -> bool {
        self.hours == (1 << (Part::Hour.last() + 1)) - 1
    }

    /// The first wall clock time at or after `from` that fits, if there is one within [`SEARCH_YEARS_MAX`].
    pub(super) fn next(&self, from: DateTime) -> Option<DateTime> {
        let today = from.date();
        let mut month = today.first_of_month();
        let mut days = self.days_of(month);
        if days & (1 << today.day()) != 0
            && let Some(time) = self.time_from(from.time())
        {
            return Some(today.to_datetime(time));
        }
        // What is left of this month begins tomorrow.
        days &= u32::MAX << today.day() << 1;
        for _ in 0..=12 * SEARCH_YEARS_MAX {
            if days != 0 {
                let day = i8::try_from(days.trailing_zeros()).ok()?;
                let date = Date::new(month.year(), month.month(), day).ok()?;
                return Some(date.to_datetime(self.time_from(Time::MIN)?));
            }
            month = following(month)?;
            days = self.days_of(month);
        }
        None
    }

    /// The days of a month that fit.
    fn days_of(&self, first: Date) -> u32 {
        if self.months & (1 << first.month()) == 0 {
            return 0;
        }
        let length = usize::try_from(first.days_in_month() - SHORTEST);
        let weekday = usize::try_from(first.weekday().to_sunday_zero_offset());
        match (length, weekday) {
            (Ok(length), Ok(weekday)) => self.days[length][weekday],
            (Err(_), _) | (_, Err(_)) => 0,
        }
    }

    /// The first time of day at or after `from`.
    fn time_from(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let first = |set: u64| at_least(set, 0);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = at_least(self.seconds, second)
            {
                return time(hour, minute, second);
            }
            if let Some(minute) = at_least(self.minutes, minute + 1) {
                return time(hour, minute, first(self.seconds)?);
            }
        }
        let hour = at_least(self.hours, hour + 1)?;
        time(hour, first(self.minutes)?, first(self.seconds)?)
    }
}

fn time(hour: i8, minute: i8, second: i8) -> Option<Time> {
    Time::new(hour, minute, second, 0).ok()
}

fn has(set: u64, value: i8) -> bool {
    set & (1 << value) != 0
}

/// The lowest value of a set that is not below `low`, which is at most 60.
fn at_least(set: u64, low: i8) -> Option<i8> {
    let rest = set & (u64::MAX << low);
    (rest != 0).then(|| i8::try_from(rest.trailing_zeros()).ok())?
}

/// The first of the month after.
fn following(month: Date) -> Option<Date> {
    match month.month() {
        12 => Date::new(month.year().checked_add(1)?, 1, 1).ok(),
        other => Date::new(month.year(), other + 1, 1).ok(),
    }
}

fn set(values: &CronComponent) -> u64 {
    let values = values.values();
    values.iter().fold(0, |set, value| set | 1 << value)
}

/// The days that fit, for each shape of a month.
fn days(pattern: &CronPattern) -> Result<[[u32; 7]; 4], CronError> {
    let mut days = [[0; 7]; 4];
    for ((year, month), shapes) in MONTHS.into_iter().zip(&mut days) {
        for (first, set) in (0..).zip(shapes) {
            for day in 1..=days_in_month(year, month) {
                let weekday = Weekday::from_days_from_sunday(first + day - 1);
                if pattern.day_match(year, month, day, weekday)? {
                    *set |= 1 << day;
                }
            }
        }
    }
    Ok(days)
}
