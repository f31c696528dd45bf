//! Notes of real files, and what a guarded resource takes.

use super::*;

fn started(task: &str, parent: u32) -> Note {
    let run = Run {
        task: task.to_owned(),
        attempt: 1,
        fence: 7,
    };
    Note::Started {
        run,
        parent,
        at_us: 1,
    }
}

fn ended(task: &str, exit: u8) -> Note {
    let run = Run {
        task: task.to_owned(),
        attempt: 1,
        fence: 7,
    };
    Note::Ended {
        run,
        exit,
        at_us: 2,
    }
}

#[test]
fn a_resource_refuses_a_fence_lower_than_one_it_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness");
    let mut log = Log::create(&path).unwrap();
    let run = |fence| Run {
        task: "a".to_owned(),
        attempt: 1,
        fence,
    };

    for fence in [99, 99, 100, 99, 101] {
        act(&path, dir.path(), "door", &run(fence)).unwrap();
    }
    log.catch_up().unwrap();

    let done: Vec<bool> = log
        .notes()
        .iter()
        .map(|note| matches!(note, Note::Acted { done: true, .. }))
        .collect();
    assert_eq!(done, [true, true, true, false, true]);
}

#[test]
fn a_process_has_the_parent_that_the_kernel_names() {
    let own = std::process::id();

    assert_eq!(parent_of(own), Some(std::os::unix::process::parent_id()));
    assert_eq!(parent_of(u32::MAX), None);
}

#[test]
fn notes_are_read_back_in_order_across_calls() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness");
    let mut log = Log::create(&path).unwrap();

    append(&path, &started("a", 10)).unwrap();
    log.catch_up().unwrap();
    append(&path, &ended("a", 0)).unwrap();
    append(&path, &started("b", 11)).unwrap();
    log.catch_up().unwrap();

    assert_eq!(
        log.notes(),
        [started("a", 10), ended("a", 0), started("b", 11)]
    );
    assert_eq!(
        (
            log.tasks_done(),
            log.running_under(10),
            log.running_under(11)
        ),
        (1, 0, 1)
    );
}

#[test]
fn half_a_line_waits_for_its_other_half() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness");
    let mut log = Log::create(&path).unwrap();
    let line = format!("{}\n", serde_json::to_string(&started("a", 10)).unwrap());
    let (head, tail) = line.split_at(20);

    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(head.as_bytes()).unwrap();
    log.catch_up().unwrap();
    assert!(log.notes().is_empty());
    file.write_all(tail.as_bytes()).unwrap();
    log.catch_up().unwrap();

    assert_eq!(log.notes(), [started("a", 10)]);
}

#[test]
fn a_line_that_is_no_note_is_an_error_and_not_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness");
    let mut log = Log::create(&path).unwrap();
    std::fs::write(&path, "{\"event\":\"sta{\"event\"\n").unwrap();

    assert!(log.catch_up().is_err());
}

#[test]
fn a_failed_run_is_not_a_task_done() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness");
    let mut log = Log::create(&path).unwrap();

    append(&path, &started("a", 10)).unwrap();
    append(&path, &ended("a", 1)).unwrap();
    log.catch_up().unwrap();

    assert_eq!(log.tasks_done(), 0);
}

#[test]
fn the_end_of_a_log_that_is_half_a_note_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness");
    let mut log = Log::create(&path).unwrap();
    append(&path, &started("a", 7)).unwrap();
    log.ends().unwrap();

    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"event\":\"ended\"").unwrap();

    log.catch_up().unwrap();
    let error = log.ends().unwrap_err().to_string();
    assert_eq!(error, "the last 16 bytes of the witness are half a note");
    assert_eq!(log.notes().len(), 1);
}
