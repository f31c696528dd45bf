//! The door itself, the kinds that are small, and handlers.

use crate::task::Outcome;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::run::Stop;
use super::*;

/// Longer than anything here takes, for what is awaited as an event.
pub(super) const SOON: Duration = Duration::from_secs(10);

pub(super) fn raw(payload: &Value) -> Box<RawValue> {
    to_raw_value(payload).unwrap()
}

pub(super) fn run_of(kind: &str, payload: &Value) -> Run {
    Run {
        task_id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
        attempt: 2,
        fence: 4711,
        queue: "mail".into(),
        kind: kind.into(),
        fired: None,
        payload: Arc::from(raw(payload)),
        timeout: None,
        cancel: CancellationToken::new(),
        leash: crate::guard::Leash::none(),
    }
}

fn plain() -> Kinds {
    Kinds::builder().build().unwrap()
}

#[test]
fn a_node_publishes_what_it_enabled_sorted() {
    let bare = plain();
    let full = Kinds::builder()
        .command(CommandOptions::new(Allow::Any))
        .http(HttpOptions::default())
        .handler_fn("email", |_| async { Ok(()) })
        .build()
        .unwrap();

    let names = |kinds: &Kinds| kinds.names().map(Name::to_string).collect::<Vec<_>>();
    assert_eq!(names(&bare), ["fail", "noop", "sleep"]);
    assert_eq!(
        names(&full),
        ["command", "email", "fail", "http", "noop", "sleep"]
    );
}

#[test]
fn a_handler_takes_no_name_that_is_taken() {
    let nothing = |_| async { Ok(()) };

    let built_in = Kinds::builder().handler_fn("command", nothing).build();
    let twice = Kinds::builder()
        .handler_fn("a", nothing)
        .handler_fn("a", nothing)
        .build();

    assert!(matches!(built_in, Err(BuildError::BuiltIn(name)) if name == "command"));
    assert!(matches!(twice, Err(BuildError::Twice(name)) if name == "a"));
}

#[test]
fn a_handler_whose_name_no_key_could_hold_is_refused() {
    for bad in ["", "a/b", ".a", "ä", &"a".repeat(65)] {
        let built = Kinds::builder()
            .handler_fn(bad, |_| async { Ok(()) })
            .build();

        assert!(
            matches!(built, Err(BuildError::Name(_))),
            "{bad:?} was taken"
        );
    }
}

#[test]
fn a_payload_is_checked_for_built_in_kinds_and_passes_for_others() {
    let table = [
        ("noop", json!([1, 2]), None),
        ("of-another-node", json!({"any": "thing"}), None),
        ("sleep", json!({"ms": 86_400_000}), None),
        (
            "sleep",
            json!({"ms": 86_400_001}),
            Some(("payload.ms", "0 to 86400000")),
        ),
        ("sleep", json!({"ms": -1}), Some(("payload.ms", "u64"))),
        (
            "sleep",
            json!({}),
            Some(("payload.ms", "a value, it is required")),
        ),
        (
            "sleep",
            json!({"ms": 1, "s": 2}),
            Some(("payload.s", "`ms`")),
        ),
        ("fail", json!({"message": "m", "until_attempt": 3}), None),
        (
            "fail",
            json!({"message": 1}),
            Some(("payload.message", "a string")),
        ),
        (
            "fail",
            json!({"message": "m", "until_attempt": 0}),
            Some(("payload.until_attempt", "an attempt, counted from 1")),
        ),
        ("command", json!({"argv": ["true"]}), None),
        ("http", json!({"url": "https://example.org/"}), None),
    ];

    for (kind, payload, expected) in table {
        let checked = Kinds::check(kind, &raw(&payload));
        let found = checked
            .as_ref()
            .map_err(|error| (&*error.field, &*error.bound))
            .err();
        assert_eq!(found, expected, "{kind} {payload}");
    }
}

#[test]
fn only_what_needs_no_waiting_runs_now() {
    let kinds = Kinds::builder()
        .handler_fn("email", |_| async { Ok(()) })
        .build()
        .unwrap();

    assert_eq!(
        kinds.run_now(&run_of("noop", &json!(null))),
        Some(Ended::succeeded())
    );
    assert_eq!(
        kinds.run_now(&run_of("fail", &json!({"message": "no"}))),
        Some(Ended::failed("no"))
    );
    assert_eq!(
        kinds.run_now(&run_of("unheard", &json!(1))),
        Some(Ended::failed("this node runs no kind \"unheard\""))
    );
    assert_eq!(kinds.run_now(&run_of("sleep", &json!({"ms": 1}))), None);
    assert_eq!(kinds.run_now(&run_of("email", &json!(1))), None);
}

#[test]
fn fail_succeeds_from_the_attempt_it_names() {
    let until = |attempt| json!({"message": "not yet", "until_attempt": attempt});
    let second_attempt = |payload| plain().run_now(&run_of("fail", &payload)).unwrap();

    assert_eq!(second_attempt(until(3)), Ended::failed("not yet"));
    assert_eq!(second_attempt(until(2)), Ended::succeeded());
    assert_eq!(second_attempt(until(1)), Ended::succeeded());
}

