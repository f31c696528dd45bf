//! The kind of work that runs in the simulation, and its witness: sees every run begin and end, and asks nobody else.

use std::time::Duration;

use serde::Deserialize;
use tenure::worker::kinds::{Builder, Context, HandlerError};
use tenure_chaos::history::{Entry, Run};

use crate::chronicle::Chronicle;

/// How a run goes, by the task's payload.
#[derive(Deserialize)]
struct Payload {
    run_ms: u64,
    /// The attempts before this one's number fail.
    fails: u32,
}

/// The kind `work`, for one process of a node.
pub(crate) fn kinds(
    builder: Builder,
    node: &str,
    incarnation: u64,
    chronicle: &Chronicle,
) -> Builder {
    let (node, chronicle) = (node.to_owned(), chronicle.clone());
    builder.handler_fn("work", move |context| {
        let (node, chronicle) = (node.clone(), chronicle.clone());
        async move { run(&context, node, incarnation, &chronicle).await }
    })
}

async fn run(
    context: &Context,
    node: String,
    incarnation: u64,
    chronicle: &Chronicle,
) -> Result<(), HandlerError> {
    let run = Run {
        task: context.task_id().to_string(),
        attempt: context.attempt(),
        fence: context.fence(),
        node,
        incarnation,
    };
    chronicle.saw(Entry::RunStarted(run.clone()));
    let payload: Payload = context.payload()?;
    let told = tokio::select! {
        biased;
        () = context.cancelled() => true,
        () = tokio::time::sleep(Duration::from_millis(payload.run_ms)) => false,
    };
    let well = !told && context.attempt() > payload.fails;
    chronicle.saw(Entry::RunEnded { run, well });
    if well {
        Ok(())
    } else {
        Err(HandlerError::new("as its payload said"))
    }
}
