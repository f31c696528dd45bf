//! What is there before the first client and after the last: limits, rules of queues, schedules.

use super::acts::{AGAIN, Refusal, refusal};
use super::limits::set;
use super::sorts::filled;
use super::{Ground, check};
use crate::calls::Caller;
use crate::http::Heard;
use crate::scenario::Schedule;
use crate::workload::SplitMix;
use anyhow::bail;
use reqwest::Method;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// 60 s for each thing that is set or taken away, through any failover.
const PATIENCE: Duration = Duration::from_mins(1);

impl Ground<'_> {
    /// Sets limits, rules and schedules.
    ///
    /// # Errors
    /// Names the scenario's field: it is refused, or was not acknowledged in a minute.
    pub(crate) async fn lay_out(&self) -> anyhow::Result<()> {
        check(self.work, self.means)?;
        let mut caller = self.caller("lays-out")?;
        for (nth, one) in self.work.semaphore.iter().enumerate() {
            let field = format!("work.semaphore[{nth}].limits");
            let until = Instant::now() + PATIENCE;
            let limit = one.limits.first().copied().unwrap_or_default();
            while !set(&mut caller, &field, &one.name, limit).await? {
                anyhow::ensure!(Instant::now() < until, "{field}: it was not acknowledged");
                sleep(AGAIN).await;
            }
        }
        for (nth, one) in self.work.queue.iter().enumerate() {
            let path = format!("/v1/queues/{}/rules", one.name);
            let body = plain(&one.rules);
            let field = format!("work.queue[{nth}].rules");
            until_done(&caller, &field, Method::PUT, &path, Some(&body)).await?;
        }
        for (nth, one) in self.work.schedule.iter().enumerate() {
            let (field, body) = (
                format!("work.schedule[{nth}].schedule"),
                plain(&one.schedule),
            );
            for name in names(one) {
                let path = format!("/v1/schedules/{name}");
                until_done(&caller, &field, Method::PUT, &path, Some(&body)).await?;
            }
        }
        Ok(())
    }

    /// Takes the schedules away. Limits and rules stay: work that is left needs them.
    ///
    /// # Errors
    /// Names the scenario's field that was not acknowledged in a minute.
    pub(crate) async fn clear_away(&self) -> anyhow::Result<()> {
        let caller = self.caller("clears-away")?;
        for (nth, one) in self.work.schedule.iter().enumerate() {
            let field = format!("work.schedule[{nth}].name");
            for name in names(one) {
                let path = format!("/v1/schedules/{name}");
                until_done(&caller, &field, Method::DELETE, &path, None).await?;
            }
        }
        Ok(())
    }

    fn caller(&self, name: &str) -> anyhow::Result<Caller> {
        let client = Arc::new((self.maker)(0)?);
        let name = format!("{}-{name}", self.name);
        Ok(Caller::new(name, &client, self.chronicle))
    }
}

/// The names of a schedule, or of many alike.
pub(super) fn names(one: &Schedule) -> Vec<String> {
    match one.count {
        0 => Vec::new(),
        1 => vec![one.name.clone()],
        count => (1..=count)
            .map(|number| format!("{}-{number}", one.name))
            .collect(),
    }
}

/// As JSON; braces stay what they are.
fn plain(table: &toml::Table) -> Value {
    serde_json::to_value(table).unwrap_or_else(|_| {
        // A date has no JSON of its own: its text has.
        filled(&toml::Value::Table(table.clone()), &mut SplitMix(0))
    })
}

/// Asks until it is done; it may be repeated. What is not there need not be taken away.
async fn until_done(
    caller: &Caller,
    field: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let why = match caller.ask(method.clone(), path, body).await {
            Heard::Done(_) => return Ok(()),
            Heard::Refused(why) if method == Method::DELETE && why.starts_with("404") => {
                return Ok(());
            }
            Heard::Refused(why) if refusal(&why) == Refusal::Ever => {
                bail!("{field} is refused: {why}");
            }
            Heard::Refused(why) | Heard::Nothing(why) => why,
        };
        let secs = PATIENCE.as_secs();
        anyhow::ensure!(
            Instant::now() < until,
            "{field} was not acknowledged in {secs} s: {why}"
        );
        sleep(AGAIN).await;
    }
}