#[tokio::test]
async fn sleep_ends_by_its_time_by_a_timeout_or_by_a_cancel() {
    let kinds = plain();
    let hour = json!({"ms": 3_600_000});
    let started = Instant::now();

    let slept = kinds.run(run_of("sleep", &json!({"ms": 20}))).await;
    let took = started.elapsed();
    let short = Run {
        timeout: Some(Duration::from_millis(5)),
        ..run_of("sleep", &hour)
    };
    let timed_out = timeout(SOON, kinds.run(short)).await.unwrap();
    let run = run_of("sleep", &hour);
    run.cancel.cancel();
    let cancelled = timeout(SOON, kinds.run(run)).await.unwrap();

    assert_eq!(slept.outcome, Outcome::Succeeded);
    assert!(took >= Duration::from_millis(20), "{took:?}");
    assert_eq!(timed_out.outcome, Outcome::Timeout);
    assert_eq!(timed_out.error.as_deref(), Some("timed out after 5ms"));
    assert_eq!(cancelled.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_handler_knows_its_run_and_leaves_a_result() {
    let kinds = Kinds::builder()
        .handler_fn("sum", |context| async move {
            let numbers: Vec<i64> = context.payload()?;
            Ok(json!({
                "sum": numbers.iter().sum::<i64>(),
                "task": context.task_id(),
                "attempt": context.attempt(),
                "fence": context.fence(),
                "queue": context.queue(),
                "kind": context.kind(),
            }))
        })
        .build()
        .unwrap();

    let done = kinds.run(run_of("sum", &json!([1, 2, 39]))).await;
    let wrong = kinds.run(run_of("sum", &json!(["1"]))).await;

    let told = json!({
        "sum": 42, "task": "01920000-0000-7000-8000-000000000001", "attempt": 2, "fence": 4711,
        "queue": "mail", "kind": "sum",
    });
    assert_eq!(
        done,
        Ended {
            result: Some(told),
            ..Ended::succeeded()
        }
    );
    assert_eq!(
        wrong,
        Ended::failed("payload[0]: invalid type: string \"1\", expected i64")
    );
}

#[tokio::test]
async fn a_handler_that_panics_has_failed_with_what_it_said() {
    struct Early;
    impl Handler for Early {
        fn run(&self, _: Context) -> futures::future::BoxFuture<'_, Result<Value, HandlerError>> {
            panic!("before its future")
        }
    }
    let kinds = Kinds::builder()
        .handler("early", Early)
        .handler_fn("late", |context: Context| async move {
            tokio::task::yield_now().await;
            assert_ne!(context.attempt(), 2, "the second attempt");
            Ok(())
        })
        .build()
        .unwrap();

    let early = kinds.run(run_of("early", &json!(null))).await;
    let late = kinds.run(run_of("late", &json!(null))).await;

    assert_eq!(early, Ended::failed("panicked: before its future"));
    assert!(late.error.unwrap().contains("failed: the second attempt"));
}

#[tokio::test]
async fn a_handler_s_error_is_kept_with_its_causes() {
    let kinds = Kinds::builder()
        .handler_fn("parse", |_| async {
            let number: u8 = "x".parse()?;
            Ok(number)
        })
        .handler_fn("refuse", |_| async {
            Err::<(), _>(HandlerError::new("not today"))
        })
        .build()
        .unwrap();

    let parse = kinds.run(run_of("parse", &json!(null))).await;
    let refuse = kinds.run(run_of("refuse", &json!(null))).await;

    assert_eq!(parse, Ended::failed("invalid digit found in string"));
    assert_eq!(refuse, Ended::failed("not today"));
}

#[tokio::test]
async fn a_handler_that_is_told_to_stop_may_end_by_itself() {
    let (told, hears) = oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let kinds = Kinds::builder()
        .handler_grace(Duration::MAX)
        .handler_fn("polite", move |context: Context| {
            let told = told.lock().unwrap().take();
            async move {
                context.cancelled().await;
                told.unwrap().send(context.is_cancelled()).unwrap();
                Ok("too late to count")
            }
        })
        .build()
        .unwrap();
    let short = Some(Duration::from_millis(5));

    let running = kinds.run(Run {
        timeout: short,
        ..run_of("polite", &json!(null))
    });
    let ended = timeout(SOON, running).await.unwrap();

    assert_eq!(
        ended,
        Ended::stopped(Stop::TimedOut(Duration::from_millis(5)))
    );
    assert!(hears.await.unwrap());
}

#[tokio::test]
async fn a_handler_that_does_not_stop_is_dropped_after_its_grace() {
    let (held, let_go) = oneshot::channel::<()>();
    let held = std::sync::Mutex::new(Some(held));
    let grace = Duration::from_millis(20);
    let kinds = Kinds::builder()
        .handler_grace(grace)
        .handler_fn("deaf", move |_| {
            let held = held.lock().unwrap().take();
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok(())
            }
        })
        .build()
        .unwrap();
    let run = run_of("deaf", &json!(null));
    run.cancel.cancel();
    let started = Instant::now();

    let ended = timeout(SOON, kinds.run(run)).await.unwrap();

    assert_eq!(ended.outcome, Outcome::Cancelled);
    assert!(started.elapsed() >= grace);
    assert!(let_go.await.is_err(), "what the handler held was dropped");
}
