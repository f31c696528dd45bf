//! Those outside who acquire permits and locks, renew them and give them back, or forget to.

use super::sorts::lowest;
use super::{Ground, Stop};
use crate::calls::Caller;
use crate::outside::{Held, Outside, Wanted};
use crate::scenario::{self, Hold};
use crate::workload::SplitMix;
use anyhow::bail;
use std::sync::Arc;

/// 300 to 1,200 ms from the end of a hold to the next request.
const BETWEEN_MS: [u64; 2] = [300, 1_200];
/// A hold is renewed when a third of its time is over, as clients of the product do.
const RENEWED_OF: u64 = 3;

/// One of them.
pub(super) struct Holder {
    outside: Outside,
    field: String,
    hold: Hold,
    dice: SplitMix,
    /// A limit is at times lower than what it asks for.
    narrow: bool,
}

/// All of them.
pub(super) fn all(ground: Ground<'_>, dice: &mut SplitMix) -> anyhow::Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for (nth, hold) in ground.work.hold.iter().enumerate() {
        for number in 0..hold.clients {
            let client = Arc::new((ground.maker)(nth + usize::from(number))?);
            let name = format!("{}-holder-{nth}-{number}", ground.name);
            let semaphore = hold.semaphore.as_deref().unwrap_or_default();
            holders.push(Holder {
                outside: Outside::new(Caller::new(name, &client, ground.chronicle)),
                field: format!("work.hold[{nth}]"),
                hold: hold.clone(),
                dice: dice.split(),
                narrow: lowest(ground.work, semaphore).is_some_and(|limit| hold.weight[1] > limit),
            });
        }
    }
    Ok(holders)
}

impl Holder {
    /// Until it is told to stop.
    pub(super) async fn goes_on(mut self, mut stop: Stop) -> anyhow::Result<()> {
        while !stop.is_told() {
            let wanted = self.wanted();
            let [from, to] = self.hold.held_ms;
            let held_ms = self.dice.within(from..=to);
            let [forgotten, late] = [self.hold.forgotten, self.hold.late]
                .map(|part| self.dice.below(100) < usize::from(part));
            self.outside.comes_home();
            if late {
                self.holds_twice(wanted, held_ms, &mut stop).await?;
            } else if let Some(held) = self.acquires(wanted).await? {
                self.keeps(&held, held_ms, &mut stop).await;
                if !forgotten {
                    self.outside.releases(held).await;
                }
            }
            let [from, to] = BETWEEN_MS;
            stop.pause(self.dice.within(from..=to)).await;
        }
        Ok(())
    }

    /// Has it twice under one id, and sends a copy of the first release while it has it again: that may change nothing.
    async fn holds_twice(
        &mut self,
        wanted: Wanted,
        held_ms: u64,
        stop: &mut Stop,
    ) -> anyhow::Result<()> {
        let wanted = wanted.under(id(&mut self.dice));
        let Some(first) = self.acquires(wanted.clone()).await? else {
            return Ok(());
        };
        self.outside.releases(first.clone()).await;
        let Some(second) = self.acquires(wanted).await? else {
            return Ok(());
        };
        self.outside.releases(first).await;
        self.keeps(&second, held_ms, stop).await;
        self.outside.releases(second).await;
        Ok(())
    }

    fn wanted(&mut self) -> Wanted {
        let [from, to] = self.hold.weight;
        let weight = self.dice.within(from..=to);
        let ttl_ms = self.hold.ttl_ms;
        if let Some(pattern) = &self.hold.semaphore {
            let name = scenario::named(pattern, &mut self.dice);
            return Wanted::permits(&name, weight, ttl_ms);
        }
        let pattern = self.hold.lock.as_deref().unwrap_or_default();
        Wanted::lock(&scenario::named(pattern, &mut self.dice), ttl_ms)
    }

    /// Asks for it; none where it is not to be had now.
    async fn acquires(&mut self, wanted: Wanted) -> anyhow::Result<Option<Held>> {
        match self.outside.acquires(wanted).await {
            Ok(held) => Ok(held),
            // The limit is lower than that at times.
            Err(refused) if self.narrow && refused.status == Some(422) => Ok(None),
            Err(refused) => bail!("{} is refused: {}", self.field, refused.why),
        }
    }

    /// For so long, renewing it meanwhile. A renewal that is not done is found at the release.
    async fn keeps(&mut self, held: &Held, held_ms: u64, stop: &mut Stop) {
        let every_ms = (self.hold.ttl_ms / RENEWED_OF).clamp(1, held_ms.max(2) / 2);
        let mut left_ms = held_ms;
        while left_ms > 0 && !stop.is_told() {
            let step_ms = every_ms.min(left_ms);
            stop.pause(step_ms).await;
            left_ms -= step_ms;
            if left_ms > 0 {
                self.outside.renews(held).await;
            }
        }
    }
}

/// A random UUID of version 4 (RFC 9562, section 5.4).
fn id(dice: &mut SplitMix) -> String {
    let mut bits = |count: u32| dice.within(0..=(1 << count) - 1);
    let (first, second, third) = (bits(32), bits(16), bits(12));
    let (fourth, fifth) = (bits(14) | 1 << 15, bits(48));
    format!("{first:08x}-{second:04x}-4{third:03x}-{fourth:04x}-{fifth:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_4_and_differ() {
        let mut dice = SplitMix(1);
        let all: Vec<String> = (0..100).map(|_| id(&mut dice)).collect();
        for one in &all {
            let parts: Vec<&str> = one.split('-').collect();
            let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{one}");
            assert!(
                parts[2].starts_with('4') && "89ab".contains(&parts[3][..1]),
                "{one}"
            );
        }
        assert_ne!(all[0], all[1]);
    }
}
