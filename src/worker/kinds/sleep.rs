//! The kind `sleep`: takes up a slot for a given time. Never keeps a thread.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::payload::{PayloadError, parse};
use super::run::{Ended, Run};

pub(crate) const NAME: &str = "sleep";

/// 24 hours in milliseconds: longer waits belong in the start time of a task, which holds no slot.
const MS_MAX: u64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    /// How long, in milliseconds.
    ms: u64,
}

fn read(payload: &RawValue) -> Result<Duration, PayloadError> {
    let Payload { ms } = parse(payload)?;
    if ms > MS_MAX {
        return Err(PayloadError::new(
            "ms",
            ms.to_string(),
            format!("0 to {MS_MAX}"),
        ));
    }
    Ok(Duration::from_millis(ms))
}

pub(crate) fn check(payload: &RawValue) -> Result<(), PayloadError> {
    read(payload).map(drop)
}

pub(crate) async fn run(run: &Run) -> Ended {
    let asked = match read(&run.payload) {
        Ok(asked) => asked,
        Err(error) => return Ended::failed(error),
    };
    tokio::select! {
        biased;
        () = tokio::time::sleep(asked) => Ended::succeeded(),
        stop = run.stopped() => Ended::stopped(stop),
    }
}
