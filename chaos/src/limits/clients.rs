//! Who asks for work to be done, and who outside asks for permits and locks. They believe an answer only where there is one.

use super::scene::{self, Batch, SEMAPHORES};
use crate::calls::{self, Caller};
use crate::http::{Heard, Refusal};
use crate::workload::SplitMix;
use anyhow::bail;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use tenure_chaos::history::{Answer, Op, Submit};
use tokio::sync::watch;
use tokio::time::sleep;

/// 60 s to submit a batch, through any failover.
const PATIENCE: Duration = Duration::from_mins(1);
/// 100 ms before a call is made again.
const AGAIN: Duration = Duration::from_millis(100);
/// One batch in ten is sent twice under its key, though it was answered.
const TWICE_OF: usize = 10;
/// A request for a hold is looked at 6 times, 5 s each: longer than nobody leads.
const LOOKS_MAX: usize = 6;
/// A release is sent up to 20 times.
const RELEASES_MAX: usize = 20;
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

/// What somebody outside asks for.
struct Wanted {
    /// As a history names it.
    gate: String,
    /// Where it is asked for.
    path: String,
    weight: u64,
    ttl_ms: u64,
}

/// What somebody outside has.
struct Held {
    path: String,
    gate: String,
    id: String,
    fence: i64,
}

/// Acquires, renews and releases this and that until told to stop.
pub(super) async fn hold(
    mut caller: Caller,
    mut dice: SplitMix,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    while !*stop.borrow() {
        let wanted = if dice.below(2) == 0 {
            lock(&scene::lock(dice.below(usize::MAX)))
        } else {
            permits(dice.within(1..=2), TTL_MS)
        };
        if let Some(held) = acquire(&mut caller, wanted).await {
            sleep(Duration::from_millis(dice.within(50..=300))).await;
            let renew = format!("{}/{}/renew", held.path, held.id);
            let _lost_is_found_at_the_release = caller.ask(Method::POST, &renew, None).await;
            sleep(Duration::from_millis(dice.within(50..=300))).await;
            release(&mut caller, held).await;
        }
        sleep(Duration::from_millis(dice.within(300..=1_200))).await;
    }
    Ok(())
}

/// Acquires a permit and forgets it.
pub(super) async fn leave(mut caller: Caller) -> anyhow::Result<()> {
    for _ in 0..LOOKS_MAX {
        let wanted = permits(1, CARELESS_TTL_MS);
        if acquire(&mut caller, wanted).await.is_some() {
            return Ok(());
        }
    }
    bail!("nobody outside got a permit in {LOOKS_MAX} tries")
}

fn lock(name: &str) -> Wanted {
    Wanted {
        gate: format!("l.{name}"),
        path: format!("/v1/locks/{name}/holds"),
        weight: 1,
        ttl_ms: TTL_MS,
    }
}

fn permits(weight: u64, ttl_ms: u64) -> Wanted {
    let (name, _) = SEMAPHORES[0];
    Wanted {
        gate: format!("s.{name}"),
        path: format!("/v1/semaphores/{name}/holds"),
        weight,
        ttl_ms,
    }
}

/// Asks, and waits for its turn; none where it is not to be had, or nobody says whether it is.
async fn acquire(caller: &mut Caller, wanted: Wanted) -> Option<Held> {
    let Wanted {
        gate,
        path,
        weight,
        ttl_ms,
    } = wanted;
    let call = caller.invoke(Op::Acquire {
        gate: gate.clone(),
        weight,
        ttl_ms: Some(ttl_ms),
    });
    let mut body = json!({ "holder": caller.name(), "ttl_ms": ttl_ms, "wait_ms": 5_000 });
    if gate.starts_with("s.") {
        body["weight"] = json!(weight);
    }
    let mut heard = caller.ask(Method::POST, &path, Some(&body)).await;
    let mut id = String::new();
    for _ in 0..LOOKS_MAX {
        match heard {
            Heard::Done(answer) => {
                answer["id"]
                    .as_str()
                    .unwrap_or_default()
                    .clone_into(&mut id);
                if let Some(fence) = answer["fence"].as_i64() {
                    let revision = Some(fence);
                    caller.done(
                        call,
                        Answer {
                            revision,
                            ..Answer::default()
                        },
                    );
                    return Some(Held {
                        path,
                        gate,
                        id,
                        fence,
                    });
                }
            }
            Heard::Refused(refused) if id.is_empty() => {
                caller.failed(call, refused.why);
                return None;
            }
            Heard::Refused(_) | Heard::Nothing(_) if !id.is_empty() => sleep(AGAIN).await,
            Heard::Refused(_) | Heard::Nothing(_) => break,
        }
        heard = caller
            .ask(Method::GET, &format!("{path}/{id}?wait=5s"), None)
            .await;
    }
    caller.unknown(call, "given up".to_owned());
    if !id.is_empty() {
        let _gone_with_its_lease = caller
            .ask(Method::DELETE, &format!("{path}/{id}"), None)
            .await;
    }
    None
}

async fn release(caller: &mut Caller, held: Held) {
    let Held {
        path,
        gate,
        id,
        fence,
    } = held;
    let call = caller.invoke(Op::Release { gate, token: fence });
    let path = format!("{path}/{id}?fence={fence}");
    for _ in 0..RELEASES_MAX {
        match caller.ask(Method::DELETE, &path, None).await {
            Heard::Done(answer) => {
                let revision = answer["revision"].as_i64();
                return caller.done(
                    call,
                    Answer {
                        revision,
                        ..Answer::default()
                    },
                );
            }
            // It is over, as it was to be: an answer was lost, or its time ran out.
            Heard::Refused(refused) if refused.refusal() != Refusal::Again => {
                return caller.failed(call, refused.why);
            }
            Heard::Refused(_) | Heard::Nothing(_) => sleep(AGAIN).await,
        }
    }
    caller.unknown(call, "no answer".to_owned());
}
