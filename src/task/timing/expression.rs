//! Cron expressions as people write them: taken apart with the place of every fault, spread by `H`, and written again in the
//! numbers that croner reads.
//!
//! Five parts, or six with seconds first: each `*`, values, ranges `a-b`, steps `*/n` and `a-b/n`, or a list of those. Months and
//! weekdays have names of three letters. Day of month also `L` (the last), `LW` (the last weekday, Monday to Friday), `15W` (the
//! weekday nearest the 15th, within the month); day of week also `FRI#2` (the second Friday) and `FRIL` (the last). `?` is `*` in
//! both. `H` is a value of its own for each schedule and part, `H(0-29)` one of that range, `H/15` and `H(0-29)/10` steps from
//! such a value; of days of the month it takes 1 to 28, which every month has.
//!
//! A day is due when **either** day of month or day of week fits, where both are restricted; with `+` before the day of week
//! when **both** fit. Unrestricted is a part that is `*` or `?` and nothing else: `*/2` restricts.

use std::fmt::Write as _;

use super::scan::Scan;
use super::{Part, TimingError, TimingField, period};

/// 256 bytes in an expression, nicknames included: more than any clear one has, and looked at before anything is parsed.
pub const EXPRESSION_BYTES_MAX: usize = 256;

/// The word of a period.
const EVERY: &str = "@every";

/// What a text says.
pub(super) enum Read {
    /// `@every`: a period in milliseconds.
    Every(u64),
    /// Parts.
    Cron(Expression),
}

/// An expression, taken apart.
pub(super) struct Expression {
    /// What each part names, in the order of six; one item at least.
    pub(super) parts: [Vec<Item>; 6],
    /// Whether a day has to fit both day of month and day of week.
    pub(super) both: bool,
}

/// One item of a part's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// `*` or `?`.
    Any,
    /// `*/n`, or `H/n`: steps through the whole part from its first value.
    Steps { first: u8, step: u8 },
    /// A value, a range, or steps in one.
    Range { low: u8, high: u8, step: u8 },
    /// The nth such weekdays of a month.
    Nth { low: u8, high: u8, nth: u8 },
    /// The last such weekdays of a month.
    LastOf { low: u8, high: u8 },
    /// The last day of a month.
    LastDay,
    /// The last day of a month from Monday to Friday.
    LastWeekday,
    /// The day from Monday to Friday that is nearest to this one.
    Nearest(u8),
}

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const SHAPE: &str =
    "5 parts (minute, hour, day of month, month, day of week) or 6 (second first) are allowed";

/// Takes an expression apart; `name` is the schedule's, for `H`.
///
/// # Errors
/// What cannot be read, and where it is.
pub(super) fn read(name: &str, text: &str) -> Result<Read, TimingError> {
    let refused = |detail: String| Err(TimingError::of(TimingField::Cron, detail));
    if text.len() > EXPRESSION_BYTES_MAX {
        let bytes = text.len();
        return refused(format!(
            "has {bytes} bytes; at most {EXPRESSION_BYTES_MAX} are allowed"
        ));
    }
    let words = words(text);
    let Some((at, first)) = words.first() else {
        return refused(format!("is empty; {SHAPE}"));
    };
    if first.starts_with('@') {
        return nickname(name, text.trim(), *at);
    }
    let upper = first.to_ascii_uppercase();
    if upper.starts_with("TZ=") || upper.starts_with("CRON_TZ=") {
        let detail = "a time zone does not belong here: use the field `timezone`";
        return Err(TimingError::at(*at, None, detail));
    }
    parts(name, &words).map(Read::Cron)
}

/// Takes an expression in [`Expression::numbers`] apart again, which may be longer than what was given.
pub(super) fn again(numbers: &str) -> Option<Expression> {
    parts("", &words(numbers)).ok()
}

/// Words with the place of their first character, from 1.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut within = false;
    for (at, c) in (1..).zip(text.chars()) {
        if c.is_ascii_whitespace() {
            within = false;
            continue;
        }
        match words.last_mut() {
            Some((_, word)) if within => word.push(c),
            Some(_) | None => words.push((at, c.to_string())),
        }
        within = true;
    }
    words
}

/// Whether an expression is a period.
pub(super) fn is_period(text: &str) -> bool {
    let word = text.split_ascii_whitespace().next();
    word.is_some_and(|word| word.eq_ignore_ascii_case(EVERY))
}

