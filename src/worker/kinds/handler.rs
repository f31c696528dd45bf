//! Work done by the program that embeds this library. A handler is told what it runs as and asked
//! to stop before it is dropped; it is never interrupted between two awaits.

use std::error::Error;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::payload::{PayloadError, parse};
use super::run::{Ended, Run};

/// Does one kind of work.
pub trait Handler: Send + Sync + 'static {
    /// Does it once. What is returned is kept as the result of the attempt, up to
    /// [`RESULT_BYTES_MAX`](super::RESULT_BYTES_MAX).
    ///
    /// # Errors
    /// The attempt failed; the message is kept.
    fn run(&self, context: Context) -> BoxFuture<'_, Result<Value, HandlerError>>;
}

/// What a handler knows of the attempt that it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    run: Arc<Run>,
    stop: CancellationToken,
}

impl Context {
    /// The task: the same for every attempt, so it serves as an idempotency key.
    pub fn task_id(&self) -> Uuid {
        self.run.task_id
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// The fencing token: a resource that remembers the highest it has seen can refuse an attempt
    /// that is stale.
    pub fn fence(&self) -> i64 {
        self.run.fence
    }

    /// The queue that the task came from.
    pub fn queue(&self) -> &str {
        &self.run.queue
    }

    /// The name that the handler was registered under.
    pub fn kind(&self) -> &str {
        &self.run.kind
    }

    /// The schedule that made the task; none where a user did.
    pub fn schedule(&self) -> Option<&str> {
        Some(self.run.fired.as_ref()?.schedule.as_str())
    }

    /// The due time of that schedule that the task is for: the same however late it runs, so it says which report to write.
    pub fn due_at(&self) -> Option<SystemTime> {
        let due_ms = self.run.fired.as_ref()?.due_ms;
        Some(SystemTime::UNIX_EPOCH + Duration::from_millis(due_ms))
    }

    /// The payload, read as `T`.
    ///
    /// # Errors
    /// It has another shape; the error names the field.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        parse(&self.run.payload)
    }

    /// Waits until the attempt has to stop: cancelled, or its time over. The handler is dropped
    /// some seconds later.
    pub async fn cancelled(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the attempt has to stop.
    pub fn is_cancelled(&self) -> bool {
        self.stop.is_cancelled()
    }
}

/// Why a handler failed. Any error turns into one by `?`, its causes included.
///
/// It is not an error type itself, because then it could not be made from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerError(String);

impl HandlerError {
    /// An error that says `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(with_causes(&error))
    }
}

/// The message of an error and of everything that caused it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        // Many errors already say what their cause says.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

/// A closure as a handler.
pub(crate) struct FnHandler<F>(pub(crate) F);

impl<F, R, T> Handler for FnHandler<F>
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, HandlerError>> + Send + 'static,
    T: Serialize,
{
    fn run(&self, context: Context) -> BoxFuture<'_, Result<Value, HandlerError>> {
        let doing = (self.0)(context);
        Box::pin(async move { Ok(serde_json::to_value(doing.await?)?) })
    }
}

/// Runs a handler until it is done; one that has to stop is told, given `grace`, and dropped.
pub(crate) async fn run(handler: &dyn Handler, run: Run, grace: Duration) -> Ended {
    let run = Arc::new(run);
    let context = Context {
        run: Arc::clone(&run),
        stop: CancellationToken::new(),
    };
    let told = context.stop.clone();
    let mut doing = pin!(handler.run(context));
    let stop = tokio::select! {
        biased;
        done = &mut doing => return match done {
            Ok(value) => Ended::succeeded().with_result(value),
            Err(error) => Ended::failed(error),
        },
        stop = run.stopped() => stop,
    };
    told.cancel();
    // Whatever it still returns came too late to be the outcome.
    let _late = tokio::time::timeout(grace, doing).await;
    Ended::stopped(stop)
}
