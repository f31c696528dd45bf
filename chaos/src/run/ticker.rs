//! Progress while a chapter runs: a line now and then.

use crate::load::Load;
use crate::progress::say;
use crate::recorder::Seen;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;

/// 15 s from one line to the next.
const EVERY: Duration = Duration::from_secs(15);

/// Tells until it is dropped, or a client of the load ended by itself.
pub(super) async fn ticks(load: &mut Load, seen: &watch::Receiver<Seen>) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        sleep(EVERY).await;
        load.ensure_well()?;
        let (progress, seen) = (load.progress(), seen.borrow().clone());
        say(&format!(
            "{:>7.1} s  … {} tasks acknowledged, {} calls refused, {} unknown; {} tasks open, revision {}",
            began.elapsed().as_secs_f64(),
            progress.acknowledged,
            progress.refused,
            progress.unknown,
            seen.open.max(0),
            seen.revision
        ))?;
    }
}
