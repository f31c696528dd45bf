//! One part of an expression, read character by character, so that a fault has a place.

use super::expression::Item;
use super::{Part, TimingError, spread};

/// `H` takes days of the month up to 28, which every month has.
const DAY_OF_EVERY_MONTH: u8 = 28;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What is left of a part.
pub(super) struct Scan<'a> {
    /// The schedule's, for `H`.
    name: &'a str,
    part: Part,
    /// The place of the first character of the part in the whole text.
    origin: usize,
    /// In upper case.
    chars: Vec<char>,
    at: usize,
}

impl<'a> Scan<'a> {
    /// The part `word`, whose first character is the `origin`th of the text.
    pub(super) fn new(name: &'a str, part: Part, origin: usize, word: &str) -> Self {
        Self {
            name,
            part,
            origin,
            chars: word.chars().map(|c| c.to_ascii_uppercase()).collect(),
            at: 0,
        }
    }

    /// Takes the `+` before a day of week.
    pub(super) fn takes_both(&mut self) -> bool {
        self.part == Part::DayOfWeek && self.takes('+')
    }

    /// The whole list.
    pub(super) fn items(&mut self) -> Result<Vec<Item>, TimingError> {
        let mut items = Vec::new();
        loop {
            items.push(self.item()?);
            if self.at == self.chars.len() {
                break;
            }
            if !self.takes(',') {
                return Err(self.unexpected("a comma between items"));
            }
        }
        if items.len() > 1 && items.contains(&Item::Any) {
            let detail = "`*` and `?` stand alone: they name everything";
            return Err(TimingError::at(self.origin, Some(self.part), detail));
        }
        Ok(items)
    }

    fn item(&mut self) -> Result<Item, TimingError> {
        let days = matches!(self.part, Part::DayOfMonth | Part::DayOfWeek);
        match self.peek() {
            Some('*') => {
                self.at += 1;
                let first = self.part.first();
                Ok(match self.step(first, self.part.last())? {
                    Some(step) => Item::Steps { first, step },
                    None => Item::Any,
                })
            }
            Some('?') if days => {
                self.at += 1;
                Ok(Item::Any)
            }
            Some('H') => self.hashed(),
            Some('L') if self.part == Part::DayOfMonth => {
                self.at += 1;
                Ok(if self.takes('W') {
                    Item::LastWeekday
                } else {
                    Item::LastDay
                })
            }
            Some('L') if self.part == Part::DayOfWeek => {
                Err(self.fault("`L` follows a weekday: `FRIL` is the last Friday of a month"))
            }
            Some('W') if self.part == Part::DayOfMonth => {
                Err(self.fault("`W` follows a day: `15W` is the weekday nearest the 15th"))
            }
            _ => self.named(),
        }
    }

    /// `H`, `H(a-b)`, either with a step.
    fn hashed(&mut self) -> Result<Item, TimingError> {
        self.at += 1;
        let (low, high) = if self.takes('(') {
            let bounds = self.bounds()?;
            if !self.takes(')') {
                return Err(self.unexpected("a parenthesis, as in `H(0-29)`,"));
            }
            bounds
        } else if self.part == Part::DayOfMonth {
            (1, DAY_OF_EVERY_MONTH)
        } else {
            (self.part.first(), self.part.last())
        };
        let (name, part) = (self.name, self.part);
        let pick = |choices: u8| {
            let pick = spread::pick(name, part, u64::from(choices));
            low + u8::try_from(pick).expect("it is less than a number of eight bits")
        };
        let whole = (low, high) == (part.first(), part.last());
        match self.step(low, high)? {
            None => Ok(Item::value(pick(high - low + 1))),
            Some(step) if whole => Ok(Item::Steps {
                first: pick(step),
                step,
            }),
            Some(step) => Ok(Item::Range {
                low: pick(step),
                high,
                step,
            }),
        }
    }

    /// `a-b` in the parentheses of an `H`.
    fn bounds(&mut self) -> Result<(u8, u8), TimingError> {
        let low = self.value()?;
        if !self.takes('-') {
            return Err(self.unexpected("a range, as in `H(0-29)`,"));
        }
        let at = self.at;
        let high = self.value()?;
        if high > self.part.last() || high < low {
            self.at = at;
            let (part, last) = (self.part, self.part.last());
            return Err(self.fault(&format!("`H` of a {part} ends at {low} to {last}")));
        }
        Ok((low, high))
    }

    /// A value or a range, with what may follow one.
    fn named(&mut self) -> Result<Item, TimingError> {
        let begin = self.at;
        let low = self.value()?;
        if self.part == Part::DayOfMonth && self.takes('W') {
            return Ok(Item::Nearest(low));
        }
        let high = if self.takes('-') {
            self.end_of_range(begin, low)?
        } else {
            low
        };
        if self.part == Part::DayOfWeek {
            if self.takes('#') {
                return self.nth(low, high);
            }
            if self.takes('L') {
                return Ok(Item::LastOf { low, high });
            }
        }
        if low == high && self.peek() == Some('/') {
            let last = self.part.last();
            let given: String = self.chars[begin..self.at].iter().collect();
            return Err(self.fault(&format!(
                "a step needs a range: `{given}-{last}/n`, or `*/n`"
            )));
        }
        let step = self.step(low, high)?.unwrap_or(1);
        Ok(Item::Range { low, high, step })
    }

