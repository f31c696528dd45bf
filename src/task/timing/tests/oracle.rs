//! A second opinion on due times: a clock that is watched from second to second. It knows no croner, no sets of values, no table
//! of changes: only what the clock shows, what it has shown before, and what it passed over. Expressions it reads by itself.

use std::collections::BTreeSet;

/// An expression as the watcher knows it.
pub(super) struct Watched {
    /// Seconds into the hour at which it is due, by hour.
    in_hour: Vec<Vec<i64>>,
    /// Whether it is due on a day, by days since 1970.
    on_day: Vec<bool>,
    every_hour: bool,
    goes_on: bool,
}

/// Days since 1970 of which it is known what is due: 2009 to 2039, which is what clocks are watched for.
const DAYS: std::ops::Range<usize> = 39 * 366..70 * 365;

struct Day {
    month: u32,
    /// Of the month.
    date: u32,
    /// Of the month.
    length: u32,
    /// From Sunday.
    weekday: u32,
}

/// The calendar, counted from a Thursday.
fn calendar() -> Vec<Day> {
    let mut days = Vec::new();
    let mut year = 1970;
    while days.len() < DAYS.end {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = [
            31,
            28 + u32::from(leap),
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
            31,
        ];
        for (month, length) in (1..).zip(lengths) {
            for date in 1..=length {
                let weekday = u32::try_from((days.len() + 4) % 7).unwrap();
                days.push(Day {
                    month,
                    date,
                    length,
                    weekday,
                });
            }
        }
        year += 1;
    }
    days
}

fn number(text: &str) -> u32 {
    let names = "SUNMONTUEWEDTHUFRISAT";
    match names.find(text) {
        Some(at) if text.len() == 3 => u32::try_from(at / 3).unwrap(),
        _ => text.parse().unwrap(),
    }
}

/// The plain values of a part.
fn values(text: &str, low: u32, high: u32) -> BTreeSet<u32> {
    let mut values = BTreeSet::new();
    for item in text.split(',') {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from), number(to)),
            None if range == "*" => (low, high),
            None => (number(range), number(range)),
        };
        values.extend((from..=to).step_by(step.parse().unwrap()));
    }
    values
}

fn day_of_month_fits(text: &str, at: &Day) -> bool {
    let weekday_of = |day: u32| (at.weekday + 35 + day - at.date) % 7;
    let works = |day: u32| (1..=5).contains(&weekday_of(day));
    text.split(',').any(|item| match item {
        "L" => at.date == at.length,
        "LW" => works(at.date) && (at.date + 1..=at.length).all(|later| !works(later)),
        near if near.ends_with('W') => {
            let wanted: u32 = near.trim_end_matches('W').parse().unwrap();
            let steps = |day: u32| (wanted.abs_diff(day), day > wanted);
            let nearest = (1..=at.length)
                .filter(|day| works(*day))
                .min_by_key(|day| steps(*day));
            wanted <= at.length && nearest == Some(at.date)
        }
        plain => values(plain, 1, 31).contains(&at.date),
    })
}

fn day_of_week_fits(text: &str, at: &Day) -> bool {
    text.split(',').any(|item| {
        if let Some((weekday, nth)) = item.split_once('#') {
            return number(weekday) % 7 == at.weekday && nth == at.date.div_ceil(7).to_string();
        }
        if let Some(weekday) = item.strip_suffix('L') {
            return number(weekday) % 7 == at.weekday && at.date + 7 > at.length;
        }
        let plain = values(item, 0, 6);
        plain.contains(&at.weekday) || (at.weekday == 0 && plain.contains(&7))
    })
}

