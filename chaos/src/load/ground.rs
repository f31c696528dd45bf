//! What is there before the first client and after the last: limits, rules of queues, schedules.

use super::acts::AGAIN;
use super::limits::set;
use super::sorts::filled;
use super::{Ground, check};
use crate::calls::Caller;
use crate::scenario::Schedule;
use crate::workload::SplitMix;
use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// 60 s for each limit to be set, through any failover.
const PATIENCE: Duration = Duration::from_mins(1);

impl Ground<'_> {
    /// Sets limits, rules and schedules.
    ///
    /// # Errors
    /// Names the scenario's field: it is refused, or was not acknowledged in a minute.
    pub(crate) async fn lay_out(&self) -> anyhow::Result<()> {
        check(self.work, self.means)?;
        let client = Arc::new((self.maker)(0)?);
        let name = format!("{}-lays-out", self.name);
        let mut caller = Caller::new(name, &client, self.chronicle);
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
            let ruled = client.until_done(Method::PUT, &path, Some(&body));
            ruled.await.context(field)?;
        }
        for (nth, one) in self.work.schedule.iter().enumerate() {
            let body = plain(&one.schedule);
            for name in names(one) {
                let path = format!("/v1/schedules/{name}");
                let declared = client.until_done(Method::PUT, &path, Some(&body));
                let field = || format!("work.schedule[{nth}].schedule");
                declared.await.with_context(field)?;
            }
        }
        Ok(())
    }

    /// Takes the schedules away. Limits and rules stay: work that is left needs them.
    ///
    /// # Errors
    /// Names the scenario's field that was not acknowledged in a minute.
    pub(crate) async fn clear_away(&self) -> anyhow::Result<()> {
        let client = (self.maker)(0)?;
        for (nth, one) in self.work.schedule.iter().enumerate() {
            for name in names(one) {
                let path = format!("/v1/schedules/{name}");
                let deleted = client.until_done(Method::DELETE, &path, None);
                let field = || format!("work.schedule[{nth}].name");
                deleted.await.with_context(field)?;
            }
        }
        Ok(())
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