    fn end_of_range(&mut self, begin: usize, low: u8) -> Result<u8, TimingError> {
        let mut high = self.value()?;
        let named = self.chars[self.at - 1].is_ascii_alphabetic();
        if self.part == Part::DayOfWeek && high == 0 && low > 0 && named {
            high = 7;
        }
        if high < low {
            let (first, last) = (self.part.first(), self.part.last());
            self.at = begin;
            return Err(self.fault(&format!(
                "the range runs backwards: {low}-{last},{first}-{high} is meant?"
            )));
        }
        Ok(high)
    }

    /// What follows `#`.
    fn nth(&mut self, low: u8, high: u8) -> Result<Item, TimingError> {
        if self.takes('L') {
            return Ok(Item::LastOf { low, high });
        }
        let at = self.at;
        if let Some(nth @ 1..=5) = self.number() {
            let nth = u8::try_from(nth).expect("it is at most 5");
            return Ok(Item::Nth { low, high, nth });
        }
        self.at = at;
        Err(self.fault("1 to 5, or L, follows `#`: `FRI#2` is the second Friday"))
    }

    /// A step through `low` to `high`, if there is one.
    fn step(&mut self, low: u8, high: u8) -> Result<Option<u8>, TimingError> {
        if !self.takes('/') {
            return Ok(None);
        }
        let at = self.at;
        let most = u32::from(high - low).max(1);
        match self.number() {
            Some(step) if (1..=most).contains(&step) => {
                Ok(Some(u8::try_from(step).expect("it is at most 59")))
            }
            Some(_) => {
                self.at = at;
                let given = self.digits();
                self.at = at;
                let hint = "for a period of its own there is `every`";
                Err(self.fault(&format!("a step of {given} is not in 1 to {most}; {hint}")))
            }
            None => Err(self.unexpected("a number, the step,")),
        }
    }

    /// A value within the part's bounds, as a number or a name.
    fn value(&mut self) -> Result<u8, TimingError> {
        let at = self.at;
        let (first, last) = (self.part.first(), self.part.last());
        if let Some(number) = self.number() {
            // Sunday is 0 and 7.
            let last = if self.part == Part::DayOfWeek {
                7
            } else {
                last
            };
            if (u32::from(first)..=u32::from(last)).contains(&number) {
                return Ok(u8::try_from(number).expect("it is at most 59"));
            }
            self.at = at;
            let given = self.digits();
            self.at = at;
            return Err(self.fault(&format!("{given} is not in {first} to {last}")));
        }
        let names: &[&str] = match self.part {
            Part::Month => &MONTHS,
            Part::DayOfWeek => &WEEKDAYS,
            Part::Second | Part::Minute | Part::Hour | Part::DayOfMonth => &[],
        };
        let given: String = self.chars[at..].iter().take(3).collect();
        let Some(nth) = names.iter().position(|name| *name == given) else {
            return Err(self.unexpected(&self.wanted()));
        };
        self.at += 3;
        Ok(first + u8::try_from(nth).expect("there are at most twelve names"))
    }

    /// What a part may begin with, for those who wrote something else.
    fn wanted(&self) -> String {
        let (first, last) = (self.part.first(), self.part.last());
        match self.part {
            Part::Second | Part::Minute | Part::Hour => format!("{first} to {last}, `*` or `H`"),
            Part::DayOfMonth => format!("{first} to {last}, `*`, `L` or `H`"),
            Part::Month => format!("{first} to {last}, JAN to DEC, `*` or `H`"),
            Part::DayOfWeek => "0 to 7, SUN to SAT, `*` or `H`".to_owned(),
        }
    }

    /// Digits as a number; what is too large for one is the largest.
    fn number(&mut self) -> Option<u32> {
        let digits = self.digits();
        (!digits.is_empty()).then(|| digits.parse().unwrap_or(u32::MAX))
    }

    fn digits(&mut self) -> String {
        let digits = self.chars[self.at..]
            .iter()
            .take_while(|c| c.is_ascii_digit());
        let digits: String = digits.collect();
        self.at += digits.len();
        digits
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn takes(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    /// A fault here.
    fn fault(&self, detail: &str) -> TimingError {
        TimingError::at(self.origin + self.at, Some(self.part), detail)
    }

    /// Something else than what is wanted here, or the end of the part.
    fn unexpected(&self, wanted: &str) -> TimingError {
        self.fault(&match self.peek() {
            Some(c) => format!("`{c}` where {wanted} is expected"),
            None => format!("ends where {wanted} is expected"),
        })
    }
}