fn day_fits(parts: &[&str], at: &Day) -> bool {
    let [of_month, month, of_week] = parts else {
        panic!("three parts speak of days");
    };
    if !values(month, 1, 12).contains(&at.month) {
        return false;
    }
    let (both, week) = match of_week.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, *of_week),
    };
    match (*of_month, week) {
        ("*", "*") => true,
        (_, "*") => day_of_month_fits(of_month, at),
        ("*", _) => day_of_week_fits(week, at),
        (_, _) if both => day_of_month_fits(of_month, at) && day_of_week_fits(week, at),
        (_, _) => day_of_month_fits(of_month, at) || day_of_week_fits(week, at),
    }
}

impl Watched {
    pub(super) fn new(expression: &str) -> Self {
        let mut parts: Vec<&str> = expression.split(' ').collect();
        if parts.len() == 5 {
            parts.insert(0, "0");
        }
        let seconds = values(parts[0], 0, 59);
        let minutes = values(parts[1], 0, 59);
        let hours = values(parts[2], 0, 23);
        let due: Vec<i64> = minutes
            .iter()
            .flat_map(|minute| {
                seconds
                    .iter()
                    .map(move |second| i64::from(minute * 60 + second))
            })
            .collect();
        let by_hour = |hour| {
            if hours.contains(&hour) {
                due.clone()
            } else {
                vec![]
            }
        };
        Self {
            in_hour: (0..24).map(by_hour).collect(),
            on_day: (0..)
                .zip(calendar())
                .map(|(nth, day)| DAYS.contains(&nth) && day_fits(&parts[3..], &day))
                .collect(),
            every_hour: hours.len() == 24,
            goes_on: parts[0].contains('*') || parts[1].contains('*'),
        }
    }

    /// What is due while the clock shows `from` to before `to`, in seconds since it would have shown 1970.
    fn shows(&self, from: i64, to: i64) -> impl Iterator<Item = i64> {
        let hours = from.div_euclid(3_600)..=(to - 1).div_euclid(3_600);
        hours
            .filter(|hour| self.on_day[usize::try_from(hour / 24).unwrap()])
            .flat_map(|hour| {
                let due = &self.in_hour[usize::try_from(hour % 24).unwrap()];
                due.iter().map(move |second| hour * 3_600 + second)
            })
            .filter(move |at| (from..to).contains(at))
    }
}

/// A while in which a clock is as far ahead of UTC; in seconds since 1970.
pub(super) struct While {
    begin: i64,
    end: i64,
    ahead: i64,
}

/// Looks at a clock from `from` to before `until`: every hour, and every second of an hour in which it changes. `offset` is how
/// far it is ahead of UTC.
pub(super) fn look(from: i64, until: i64, offset: &impl Fn(i64) -> i64) -> Vec<While> {
    let mut seen = Vec::new();
    let mut begin = from;
    while begin < until {
        let ahead = offset(begin);
        let hour = until.min(begin + 3_600);
        let end = if offset(hour) == ahead {
            hour
        } else {
            (begin..hour)
                .find(|at| offset(*at) != ahead)
                .unwrap_or(hour)
        };
        seen.push(While { begin, end, ahead });
        begin = end;
    }
    seen
}

/// What was due while that clock was watched, in milliseconds since 1970.
pub(super) fn watch(watched: &Watched, clock: &[While]) -> Vec<u64> {
    let mut due = Vec::new();
    let mut next = clock[0].begin + clock[0].ahead;
    // Before this the clock has shown everything.
    let mut known = next;
    for While { begin, end, ahead } in clock {
        let (shows, to) = (begin + ahead, end + ahead);
        let new = next.max(known);
        if !watched.every_hour && new < shows && watched.shows(new, shows).next().is_some() {
            due.push(*begin);
        }
        for at in watched.shows(shows, to) {
            let again = at < known && !watched.every_hour && !watched.goes_on;
            if !again && due.last() != Some(&(at - ahead)) {
                due.push(at - ahead);
            }
        }
        known = known.max(to);
        next = to;
    }
    due.into_iter()
        .map(|at| u64::try_from(at * 1_000).unwrap())
        .collect()
}
