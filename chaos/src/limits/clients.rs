//! Who asks for work to be done, and who outside asks for permits and locks.

use super::scene::{self, Batch, SEMAPHORES};
use crate::calls::{self, Caller};
use crate::http::{Heard, Refusal};
use crate::outside::{Held, Outside, Wanted};
use crate::workload::SplitMix;
use anyhow::{anyhow, bail};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use tenure_chaos::history::{Op, Submit};
use tokio::sync::watch;
use tokio::time::sleep;

/// 60 s to submit a batch, through any failover.
const PATIENCE: Duration = Duration::from_mins(1);
/// 100 ms before a call is made again.
const AGAIN: Duration = Duration::from_millis(100);
/// One batch in ten is sent twice under its key, though it was answered.
const TWICE_OF: usize = 10;
/// A permit that is to be forgotten is asked for 10 times.
const LEFT_TRIES_MAX: usize = 10;
/// 15 s: how long a hold lives without a renewal, longer than a failover.
const TTL_MS: u64 = 15_000;
/// 2 s: the same for who never renews; the shortest there is.
const CARELESS_TTL_MS: u64 = 2_000;

/// Submits batches one after another, each until it is acknowledged.
pub(super) async fn submit(
    mut caller: Caller,
    mut dice: SplitMix,
    batches: Vec<Batch>,
) -> anyhow::Result<()> {
    for (number, batch) in batches.into_iter().enumerate() {
        let key = format!("{}-{number}", caller.name());
        let times = 1 + usize::from(dice.below(TWICE_OF) == 0);
        for _ in 0..times {
            acknowledged(&mut caller, &key, &batch).await?;
        }
        sleep(Duration::from_millis(batch.pause_ms)).await;
    }
    Ok(())
}

async fn acknowledged(caller: &mut Caller, key: &str, batch: &Batch) -> anyhow::Result<()> {
    let body = json!({ "idempotency_key": key, "tasks": batch.tasks });
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let call = caller.invoke(Op::Submit(Submit {
            key: Some(key.to_owned()),
            count: u64::try_from(batch.tasks.len())?,
            queue: batch.queue.to_owned(),
            kind: batch.kind.to_owned(),
            ..Submit::default()
        }));
        match caller
            .ask(Method::POST, "/v1/tasks/batch", Some(&body))
            .await
        {
            Heard::Done(answer) => {
                caller.done(call, calls::accepted(&answer));
                return Ok(());
            }
            Heard::Nothing(why) => caller.unknown(call, why),
            // Room comes again, other refusals are for good.
            Heard::Refused(refused) if refused.refusal() != Refusal::Again => {
                bail!("a batch of {} was refused: {}", batch.queue, refused.why)
            }
            Heard::Refused(refused) => caller.failed(call, refused.why),
        }
        sleep(AGAIN).await;
    }
    bail!(
        "a batch of {} was not acknowledged in {} s",
        batch.queue,
        PATIENCE.as_secs()
    )
}

/// Acquires, renews and releases this and that until told to stop.
pub(super) async fn hold(
    caller: Caller,
    mut dice: SplitMix,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut outside = Outside::new(caller);
    while !*stop.borrow() {
        let wanted = if dice.below(2) == 0 {
            Wanted::lock(&scene::lock(dice.below(usize::MAX)), TTL_MS)
        } else {
            permits(dice.within(1..=2), TTL_MS)
        };
        if let Some(held) = acquired(&mut outside, wanted).await? {
            sleep(Duration::from_millis(dice.within(50..=300))).await;
            outside.renews(&held).await;
            sleep(Duration::from_millis(dice.within(50..=300))).await;
            outside.releases(held).await;
        }
        sleep(Duration::from_millis(dice.within(300..=1_200))).await;
    }
    Ok(())
}

/// Acquires a permit and forgets it.
pub(super) async fn leave(caller: Caller) -> anyhow::Result<()> {
    let mut outside = Outside::new(caller);
    for _ in 0..LEFT_TRIES_MAX {
        let wanted = permits(1, CARELESS_TTL_MS);
        if acquired(&mut outside, wanted).await?.is_some() {
            return Ok(());
        }
    }
    bail!("nobody outside got a permit in {LEFT_TRIES_MAX} tries")
}

fn permits(weight: u64, ttl_ms: u64) -> Wanted {
    Wanted::permits(SEMAPHORES[0].0, weight, ttl_ms)
}

async fn acquired(outside: &mut Outside, wanted: Wanted) -> anyhow::Result<Option<Held>> {
    let acquired = outside.acquires(wanted).await;
    acquired.map_err(|refused| anyhow!("a hold is refused: {}", refused.why))
}
