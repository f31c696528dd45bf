//! The kind `fail`: fails on purpose, for ever or until a given attempt. It shows retries and dead
//! letters. Never waits.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::payload::{PayloadError, parse};
use super::run::{Ended, Run};

pub(crate) const NAME: &str = "fail";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    /// What the error says.
    message: String,
    /// The first attempt that succeeds, from 1.
    until_attempt: Option<u32>,
}

fn read(payload: &RawValue) -> Result<Payload, PayloadError> {
    let asked: Payload = parse(payload)?;
    if asked.until_attempt == Some(0) {
        return Err(PayloadError::new(
            "until_attempt",
            "0",
            "an attempt, counted from 1",
        ));
    }
    Ok(asked)
}

pub(crate) fn check(payload: &RawValue) -> Result<(), PayloadError> {
    read(payload).map(drop)
}

pub(crate) fn run(run: &Run) -> Ended {
    match read(&run.payload) {
        Err(error) => Ended::failed(error),
        Ok(asked)
            if asked
                .until_attempt
                .is_some_and(|until| run.attempt >= until) =>
        {
            Ended::succeeded()
        }
        Ok(asked) => Ended::failed(asked.message),
    }
}
