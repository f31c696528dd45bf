//! The setting `slots`: a number, or a range within which a node adapts. How it is read, written and bounded; adapts nothing.

use std::num::NonZero;

use super::Value;
use super::value::{Bounded, Shape};

/// 4 runs at once for each core, where nobody says how many: most work waits for something else most of the time.
const SLOTS_PER_CORE: u32 = 4;

/// How many runs a node does at once: `8`, or `2..32` to adapt between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// At least.
    pub min: u32,
    /// At most; the same where the number is fixed.
    pub max: u32,
}

impl Slots {
    /// Always so many.
    pub const fn fixed(slots: u32) -> Self {
        Self {
            min: slots,
            max: slots,
        }
    }

    /// What a node has whom nobody told: 4 for each core.
    pub fn usual() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        Self::fixed(cores.saturating_mul(SLOTS_PER_CORE))
    }
}

impl Value for Slots {
    const SHAPE: Shape = Shape::One;

    fn parse(words: &[String]) -> Result<Self, String> {
        let word = String::parse(words)?;
        let ends = word.split_once("..").unwrap_or((&word, &word));
        match (ends.0.parse(), ends.1.parse()) {
            (Ok(min), Ok(max)) if min <= max => Ok(Self { min, max }),
            (_, _) => Err(
                "is not a whole number, or two with the smaller one first, such as 2..32"
                    .to_owned(),
            ),
        }
    }

    fn words(&self) -> Vec<String> {
        let Self { min, max } = self;
        vec![if min == max {
            min.to_string()
        } else {
            format!("{min}..{max}")
        }]
    }
}

impl Bounded for Slots {
    fn within(&self, low: &Self, high: &Self) -> bool {
        low.min <= self.min && self.max <= high.max
    }
}
