//! Tells what only grows from what comes and goes: by the least that was seen in each of some windows, never by a single look. Pure: it
//! is told the time.

use std::collections::VecDeque;
use std::time::Duration;

/// When a count is said to grow only.
///
/// Whatever is taken and given back falls to what is really in use some time in a window; what is not given back does not. So the least
/// of a window is looked at: work, however much, does not move it for long, and a leak moves it up each time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// How long one window is.
    pub window: Duration,
    /// How many windows in a row have to have a higher least than the one before.
    pub windows: usize,
    /// How much higher the last has to be than the one before the first, in all.
    pub least: u64,
    /// The same as a share of what it began at: 10 is a tenth.
    pub least_part: u64,
}

impl Rule {
    /// 5 minutes, six times: half an hour in which it never came back. Long beside what runs and retries here (minutes), short beside
    /// the hours in which a process runs out of files. 32 more at least, and a tenth: as few again are a busier hour.
    pub const FAST: Self = Self {
        window: Duration::from_mins(5),
        windows: 6,
        least: 32,
        least_part: 10,
    };

    /// 1 hour, six times: what leaks a few an hour.
    pub const SLOW: Self = Self {
        window: Duration::from_hours(1),
        ..Self::FAST
    };
}

/// One count, watched.
#[derive(Clone, Debug)]
pub struct Growth {
    rule: Rule,
    /// When the window that is open now began, and the least in it.
    open: Option<(Duration, u64)>,
    /// The least of each window that has closed, oldest first: one more than the rule asks for.
    lows: VecDeque<u64>,
    grows: bool,
}

/// What a look changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It grows only: from the first least to the last, over so long.
    Grows {
        /// The least of the first window.
        from: u64,
        /// That of the last.
        to: u64,
        /// How long that took.
        over: Duration,
    },
    /// It does no longer.
    Ended,
}