fn nickname(name: &str, text: &str, at: usize) -> Result<Read, TimingError> {
    let refused = |detail: String| Err(TimingError::at(at, None, detail));
    let (word, rest) = text
        .split_once(|c: char| c.is_ascii_whitespace())
        .unwrap_or((text, ""));
    let word = word.to_ascii_lowercase();
    let rest = rest.trim();
    match (word.as_str(), rest) {
        (EVERY, "") => {
            return refused("`@every` needs a duration, as in `@every 90s`".to_owned());
        }
        (EVERY, rest) => return period::read(rest).map(Read::Every),
        ("@reboot", _) => {
            let why = "a cluster does not boot: submit a task, or use `at`";
            return refused(format!("`@reboot` is not known here: {why}"));
        }
        (_, _) => {}
    }
    match NICKNAMES.iter().find(|(known, _)| *known == word) {
        Some((_, meant)) if rest.is_empty() => parts(name, &words(meant)).map(Read::Cron),
        Some((known, _)) => refused(format!("`{known}` stands alone; `{rest}` follows it")),
        None => {
            let known: Vec<&str> = NICKNAMES.iter().map(|(known, _)| *known).collect();
            let known = known.join(", ");
            refused(format!("`{word}` is not one of {known}, @every"))
        }
    }
}

fn parts(name: &str, words: &[(usize, String)]) -> Result<Expression, TimingError> {
    let count = words.len();
    let given = match count {
        5 => &Part::ALL[1..],
        6 => &Part::ALL[..],
        7 => {
            let detail = "a seventh part, the year, is not known here: use `start` and `end`";
            return Err(TimingError::at(words[6].0, None, detail));
        }
        _ => {
            let noun = if count == 1 { "part" } else { "parts" };
            let detail = format!("has {count} {noun}; {SHAPE}");
            return Err(TimingError::of(TimingField::Cron, detail));
        }
    };
    let mut expression = Expression {
        parts: Default::default(),
        both: false,
    };
    // An expression of five parts means the first second.
    expression.parts[0] = vec![Item::value(0)];
    for (part, (at, word)) in given.iter().zip(words) {
        let mut scan = Scan::new(name, *part, *at, word);
        expression.both |= scan.takes_both();
        expression.parts[*part as usize] = scan.items()?;
    }
    Ok(expression)
}

impl Item {
    /// One value.
    pub(super) fn value(value: u8) -> Self {
        Self::range(value, value, 1)
    }

    fn range(low: u8, high: u8, step: u8) -> Self {
        Self::Range { low, high, step }
    }

    /// Whether it goes on through the whole part, rather than naming values of it.
    fn goes_on(self) -> bool {
        match self {
            Self::Any | Self::Steps { .. } => true,
            Self::Range { .. }
            | Self::Nth { .. }
            | Self::LastOf { .. }
            | Self::LastDay
            | Self::LastWeekday
            | Self::Nearest(_) => false,
        }
    }

    /// As croner reads it.
    fn write(self, part: Part, text: &mut String) {
        let written = match self {
            Self::Any => write!(text, "*"),
            Self::Steps { first, step } => {
                return Self::range(first, part.last(), step).write(part, text);
            }
            Self::Range { low, high, step } if high - low < step => write!(text, "{low}"),
            Self::Range { low, high, step } => write!(text, "{low}-{high}/{step}"),
            Self::Nth { low, high, nth } => write!(text, "{low}-{high}#{nth}"),
            Self::LastOf { low, high } => write!(text, "{low}-{high}#L"),
            Self::LastDay => write!(text, "L"),
            Self::LastWeekday => write!(text, "LW"),
            Self::Nearest(day) => write!(text, "{day}W"),
        };
        written.expect("a String takes everything");
    }
}

impl Expression {
    /// The six parts in numbers.
    pub(super) fn numbers(&self) -> String {
        let mut text = String::new();
        for part in Part::ALL {
            if part != Part::Second {
                text.push(' ');
            }
            if self.both && part == Part::DayOfWeek {
                text.push('+');
            }
            for (nth, item) in self.parts[part as usize].iter().enumerate() {
                if nth > 0 {
                    text.push(',');
                }
                item.write(part, &mut text);
            }
        }
        text
    }

    /// Whether an item of this part goes on through all of it.
    pub(super) fn goes_on(&self, part: Part) -> bool {
        self.parts[part as usize].iter().any(|item| item.goes_on())
    }
}

impl Part {
    /// The lowest value.
    pub(super) fn first(self) -> u8 {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::Month => 1,
        }
    }

    /// The highest value; 6 of weekdays, of which 7 is another 0.
    pub(super) fn last(self) -> u8 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 6,
        }
    }
}
