//! What a node tells its guard: a line for each word, none longer than what a pipe takes whole.

use std::fmt;
use std::str::FromStr;

use super::boot::Boot;

/// A process group, by its number; above 1.
pub(super) type Group = i32;

/// A leash, by a number that is used once in a process.
pub(super) type LeashId = u64;

/// One thing that the guard has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A group is there, on this leash; on 0 it is on none.
    Here(Group, LeashId),
    /// Nothing of a group is left.
    Over(Group),
    /// A leash is good until then.
    Until(LeashId, Boot),
    /// A leash is no more, nor a group on it.
    Off(LeashId),
    /// Whether the guard listens.
    Ping,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(group, leash) => writeln!(f, "here {group} {leash}"),
            Self::Over(group) => writeln!(f, "over {group}"),
            Self::Until(leash, until) => writeln!(f, "until {leash} {}", until.nanos()),
            Self::Off(leash) => writeln!(f, "off {leash}"),
            Self::Ping => writeln!(f, "ping"),
        }
    }
}

impl FromStr for Word {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        fn number<T: FromStr>(word: Option<&str>) -> Result<T, ()> {
            word.ok_or(())?.parse().map_err(drop)
        }
        let mut words = line.split_whitespace();
        match words.next() {
            Some("here") => {
                let group = number(words.next())?;
                // 0 and 1 would mean the guard's own group, and all that it may signal.
                let sound = group > 1;
                let leash = number(words.next())?;
                sound.then_some(Self::Here(group, leash)).ok_or(())
            }
            Some("over") => Ok(Self::Over(number(words.next())?)),
            Some("until") => {
                let leash = number(words.next())?;
                Ok(Self::Until(leash, Boot::at(number(words.next())?)))
            }
            Some("off") => Ok(Self::Off(number(words.next())?)),
            Some("ping") => Ok(Self::Ping),
            Some(_) | None => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_said() {
        for word in [
            Word::Here(4711, 3),
            Word::Here(2, 0),
            Word::Over(4711),
            Word::Until(3, Boot::at(u64::MAX)),
            Word::Off(3),
            Word::Ping,
        ] {
            assert_eq!(word.to_string().parse(), Ok(word));
        }
        for wrong in [
            "",
            "here",
            "here 4711",
            "here 0 3",
            "here 1 3",
            "here -1 3",
            "until 3 x",
            "kill 4711",
        ] {
            assert_eq!(wrong.parse::<Word>(), Err(()), "{wrong}");
        }
    }
}
