//! A good history is accepted; then each claim is broken once and must be named.

use super::*;
use crate::http::Output;

const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct History {
    asked: Vec<Asked>,
    notes: Vec<Note>,
    tasks: BTreeMap<String, Task>,
}

impl History {
    fn judge(&self) -> Vec<Violation> {
        judge(&self.asked, &self.notes, &self.tasks).violations
    }

    fn task(&mut self, id: &str) -> &mut Task {
        self.tasks.get_mut(id).unwrap()
    }
}

fn run(task: &str, attempt: u32, fence: i64) -> Run {
    Run {
        task: task.to_owned(),
        attempt,
        fence,
    }
}

fn started(task: &str, attempt: u32, fence: i64) -> Note {
    Note::Started {
        run: run(task, attempt, fence),
        parent: 1,
        at_us: 0,
    }
}

fn ended(task: &str, attempt: u32, fence: i64) -> Note {
    Note::Ended {
        run: run(task, attempt, fence),
        exit: 0,
        at_us: 0,
    }
}

fn attempt(number: u32, fence: i64, outcome: &str) -> Attempt {
    let stdout = if outcome == "succeeded" {
        format!("{SUM}  /usr/f\n")
    } else {
        String::new()
    };
    Attempt {
        number,
        fence,
        node: Some("n1".to_owned()),
        outcome: Some(outcome.to_owned()),
        output: Some(Output { stdout }),
    }
}

/// Task `a` ran once; task `b` was lost with its node while it ran and ran again.
fn good() -> History {
    let asked = |id: &str| Asked {
        id: id.to_owned(),
        path: "/usr/f".to_owned(),
        sum: SUM.to_owned(),
    };
    let task = |id: &str, attempts| Task {
        id: id.to_owned(),
        state: "succeeded".to_owned(),
        attempts,
    };
    let a = task("a", vec![attempt(1, 5, "succeeded")]);
    let b = task("b", vec![attempt(1, 5, "lost"), attempt(2, 9, "succeeded")]);
    History {
        asked: vec![asked("a"), asked("b")],
        notes: vec![
            started("a", 1, 5),
            ended("a", 1, 5),
            started("b", 1, 5),
            started("b", 2, 9),
            ended("b", 2, 9),
        ],
        tasks: BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]),
    }
}

#[test]
fn a_good_history_is_accepted_and_its_repeats_are_counted() {
    let History {
        asked,
        notes,
        tasks,
    } = good();

    let verdict = judge(&asked, &notes, &tasks);

    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.starts, verdict.repeats), (3, 1));
    assert_eq!(verdict.reclaimed, ["b"]);
}

#[test]
fn a_run_that_was_slow_to_write_its_start_is_accepted() {
    let mut history = good();
    history.notes.swap(2, 3);

    assert_eq!(history.judge(), []);
}

#[test]
fn an_attempt_lost_before_it_started_is_accepted() {
    let mut history = good();
    history.notes.remove(2);

    assert_eq!(history.judge(), []);
}

#[test]
fn a_lost_task_is_named() {
    let mut history = good();
    history.tasks.remove("a");

    assert_eq!(history.judge(), [Violation::Lost { id: "a".into() }]);
}

#[test]
fn a_task_that_did_not_succeed_is_named() {
    let mut history = good();
    history.task("a").state = "dead".to_owned();

    assert_eq!(
        history.judge(),
        [Violation::NotSucceeded {
            id: "a".into(),
            state: "dead".into()
        }]
    );
}

#[test]
fn two_committed_outcomes_are_named() {
    let mut history = good();
    history.task("b").attempts[0] = attempt(1, 5, "succeeded");

    assert_eq!(
        history.judge(),
        [Violation::Commits {
            id: "b".into(),
            number: 2
        }]
    );
}

#[test]
fn a_success_without_a_committed_attempt_is_named() {
    let mut history = good();
    history.task("a").attempts.clear();

    assert_eq!(
        history.judge(),
        [Violation::Commits {
            id: "a".into(),
            number: 0
        }]
    );
}

#[test]
fn a_wrong_sum_is_named() {
    let mut history = good();
    history.task("a").attempts[0].output = Some(Output {
        stdout: "beef  /usr/f\n".to_owned(),
    });

    let wrong = Violation::WrongSum {
        id: "a".into(),
        kept: "beef".into(),
        sum: SUM.into(),
    };
    assert_eq!(history.judge(), [wrong]);
}

#[test]
fn an_output_that_was_not_kept_is_named() {
    let mut history = good();
    history.task("a").attempts[0].output = None;

    let wrong = Violation::WrongSum {
        id: "a".into(),
        kept: String::new(),
        sum: SUM.into(),
    };
    assert_eq!(history.judge(), [wrong]);
}

#[test]
fn a_commit_that_nobody_saw_run_is_named() {
    let mut history = good();
    history.notes.drain(0..2);

    assert_eq!(
        history.judge(),
        [Violation::CommitWithoutRun {
            id: "a".into(),
            attempt: 1
        }]
    );
}

#[test]
fn a_commit_of_a_run_that_failed_is_named() {
    let mut history = good();
    history.notes[1] = Note::Ended {
        run: run("a", 1, 5),
        exit: 1,
        at_us: 0,
    };

    assert_eq!(
        history.judge(),
        [Violation::CommitWithoutRun {
            id: "a".into(),
            attempt: 1
        }]
    );
}

#[test]
fn a_late_finish_that_was_let_in_is_named() {
    let mut history = good();
    history.task("b").attempts = vec![attempt(1, 5, "succeeded")];
    history.notes.push(ended("b", 1, 5));

    assert_eq!(
        history.judge(),
        [Violation::RanAfterCommit {
            id: "b".into(),
            fence: 9
        }]
    );
}

#[test]
fn a_run_that_was_never_asked_for_is_named() {
    let mut history = good();
    history.notes.push(started("ghost", 1, 30));

    assert_eq!(
        history.judge(),
        [Violation::NeverAsked { id: "ghost".into() }]
    );
}

#[test]
fn one_claim_run_twice_is_named() {
    let mut history = good();
    history.notes.push(started("a", 1, 5));

    assert_eq!(
        history.judge(),
        [Violation::FenceRanTwice {
            id: "a".into(),
            fence: 5
        }]
    );
}

#[test]
fn a_fence_that_went_back_is_named() {
    let mut history = good();
    history.notes[2] = started("b", 1, 12);

    let back = Violation::FenceWentBack {
        id: "b".into(),
        attempt: 2,
        fence: 9,
    };
    assert!(history.judge().contains(&back));
}

#[test]
fn an_id_given_to_two_files_is_named() {
    let mut history = good();
    history.asked[1].id = "a".to_owned();

    assert!(
        history
            .judge()
            .contains(&Violation::IdGivenTwice { id: "a".into() })
    );
}

#[test]
fn a_run_without_a_reclaimed_task_or_with_a_kill_missing_proves_nothing() {
    let verdict = |reclaimed: &[&str], violations| Verdict {
        violations,
        reclaimed: reclaimed.iter().map(ToString::to_string).collect(),
        ..Verdict::default()
    };
    let broken = || vec![Violation::Lost { id: "a".into() }];

    assert_eq!(verdict(&["b"], vec![]).ending(2, 2), Ending::Pass);
    assert_eq!(verdict(&["b"], vec![]).ending(2, 1), Ending::NotExercised);
    assert_eq!(verdict(&[], vec![]).ending(2, 2), Ending::NotExercised);
    assert_eq!(verdict(&[], broken()).ending(2, 0), Ending::Violated);
}
