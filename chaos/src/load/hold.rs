//! Those outside who acquire permits and locks, renew them and give them back, or forget to. They believe an answer only where there is one.

use super::acts::AGAIN;
use super::sorts::lowest;
use super::{Ground, Stop};
use crate::calls::Caller;
use crate::http::{Heard, Refusal};
use crate::scenario::{self, Hold};
use crate::workload::SplitMix;
use anyhow::bail;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use tenure_chaos::history::{Answer, Op};
use tokio::time::sleep;

/// 1.5 s that one request waits for its turn: less than what a call may take.
const WAIT_MS: u64 = 1_500;
/// A request is looked at 10 times: longer than nobody leads.
const LOOKS_MAX: usize = 10;
/// A release is sent up to 20 times.
const RELEASES_MAX: usize = 20;
/// 300 to 1,200 ms from the end of a hold to the next request.
const BETWEEN_MS: [u64; 2] = [300, 1_200];
/// A hold is renewed when a third of its time is over, as clients of the product do.
const RENEWED_OF: u64 = 3;

/// One of them.
pub(super) struct Holder {
    caller: Caller,
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
                caller: Caller::new(name, &client, ground.chronicle),
                field: format!("work.hold[{nth}]"),
                hold: hold.clone(),
                dice: dice.split(),
                narrow: lowest(ground.work, semaphore).is_some_and(|limit| hold.weight[1] > limit),
            });
        }
    }
    Ok(holders)
}

/// What somebody outside asks for.
struct Wanted {
    /// As a history names it.
    gate: String,
    /// Where it is asked for.
    path: String,
    /// Permits of a semaphore; none of a lock.
    weight: Option<u64>,
}

/// What somebody outside has.
struct Held {
    path: String,
    gate: String,
    id: String,
    fence: i64,
}

impl Holder {
    /// Until it is told to stop.
    pub(super) async fn goes_on(mut self, mut stop: Stop) -> anyhow::Result<()> {
        while !stop.is_told() {
            let wanted = self.wanted();
            let [from, to] = self.hold.held_ms;
            let held_ms = self.dice.within(from..=to);
            let forgotten = self.dice.below(100) < usize::from(self.hold.forgotten);
            self.caller.comes_home();
            if let Some(held) = self.acquires(wanted).await? {
                self.keeps(&held, held_ms, &mut stop).await;
                if !forgotten {
                    self.releases(held).await;
                }
            }
            let [from, to] = BETWEEN_MS;
            stop.pause(self.dice.within(from..=to)).await;
        }
        Ok(())
    }

    fn wanted(&mut self) -> Wanted {
        let [from, to] = self.hold.weight;
        let weight = self.dice.within(from..=to);
        let of = |pattern: &str, dice: &mut SplitMix| scenario::named(pattern, dice);
        match (&self.hold.semaphore, &self.hold.lock) {
            (Some(pattern), _) => {
                let name = of(pattern, &mut self.dice);
                Wanted {
                    gate: format!("s.{name}"),
                    path: format!("/v1/semaphores/{name}/holds"),
                    weight: Some(weight),
                }
            }
            (None, pattern) => {
                let name = of(pattern.as_deref().unwrap_or_default(), &mut self.dice);
                Wanted {
                    gate: format!("l.{name}"),
                    path: format!("/v1/locks/{name}/holds"),
                    weight: None,
                }
            }
        }
    }

    /// Asks, and waits for its turn; none where it is not to be had, or nobody says whether it is.
    async fn acquires(&mut self, wanted: Wanted) -> anyhow::Result<Option<Held>> {
        let Wanted { gate, path, weight } = wanted;
        let ttl_ms = self.hold.ttl_ms;
        let caller = &mut self.caller;
        let call = caller.invoke(Op::Acquire {
            gate: gate.clone(),
            weight: weight.unwrap_or(1),
            ttl_ms: Some(ttl_ms),
        });
        let mut body = json!({ "holder": caller.name(), "ttl_ms": ttl_ms, "wait_ms": WAIT_MS });
        if let Some(weight) = weight {
            body["weight"] = json!(weight);
        }
        let mut heard = caller.ask(Method::POST, &path, Some(&body)).await;
        let mut id = String::new();
        for _ in 0..LOOKS_MAX {
            match heard {
                Heard::Done(said) => {
                    said["id"].as_str().unwrap_or_default().clone_into(&mut id);
                    if let Some(fence) = said["fence"].as_i64() {
                        caller.done(call, at(Some(fence)));
                        return Ok(Some(Held {
                            path,
                            gate,
                            id,
                            fence,
                        }));
                    }
                }
                Heard::Refused(refused) if id.is_empty() => {
                    caller.failed(call, refused.why.clone());
                    let is_narrow = self.narrow && refused.status == Some(422);
                    if refused.refusal() == Refusal::Ever && !is_narrow {
                        bail!("{} is refused: {}", self.field, refused.why);
                    }
                    return Ok(None);
                }
                Heard::Refused(_) | Heard::Nothing(_) if !id.is_empty() => sleep(AGAIN).await,
                Heard::Refused(_) | Heard::Nothing(_) => break,
            }
            let look = format!("{path}/{id}?wait={WAIT_MS}ms");
            heard = caller.ask(Method::GET, &look, None).await;
        }
        caller.unknown(call, "given up".to_owned());
        if !id.is_empty() {
            let give_up = format!("{path}/{id}");
            let _gone_with_its_lease = caller.ask(Method::DELETE, &give_up, None).await;
        }
        Ok(None)
    }

    /// For so long, renewing it meanwhile. A renewal that is not done is found at the release.
    async fn keeps(&mut self, held: &Held, held_ms: u64, stop: &mut Stop) {
        let renew = format!("{}/{}/renew", held.path, held.id);
        let every_ms = (self.hold.ttl_ms / RENEWED_OF).clamp(1, held_ms.max(2) / 2);
        let mut left_ms = held_ms;
        while left_ms > 0 && !stop.is_told() {
            let step_ms = every_ms.min(left_ms);
            stop.pause(step_ms).await;
            left_ms -= step_ms;
            if left_ms > 0 {
                let _heard = self.caller.ask(Method::POST, &renew, None).await;
            }
        }
    }

    async fn releases(&mut self, held: Held) {
        let caller = &mut self.caller;
        let Held {
            path,
            gate,
            id,
            fence,
        } = held;
        let call = caller.invoke(Op::Release { gate, token: fence });
        let path = format!("{path}/{id}?fence={fence}");
        let mut may_be_done = false;
        for _ in 0..RELEASES_MAX {
            match caller.ask(Method::DELETE, &path, None).await {
                Heard::Done(said) => return caller.done(call, at(said["revision"].as_i64())),
                Heard::Nothing(_) => may_be_done = true,
                Heard::Refused(refused) if refused.refusal() == Refusal::Again => {}
                // It is over: by an answer that was lost,
                Heard::Refused(refused) if may_be_done => {
                    return caller.unknown(call, refused.why);
                }
                // or for its time ran out, or somebody took it.
                Heard::Refused(refused) => return caller.failed(call, refused.why),
            }
            sleep(AGAIN).await;
        }
        caller.unknown(call, "no answer".to_owned());
    }
}

fn at(revision: Option<i64>) -> Answer {
    Answer {
        revision,
        ..Answer::default()
    }
}
