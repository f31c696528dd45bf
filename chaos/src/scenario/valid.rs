//! What a scenario may be: each field by its name, and what would be right.

use super::{Scenario, Task, Witness, Work};
use anyhow::bail;
use tenure_chaos::check::Limits;

/// 100 runs of one kind, in percent.
const PERCENT_MAX: u8 = 100;
/// 64 clients: each is a connection and a task of this program.
const CLIENTS_MAX: u16 = 64;
/// 1,000 tasks in a batch: what the API takes.
const BATCH_MAX: u64 = 1_000;

impl Scenario {
    /// Whether it can be run.
    ///
    /// # Errors
    /// Names the field, and what would be right.
    pub(crate) fn validate(&self) -> anyhow::Result<()> {
        within("nodes", u64::from(self.nodes), 1, 9)?;
        within("slots", u64::from(self.slots), 1, 256)?;
        if ![1, 3, 5].contains(&self.members) {
            bail!("members: {} is not 1, 3 or 5", self.members);
        }
        if self.chapter.millis() < 10_000 {
            bail!("chapter: {} is shorter than 10s", self.chapter);
        }
        within("faults.together", u64::from(self.faults.together), 1, 4)?;
        range("faults.gap_ms", self.faults.gap_ms)?;
        if self.faults.kinds.is_empty() {
            bail!("faults.kinds: it is empty; say names of faults, or \"all\"");
        }
        self.limits_over(&Limits::default())?;
        self.work.validate()
    }
}

impl Work {
    fn validate(&self) -> anyhow::Result<()> {
        within(
            "work.clients",
            u64::from(self.clients),
            0,
            u64::from(CLIENTS_MAX),
        )?;
        range("work.pause_ms", self.pause_ms)?;
        if self.clients > 0 && self.task.iter().all(|task| task.share == 0) {
            bail!("work.task: there is none with a share, and clients have nothing to submit");
        }
        for (nth, task) in self.task.iter().enumerate() {
            task.validate(&format!("work.task[{nth}]"))?;
        }
        for (nth, hold) in self.hold.iter().enumerate() {
            let field = format!("work.hold[{nth}]");
            if hold.lock.is_some() == hold.semaphore.is_some() {
                bail!("{field}: say a lock or a semaphore, and not both");
            }
            range(&format!("{field}.weight"), hold.weight)?;
            range(&format!("{field}.held_ms"), hold.held_ms)?;
            percent(&format!("{field}.forgotten"), hold.forgotten)?;
            percent(&format!("{field}.late"), hold.late)?;
        }
        for (nth, semaphore) in self.semaphore.iter().enumerate() {
            if semaphore.limits.is_empty() {
                bail!("work.semaphore[{nth}].limits: it is empty");
            }
        }
        for (nth, schedule) in self.schedule.iter().enumerate() {
            if let Some(span) = schedule.triggered_ms {
                range(&format!("work.schedule[{nth}].triggered_ms"), span)?;
            }
        }
        Ok(())
    }
}

impl Task {
    fn validate(&self, field: &str) -> anyhow::Result<()> {
        range(&format!("{field}.batch"), self.batch)?;
        within(&format!("{field}.batch"), self.batch[0], 1, BATCH_MAX)?;
        within(&format!("{field}.batch"), self.batch[1], 1, BATCH_MAX)?;
        for (name, span) in [("run_ms", self.run_ms), ("delay_ms", self.delay_ms)] {
            if let Some(span) = span {
                range(&format!("{field}.{name}"), span)?;
            }
        }
        if let Some([from, to]) = self.priority {
            range(&format!("{field}.priority"), [from.into(), to.into()])?;
            within(&format!("{field}.priority"), from.into(), 1, 9)?;
            within(&format!("{field}.priority"), to.into(), 1, 9)?;
        }
        for (name, part) in [
            ("fails", self.fails),
            ("cancelled", self.cancelled),
            ("repeated", self.repeated),
            ("read", self.read),
            ("keyless", self.keyless),
        ] {
            percent(&format!("{field}.{name}"), part)?;
        }
        if self.witness == Witness::None {
            if !self.task.contains_key("kind") {
                bail!("{field}.task.kind: it is missing, and nobody witnesses its runs");
            }
            if self.fails > 0 {
                bail!("{field}.fails: only witnessed runs can be made to fail");
            }
        } else if self.task.contains_key("kind") || self.task.contains_key("payload") {
            bail!("{field}.task: kind and payload of witnessed runs are the witness's");
        }
        Ok(())
    }
}

fn range(field: &str, [from, to]: [u64; 2]) -> anyhow::Result<()> {
    anyhow::ensure!(from <= to, "{field}: it is from {from} to {to}");
    Ok(())
}

fn within(field: &str, value: u64, least: u64, most: u64) -> anyhow::Result<()> {
    anyhow::ensure!(
        (least..=most).contains(&value),
        "{field}: {value} is not between {least} and {most}"
    );
    Ok(())
}

fn percent(field: &str, value: u8) -> anyhow::Result<()> {
    within(field, value.into(), 0, PERCENT_MAX.into())
}