impl Growth {
    /// Nothing seen yet.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            open: None,
            lows: VecDeque::with_capacity(rule.windows + 1),
            grows: false,
        }
    }

    /// Whether it grows only.
    pub fn grows(&self) -> bool {
        self.grows
    }

    /// The count is this now, a time since some start. What changes is told once.
    pub fn look(&mut self, now: Duration, count: u64) -> Option<Turned> {
        let Some((began, low)) = self.open else {
            self.open = Some((now, count));
            return None;
        };
        let lasted = now.saturating_sub(began);
        if lasted < self.rule.window {
            self.open = Some((began, low.min(count)));
            return None;
        }
        self.open = Some((now, count));
        if lasted >= self.rule.window * 2 {
            // Nobody looked for a window: what was seen before says nothing of now.
            self.lows.clear();
        } else {
            self.close(low);
        }
        self.turn()
    }

    fn close(&mut self, low: u64) {
        self.lows.push_back(low);
        if self.lows.len() > self.rule.windows + 1 {
            self.lows.pop_front();
        }
    }

    fn turn(&mut self) -> Option<Turned> {
        let told = self.grown();
        let before = std::mem::replace(&mut self.grows, told.is_some());
        match (before, told) {
            (false, Some(turned)) => Some(turned),
            (true, None) => Some(Turned::Ended),
            (true, Some(_)) | (false, None) => None,
        }
    }

    fn grown(&self) -> Option<Turned> {
        let (from, to) = (*self.lows.front()?, *self.lows.back()?);
        let long = self.lows.len() > self.rule.windows;
        let mut rises = self.lows.iter().zip(self.lows.iter().skip(1));
        let least = self.rule.least.max(from / self.rule.least_part.max(1));
        let windows = u32::try_from(self.rule.windows).unwrap_or(u32::MAX);
        let grown = long && rises.all(|(low, next)| next > low) && to - from >= least;
        grown.then_some(Turned::Grows {
            from,
            to,
            over: self.rule.window * windows,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 3 windows of 10 s with 5 looks each, 4 more in all, or a tenth.
    const RULE: Rule = Rule {
        window: Duration::from_secs(10),
        windows: 3,
        least: 4,
        least_part: 10,
    };

    /// What looks each 2 s told, and whether it grows in the end.
    fn looked(counts: impl IntoIterator<Item = u64>) -> (Vec<Turned>, bool) {
        let mut growth = Growth::new(RULE);
        let told = counts.into_iter().enumerate();
        let told =
            told.filter_map(|(nth, count)| growth.look(Duration::from_secs(2 * nth as u64), count));
        let told = told.collect();
        (told, growth.grows())
    }

    /// Five looks for each window: up by `up` and back to this.
    fn windows(lows: &[u64], up: u64) -> Vec<u64> {
        let window = |low: &u64| [*low, low + up, low + 2 * up, low + up, low + up];
        lows.iter().flat_map(window).collect()
    }

    #[test]
    fn what_only_grows_is_told_once_and_once_that_it_ended() {
        const BEGAN: Turned = Turned::Grows {
            from: 10,
            to: 19,
            over: Duration::from_secs(30),
        };
        let cases: &[(&str, &[u64], &[Turned], bool)] = &[
            ("flat", &[10; 9], &[], false),
            ("up and down", &[10, 20, 10, 20, 10, 20, 10], &[], false),
            (
                "up for too short",
                &[10, 13, 16, 16, 19, 22, 22],
                &[],
                false,
            ),
            ("up by too little in all", &[10, 11, 12, 13, 13], &[], false),
            ("up", &[10, 13, 16, 19, 0], &[BEGAN], true),
            (
                "up for longer",
                &[10, 13, 16, 19, 22, 25, 0],
                &[BEGAN],
                true,
            ),
            (
                "up and at rest",
                &[10, 13, 16, 19, 19, 0],
                &[BEGAN, Turned::Ended],
                false,
            ),
            (
                "much, up by too small a part",
                &[1_000, 1_010, 1_020, 1_030, 0],
                &[],
                false,
            ),
        ];
        for (case, lows, told, grows) in cases {
            for up in [0, 100] {
                let (heard, at_last) = looked(windows(lows, up));
                assert_eq!((&heard[..], at_last), (*told, *grows), "{case}, up {up}");
            }
        }
    }

    #[test]
    fn a_pause_in_looking_begins_anew() {
        let mut growth = Growth::new(RULE);
        for (nth, count) in windows(&[10, 13, 16], 0).into_iter().enumerate() {
            growth.look(Duration::from_secs(2 * nth as u64), count);
        }
        for (nth, count) in windows(&[19, 22], 0).into_iter().enumerate() {
            let told = growth.look(Duration::from_secs(3_600 + 2 * nth as u64), count);
            assert_eq!(told, None);
        }
    }

    proptest! {
        /// Whatever comes and goes: if it is back at its floor once in each window, it does not grow.
        #[test]
        fn what_comes_back_to_its_floor_never_grows(
            floor in 0_u64..1_000,
            more in prop::collection::vec(0_u64..100_000, 5..200),
        ) {
            let counts = more.iter().enumerate().map(|(nth, more)| {
                if nth % 5 == 2 { floor } else { floor + more }
            });
            let (told, grows) = looked(counts);
            prop_assert!(told.is_empty() && !grows);
        }

        /// Whatever comes and goes above it: a leak of a part in each window is found.
        #[test]
        fn a_leak_under_any_load_is_found(
            base in 0_u64..1_000,
            noise in prop::collection::vec(0_u64..50, 60),
        ) {
            // 20 to a look is 100 to a window: more than the noise, and more than a tenth in all.
            let counts = noise.iter().enumerate().map(|(nth, noise)| base + 20 * nth as u64 + noise);
            let (told, grows) = looked(counts);
            prop_assert_eq!(told.len(), 1);
            prop_assert!(grows);
        }

        /// Begins and ends take turns.
        #[test]
        fn it_begins_before_it_ends(counts in prop::collection::vec(0_u64..40, 0..300)) {
            let (told, grows) = looked(counts);
            let begins = |turned: &Turned| matches!(turned, Turned::Grows { .. });
            let mut turns = told.iter().enumerate();
            prop_assert!(turns.all(|(nth, turned)| begins(turned) == (nth % 2 == 0)));
            prop_assert_eq!(grows, told.len() % 2 == 1);
        }
    }
}
