//! The kinds of work that a node can do, behind one door: [`Kinds`] names them, checks payloads for
//! them and runs them. Never touches the store or the cluster, and decides nothing about retries.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::task::{Name, NameError};

mod command;
mod fail;
mod handler;
mod http;
mod noop;
mod payload;
mod run;
mod sleep;
mod tail;

#[cfg(test)]
mod tests;

pub use command::{Allow, CommandOptions};
pub use handler::{Context, Handler, HandlerError};
pub use http::{Cidr, CidrError, HttpOptions, Reach};
pub use payload::PayloadError;
pub use run::{ERROR_BYTES_MAX, Ended, Health, RESULT_BYTES_MAX, Run};

pub(crate) use run::cut;

/// 5 seconds: how long a handler that was told to stop may take to do so before it is dropped.
pub const HANDLER_GRACE: Duration = Duration::from_secs(5);

/// The kinds that one node runs. Fixed once built.
pub struct Kinds {
    known: BTreeMap<Name, Kind>,
    handler_grace: Duration,
}

enum Kind {
    Noop,
    Sleep,
    Fail,
    Command(command::Command),
    Http(http::Http),
    Handler(Box<dyn Handler>),
}

/// Why a set of kinds cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A handler's name cannot be the name of a kind: it would not fit a key.
    #[error("handler: {0}")]
    Name(#[from] NameError),
    /// A handler would take the name of a kind that comes with the library, enabled or not.
    #[error("kind \"{0}\" is built in, a handler needs another name")]
    BuiltIn(String),
    /// Two handlers have one name.
    #[error("kind \"{0}\" is registered twice")]
    Twice(String),
    /// An allowed program that cannot be found, or is no file.
    #[error("allowed program {path} cannot be found: {problem}")]
    Program {
        /// As listed.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// An allowed program listed by a path that is relative or goes through a symbolic link.
    #[error("allowed program {path} is not a real path, list {real} instead")]
    NotReal {
        /// As listed.
        path: PathBuf,
        /// Where it leads.
        real: PathBuf,
    },
}

/// Collects the kinds of a node. `noop`, `sleep` and `fail` are always among them.
#[derive(Default)]
pub struct Builder {
    command: Option<CommandOptions>,
    http: Option<HttpOptions>,
    handlers: Vec<(String, Box<dyn Handler>)>,
    handler_grace: Option<Duration>,
}

impl Builder {
    /// Enables `command`.
    #[must_use]
    pub fn command(mut self, options: CommandOptions) -> Self {
        self.command = Some(options);
        self
    }

    /// Enables `http`.
    #[must_use]
    pub fn http(mut self, options: HttpOptions) -> Self {
        self.http = Some(options);
        self
    }

    /// Registers a handler for a kind of your own.
    #[must_use]
    pub fn handler(mut self, name: impl Into<String>, handler: impl Handler) -> Self {
        self.handlers.push((name.into(), Box::new(handler)));
        self
    }

    /// Registers an async closure for a kind of your own.
    ///
    /// ```
    /// use tenure::worker::kinds::Kinds;
    ///
    /// let kinds = Kinds::builder()
    ///     .handler_fn("double", |context| async move {
    ///         let number: i64 = context.payload()?;
    ///         Ok(number * 2)
    ///     })
    ///     .build()?;
    /// let names: Vec<_> = kinds.names().map(|name| name.as_str()).collect();
    /// assert_eq!(names, ["double", "fail", "noop", "sleep"]);
    /// # Ok::<(), tenure::worker::kinds::BuildError>(())
    /// ```
    #[must_use]
    pub fn handler_fn<F, R, T>(self, name: impl Into<String>, work: F) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, HandlerError>> + Send + 'static,
        T: Serialize + 'static,
    {
        self.handler(name, handler::FnHandler(work))
    }

    /// How long a handler that was told to stop may take; [`HANDLER_GRACE`] unless set.
    #[must_use]
    pub fn handler_grace(mut self, grace: Duration) -> Self {
        self.handler_grace = Some(grace);
        self
    }

    /// The kinds, ready to run.
    ///
    /// # Errors
    /// A name is taken or is no name, or a program on the list of allowed ones is not a real path.
    pub fn build(self) -> Result<Kinds, BuildError> {
        let mut known = BTreeMap::from([
            (noop::NAME.parse()?, Kind::Noop),
            (sleep::NAME.parse()?, Kind::Sleep),
            (fail::NAME.parse()?, Kind::Fail),
        ]);
        if let Some(options) = self.command {
            let command = command::Command::new(options)?;
            known.insert(command::NAME.parse()?, Kind::Command(command));
        }
        if let Some(options) = self.http {
            let http = http::Http::new(options);
            known.insert(http::NAME.parse()?, Kind::Http(http));
        }
        for (name, handler) in self.handlers {
            let parsed: Name = name.parse()?;
            if built_in(&name) {
                return Err(BuildError::BuiltIn(name));
            }
            if known.insert(parsed, Kind::Handler(handler)).is_some() {
                return Err(BuildError::Twice(name));
            }
        }
        Ok(Kinds {
            known,
            handler_grace: self.handler_grace.unwrap_or(HANDLER_GRACE),
        })
    }
}

fn built_in(kind: &str) -> bool {
    [
        noop::NAME,
        sleep::NAME,
        fail::NAME,
        command::NAME,
        http::NAME,
    ]
    .contains(&kind)
}

impl Kinds {
    /// Starts a set of kinds.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The kinds that this node publishes, sorted.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.known.keys()
    }

    /// Whether a payload has the shape of its kind, asked before a task is accepted. Kinds that are
    /// built in are checked whether this node runs them or not; of others nothing is known here, so
    /// they pass. What only the node that runs it can say (is this program allowed, is that address
    /// private) is not asked.
    ///
    /// # Errors
    /// The first field found wrong, with what it may be.
    pub fn check(kind: &str, payload: &RawValue) -> Result<(), PayloadError> {
        match kind {
            sleep::NAME => sleep::check(payload),
            fail::NAME => fail::check(payload),
            command::NAME => command::check(payload),
            http::NAME => http::check(payload),
            _ => Ok(()),
        }
    }

    /// The host that a run will ask, with its port; none where it asks none.
    pub fn host(&self, run: &Run) -> Option<String> {
        match self.known.get(&*run.kind) {
            Some(Kind::Http(_)) => http::host(&run.payload),
            Some(Kind::Noop | Kind::Sleep | Kind::Fail | Kind::Command(_) | Kind::Handler(_))
            | None => None,
        }
    }

    /// Runs what needs no waiting, on the spot: `noop`, `fail`, and what is not known here. `None`
    /// for all else, which is for [`Kinds::run`].
    pub fn run_now(&self, run: &Run) -> Option<Ended> {
        match self.known.get(&*run.kind) {
            Some(Kind::Noop) => Some(noop::run()),
            Some(Kind::Fail) => Some(fail::run(run)),
            Some(Kind::Sleep | Kind::Command(_) | Kind::Http(_) | Kind::Handler(_)) => None,
            None => Some(Ended::failed(format_args!(
                "this node runs no kind \"{}\"",
                run.kind
            ))),
        }
    }

    /// Runs anything to its end. Never panics: a handler that does has failed with what it said.
    ///
    /// Dropping the future ends the run at once and without grace: processes are killed as a group,
    /// connections closed, handlers dropped. That is what a node does that may no longer run
    /// anything.
    pub async fn run(&self, run: Run) -> Ended {
        AssertUnwindSafe(self.dispatch(run))
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Ended::failed(format_args!("panicked: {}", said(&*panic))))
    }

    async fn dispatch(&self, run: Run) -> Ended {
        if let Some(ended) = self.run_now(&run) {
            return ended;
        }
        match self.known.get(&*run.kind) {
            Some(Kind::Sleep) => sleep::run(&run).await,
            Some(Kind::Command(command)) => command.run(&run).await,
            Some(Kind::Http(http)) => http.run(&run).await,
            Some(Kind::Handler(handler)) => {
                handler::run(handler.as_ref(), run, self.handler_grace).await
            }
            Some(Kind::Noop | Kind::Fail) | None => unreachable!("these ended on the spot"),
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
