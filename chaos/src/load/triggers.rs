//! Schedules that are fired by hand meanwhile, beside the leader who fires them when they are due: one client for each field that says
//! so, one of its schedules after another. What came of it is in their ledgers.

use super::ground::names;
use super::{Ground, Stop};
use crate::calls::Caller;
use crate::http::{Heard, Refusal};
use crate::scenario::Schedule;
use crate::workload::SplitMix;
use anyhow::bail;
use reqwest::Method;
use std::sync::Arc;

/// One who fires schedules.
pub(super) struct Trigger {
    caller: Caller,
    field: String,
    names: Vec<String>,
    pause_ms: [u64; 2],
    dice: SplitMix,
}

/// All of them.
pub(super) fn all(ground: Ground<'_>, dice: &mut SplitMix) -> anyhow::Result<Vec<Trigger>> {
    let mut all = Vec::new();
    for (nth, one) in ground.work.schedule.iter().enumerate() {
        all.extend(Trigger::of(ground, (nth, one), dice)?);
    }
    Ok(all)
}

impl Trigger {
    /// None where nobody is to.
    fn of(
        ground: Ground<'_>,
        (nth, one): (usize, &Schedule),
        dice: &mut SplitMix,
    ) -> anyhow::Result<Option<Self>> {
        let Some(pause_ms) = one.triggered_ms else {
            return Ok(None);
        };
        let client = Arc::new((ground.maker)(nth)?);
        let name = format!("{}-triggers-{nth}", ground.name);
        Ok(Some(Self {
            caller: Caller::new(name, &client, ground.chronicle),
            field: format!("work.schedule[{nth}].triggered_ms"),
            names: names(one),
            pause_ms,
            dice: dice.split(),
        }))
    }

    /// Until it is told to stop.
    pub(super) async fn goes_on(mut self, mut stop: Stop) -> anyhow::Result<()> {
        let [from, to] = self.pause_ms;
        for name in self.names.iter().cycle() {
            stop.pause(self.dice.within(from..=to)).await;
            if stop.is_told() {
                break;
            }
            self.caller.comes_home();
            let path = format!("/v1/schedules/{name}/trigger");
            let heard = self.caller.ask(Method::POST, &path, None).await;
            // It is not asked again where nobody knows: that would be one more.
            if let Heard::Refused(refused) = heard
                && refused.refusal() == Refusal::Ever
            {
                bail!("{}: {name} is refused: {}", self.field, refused.why);
            }
        }
        Ok(())
    }
}
