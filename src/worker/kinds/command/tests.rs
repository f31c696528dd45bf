//! Real processes, small ones: what they are given and what is kept of them.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::task::{Fired, Outcome};
use crate::worker::kinds::Kinds;
use crate::worker::kinds::tests::{SOON, run_of};

mod programs;
mod stopping;

fn options() -> CommandOptions {
    CommandOptions {
        grace: SOON,
        ..CommandOptions::new(Allow::Any)
    }
}

fn kinds(options: CommandOptions) -> Kinds {
    Kinds::builder().command(options).build().unwrap()
}

async fn run(payload: Value) -> Ended {
    kinds(options()).run(run_of(NAME, &payload)).await
}

async fn shell(script: &str) -> Ended {
    run(json!({"argv": ["sh", "-c", script]})).await
}

fn output(ended: &Ended) -> &Output {
    ended.output.as_ref().unwrap()
}

#[tokio::test]
async fn a_command_succeeds_by_its_exit_status() {
    let zero = shell("echo out; echo err >&2").await;
    let three = shell("exit 3").await;
    let killed = shell("kill -9 $$").await;

    assert_eq!(
        (zero.outcome, zero.error.as_deref()),
        (Outcome::Succeeded, None)
    );
    assert_eq!(output(&zero).stdout, "out\n");
    assert_eq!(output(&zero).stderr, "err\n");
    assert_eq!(output(&zero).code, Some(0));
    assert_eq!(
        (three.outcome, three.error.as_deref()),
        (Outcome::Failed, Some("exit status 3"))
    );
    assert_eq!(output(&three).code, Some(3));
    assert_eq!(killed.error.as_deref(), Some("killed by signal 9"));
    assert_eq!(output(&killed).code, None);
}

#[tokio::test]
async fn arguments_are_passed_as_they_are_and_no_shell_reads_them() {
    let ended = run(json!({"argv": ["printf", "[%s]", "a b", "$HOME", "; exit 7", "*"]})).await;

    assert_eq!(output(&ended).stdout, "[a b][$HOME][; exit 7][*]");
}

#[tokio::test]
async fn the_environment_is_what_is_declared_and_the_run_s_identity() {
    let ended = run(json!({"argv": ["env"], "env": {"GREETING": "hello"}})).await;

    let mut seen: Vec<&str> = output(&ended).stdout.lines().collect();
    seen.sort_unstable();
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    let mut expected = [
        "GREETING=hello",
        "TENURE_ATTEMPT=2",
        "TENURE_FENCE=4711",
        "TENURE_QUEUE=mail",
        "TENURE_TASK_ID=01920000-0000-7000-8000-000000000001",
        &path,
    ];
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_a_schedule_made_is_told_of_it_and_of_its_due_time() {
    let fired = Fired {
        schedule: "nightly".parse().unwrap(),
        due_ms: 1_700_000_000_000,
    };
    let run = Run {
        fired: Some(fired),
        ..run_of(NAME, &json!({"argv": ["env"]}))
    };

    let ended = kinds(options()).run(run).await;

    let seen = &output(&ended).stdout;
    assert!(seen.contains("TENURE_SCHEDULE=nightly\n"), "{seen}");
    assert!(
        seen.contains("TENURE_DUE_AT=2023-11-14T22:13:20.000Z\n"),
        "{seen}"
    );
}

#[tokio::test]
async fn the_working_directory_is_the_root_unless_given() {
    let directory = TempDir::new().unwrap();
    let real = directory.path().canonicalize().unwrap();

    let given = run(json!({"argv": ["pwd"], "cwd": real})).await;
    let not_given = run(json!({"argv": ["pwd"]})).await;
    let missing = run(json!({"argv": ["pwd"], "cwd": real.join("missing")})).await;

    assert_eq!(output(&given).stdout.trim_end(), real.to_str().unwrap());
    assert_eq!(output(&not_given).stdout, "/\n");
    assert_eq!(missing.outcome, Outcome::Failed);
    assert!(missing.error.unwrap().starts_with("cannot start /"));
}

#[tokio::test]
async fn standard_input_is_fed_to_the_end_or_is_empty() {
    let large = "line\n".repeat(100_000);

    let counted = run(json!({"argv": ["wc", "-c"], "stdin": large})).await;
    let unread = run(json!({"argv": ["true"], "stdin": large})).await;
    let empty = run(json!({"argv": ["wc", "-c"]})).await;

    assert_eq!(output(&counted).stdout.trim(), "500000");
    assert_eq!(unread.outcome, Outcome::Succeeded);
    assert_eq!(output(&empty).stdout.trim(), "0");
}

#[tokio::test]
async fn a_flood_of_output_neither_blocks_nor_is_kept() {
    let ended = shell("head -c 300000000 /dev/zero | tr '\\0' x; echo end; echo err >&2").await;

    let output = output(&ended);
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert_eq!(output.stdout.len(), TAIL_BYTES);
    assert!(output.stdout.ends_with("xxxend\n"));
    assert_eq!(output.stderr, "err\n");
    assert!(output.truncated);
}
