//! Limits that are changed meanwhile: one client for each semaphore that has several, which sets one after another, and the highest
//! at the end, so that whatever waits can run.

use super::acts::{AGAIN, revision};
use super::{Ground, Stop};
use crate::calls::Caller;
use crate::http::{Heard, Refusal};
use crate::scenario::Semaphore;
use anyhow::bail;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use tenure_chaos::history::Op;
use tokio::time::sleep;

/// The last limit is set in 300 tries, 100 ms apart and each within its own deadline: longer than any failover.
const LAST_TRIES_MAX: usize = 300;

/// One who changes a limit.
pub(super) struct Swing {
    caller: Caller,
    field: String,
    name: String,
    limits: Vec<u64>,
    changed_ms: u64,
}

/// All of them.
pub(super) fn all(ground: Ground<'_>) -> anyhow::Result<Vec<Swing>> {
    let semaphores = ground.work.semaphore.iter().enumerate();
    let changed = semaphores.filter(|(_, one)| one.limits.len() > 1);
    let swing = |(nth, one): (usize, &Semaphore)| {
        let client = Arc::new((ground.maker)(nth)?);
        Ok(Swing {
            caller: Caller::new(
                format!("{}-limits-{nth}", ground.name),
                &client,
                ground.chronicle,
            ),
            field: format!("work.semaphore[{nth}].limits"),
            name: one.name.clone(),
            limits: one.limits.clone(),
            changed_ms: one.changed_ms,
        })
    };
    changed.map(swing).collect()
}

impl Swing {
    /// Until it is told to stop.
    pub(super) async fn goes_on(mut self, mut stop: Stop) -> anyhow::Result<()> {
        let limits = self.limits.clone();
        // The first one was set before.
        for limit in limits.iter().copied().cycle().skip(1) {
            stop.pause(self.changed_ms).await;
            if stop.is_told() {
                break;
            }
            self.caller.comes_home();
            set(&mut self.caller, &self.field, &self.name, limit).await?;
        }
        let highest = limits.into_iter().max().unwrap_or_default();
        for _ in 0..LAST_TRIES_MAX {
            if set(&mut self.caller, &self.field, &self.name, highest).await? {
                return Ok(());
            }
            sleep(AGAIN).await;
        }
        bail!("{}: {highest} could not be set at the end", self.field)
    }
}

/// Sets a limit once, on record; whether that was acknowledged.
pub(super) async fn set(
    caller: &mut Caller,
    field: &str,
    name: &str,
    limit: u64,
) -> anyhow::Result<bool> {
    let call = caller.invoke(Op::Limit {
        name: name.to_owned(),
        limit,
    });
    let (path, body) = (format!("/v1/semaphores/{name}"), json!({ "limit": limit }));
    match caller.ask(Method::PUT, &path, Some(&body)).await {
        Heard::Done(said) => {
            caller.done(call, revision(&said));
            return Ok(true);
        }
        Heard::Nothing(why) => caller.unknown(call, why),
        Heard::Refused(refused) => {
            caller.failed(call, refused.why.clone());
            if refused.refusal() == Refusal::Ever {
                bail!("{field}: {limit} is refused: {}", refused.why);
            }
        }
    }
    Ok(false)
}
