use std::path::Path;

use super::*;
use crate::cli::Output;

fn declared(toml: &str) -> Declared {
    Declared::of(Path::new("a.toml"), toml).unwrap_or_else(|wrong| panic!("{}", wrong.message))
}

fn faults(name: &str, text: &str) -> String {
    Declared::of(Path::new(name), text).unwrap_err().message
}

fn id(sort: Sort, name: &str) -> Id {
    let name = name.to_owned();
    Id { sort, name }
}

/// What a cluster has that is as this file says, all at version 7.
fn stored(toml: &str) -> BTreeMap<Id, Stored> {
    let fields = declared(toml).fields.into_iter();
    let seen = fields.map(|(id, fields)| {
        let fields = Some(fields);
        (id, Stored { fields, version: 7 })
    });
    seen.collect()
}

const FILE: &str = r#"
[semaphores.db]
limit = 3

[queues.mail]
weight = 2
rate = { tasks = 50 }

[schedules.nightly]
cron = "30 2 * * *"
timezone = "Europe/Berlin"
start = 2030-01-01T00:00:00Z

[schedules.nightly.task]
kind = "command"
payload = { argv = ["make-report"] }
"#;

#[test]
fn a_change_is_made_of_what_is_declared_and_what_is_there() {
    let same = FILE.to_owned();
    let told = |wanted: &str, there: &str, prune: &[Sort]| {
        let (wanted, there) = (declared(wanted), stored(there));
        let prune = prune.iter().copied().collect();
        let changes = compare(&wanted.fields, &there, &prune);
        let changes = changes.iter().filter(|change| change.what != What::Same);
        let word = |change: &Change<'_>| {
            let what = match &change.what {
                What::Create => "+".to_owned(),
                What::Prune => "-".to_owned(),
                What::Same => String::new(),
                What::Edit(fields) => {
                    let names: Vec<&str> = fields.iter().map(|(name, ..)| *name).collect();
                    format!("~{}", names.join(","))
                }
            };
            assert_eq!(
                change.version,
                if change.what == What::Create { 0 } else { 7 }
            );
            format!("{what} {}", change.id.name)
        };
        changes.map(word).collect::<Vec<_>>()
    };
    let with = |from: &str, to: &str| FILE.replace(from, to);
    let queues = &[Sort::Queue][..];
    let table = [
        (same.clone(), FILE, &Sort::ALL[..], &[][..]),
        (same.clone(), "", &[], &["+ db", "+ mail", "+ nightly"]),
        (String::new(), FILE, &[], &[]),
        (String::new(), FILE, queues, &["- mail"]),
        (
            String::new(),
            FILE,
            &Sort::ALL,
            &["- nightly", "- mail", "- db"],
        ),
        (with("limit = 3", "limit = 4"), FILE, &[], &["~limit db"]),
        (with("weight = 2\n", ""), FILE, &[], &["~weight mail"]),
        (
            with("rate = { tasks = 50 }", "rate = { tasks = 50, burst = 60 }"),
            FILE,
            &[],
            &["~rate mail"],
        ),
        (
            with("rate = { tasks = 50 }", "rate = { tasks = 50, burst = 50 }"),
            FILE,
            &[],
            &[],
        ),
        (
            with(
                "kind = \"command\"",
                "kind = \"command\"\npriority = 7\nlabels = { a = \"b\" }",
            ),
            FILE,
            &[],
            &["~task.labels,task.priority nightly"],
        ),
        (
            with("make-report", "make"),
            FILE,
            &[],
            &["~task.payload nightly"],
        ),
        (with("mail", "post"), FILE, queues, &["+ post", "- mail"]),
        ("[queues.mail]".to_owned(), "", &[], &[]),
    ];
    for (wanted, there, prune, changes) in table {
        assert_eq!(told(&wanted, there, prune), changes, "{wanted}");
    }
}

#[test]
fn what_is_said_and_what_goes_without_saying_are_the_same() {
    let schedule = |lines: &str| {
        let file = format!("[schedules.a]\n{lines}\n[schedules.a.task]\nkind = \"noop\"");
        declared(&file).fields
    };
    for (one, other) in [
        ("cron = '@daily'", "cron = '@daily'\ntimezone = 'UTC'"),
        ("cron = '@every 90s'", "cron = '@every 90s'\njitter_ms = 0"),
        (
            "every_ms = 1000",
            "every_ms = 1000\njitter_ms = 0\noverlap = 'skip'\ncatch_up_ms = 3600000",
        ),
        (
            "every_ms = 1000\nmisfire = 'fire_all'",
            "every_ms = 1000\nmisfire = 'fire_all'\nmisfire_max = 10",
        ),
        (
            "at = 2030-01-01T01:00:00+01:00",
            "at = '2030-01-01T00:00:00.000Z'",
        ),
    ] {
        assert_eq!(schedule(one), schedule(other), "{other}");
    }
    assert_ne!(schedule("every_ms = 1000"), schedule("every_ms = 1001"));
    let period = schedule("cron = '@every 90s'");
    let nested = period[&id(Sort::Schedule, "a")].nested();
    assert!(!nested.contains_key("timezone"), "{nested:?}");
}

#[test]
fn a_payload_is_compared_by_what_it_means_and_by_every_digit() {
    let file = |payload: &str| {
        let text = format!(
            r#"{{"schedules": {{"a": {{"every_ms": 1000, "task": {{"kind": "x", "payload": {payload}}}}}}}}}"#
        );
        Declared::of(Path::new("a.json"), &text).unwrap().fields
    };
    let big = |last: u8| format!(r#"{{"n": 12345678901234567890123{last}, "a": 1}}"#);
    assert_eq!(
        file(&big(1)),
        file(r#"{ "a":1,"n":123456789012345678901231}"#)
    );
    assert_ne!(file(&big(1)), file(&big(2)));
}

#[test]
fn a_fault_names_its_file_table_and_field() {
    let task = "\n[schedules.a.task]\nkind = 'noop'";
    for (text, part) in [
        ("limit = ", "a.toml: line 1: "),
        (
            "[schedule.a]",
            "a.toml: there is no section `schedule`, only semaphores, queues, schedules",
        ),
        ("schedules = 3", "a.toml: `schedules` is no section"),
        ("[schedules]\na = 3", "a.toml: schedules.a: is no table"),
        (
            "[schedules.a]\ncron = '@daily'",
            "a.toml: schedules.a.task: is missing",
        ),
        (
            &format!("[schedules.a]\ncron = '61 * * * *'{task}"),
            "a.toml: schedules.a.cron: minute, character 1",
        ),
        (
            &format!("[schedules.a]\nevery_ms = 1000\njitter_ms = -1{task}"),
            "a.toml: schedules.a.jitter_ms: -1 is not",
        ),
        (
            &format!("[schedules.a]\nevery_ms = 1000{task}\npriority = 10"),
            "a.toml: schedules.a.task.priority: 10 is not",
        ),
        (
            &format!("[schedules.a]\nevery_ms = 1000{task}\ncolour = 1"),
            "a.toml: schedules.a.task.colour: unknown field",
        ),
        (
            &format!("[schedules.preview]\nevery_ms = 1000{task}"),
            "a.toml: schedules.preview: `preview` is a word",
        ),
        (
            "[queues.mail]\nweight = 0",
            "a.toml: queues.mail.weight: 0 is not in 1 to 1000",
        ),
        (
            "[queues.mail]\nweigth = 1",
            "a.toml: queues.mail.weigth: unknown field",
        ),
        (
            "[semaphores.db]",
            "a.toml: semaphores.db: missing field `limit`",
        ),
        ("[semaphores.'a b']\nlimit = 1", "a.toml: semaphores.a b: "),
    ] {
        let told = faults("a.toml", text);
        assert!(told.contains(part), "{text}: {told}");
    }
    assert!(faults("a.json", "{").starts_with("a.json: "));
    let many = (0..30).map(|nth| format!("[queues.q{nth}]\nweight = 0\n"));
    assert!(faults("a.toml", &many.collect::<String>()).ends_with("and 10 more"));
}

#[test]
fn two_of_one_name_in_a_file_are_refused() {
    let limit = |limit: u32| format!(r#""db": {{"limit": {limit}}}"#);
    let (one, other) = (limit(1), limit(2));
    for (text, part) in [
        (
            format!(r#"{{"semaphores": {{{one}, {other}}}}}"#),
            "a.json: `db` is there twice",
        ),
        (
            format!(r#"{{"semaphores": {{{one}}}, "queues": {{}}, "semaphores": {{{other}}}}}"#),
            "a.json: `semaphores` is there twice",
        ),
    ] {
        let told = faults("a.json", &text);
        assert!(told.contains(part), "{text}: {told}");
    }
    let twice = "[semaphores.db]\nlimit = 1\n[semaphores.db]\nlimit = 2";
    assert!(faults("a.toml", twice).starts_with("a.toml: line "));
}

#[test]
fn what_is_over_may_stay_in_a_file() {
    let file = "[schedules.a]\nat = 2001-01-01T00:00:00Z\n[schedules.a.task]\nkind = 'noop'";
    assert_eq!(declared(file).fields.len(), 1);
}

#[test]
fn what_is_written_reads_back_as_what_it_was_made_of() {
    let there = stored(FILE);

    let toml = write::text(&there, Output::Table).unwrap();
    let json = write::text(&there, Output::Json).unwrap();

    let fields = declared(FILE).fields;
    assert_eq!(declared(&toml).fields, fields, "{toml}");
    assert_eq!(
        Declared::of(Path::new("a.json"), &json).unwrap().fields,
        fields,
        "{json}"
    );
    assert!(
        !toml.contains("overlap") && !toml.contains("max_attempts"),
        "{toml}"
    );
    assert!(toml.contains("[schedules.nightly.task]"), "{toml}");
}

#[test]
fn what_toml_cannot_say_is_not_written_as_something_else() {
    for payload in ["[null]", "123456789012345678901", "1e3"] {
        let text = format!(
            r#"{{"schedules": {{"a": {{"every_ms": 1000, "task": {{"kind": "x", "payload": {payload}}}}}}}}}"#
        );
        let declared = Declared::of(Path::new("a.json"), &text).unwrap();
        let seen = declared.fields.clone().into_iter().map(|(id, fields)| {
            let fields = Some(fields);
            (id, Stored { fields, version: 7 })
        });
        let there: BTreeMap<Id, Stored> = seen.collect();

        let refused = write::text(&there, Output::Table).unwrap_err();
        let json = write::text(&there, Output::Json).unwrap();

        assert!(
            refused.message.contains("schedules.a"),
            "{}",
            refused.message
        );
        let read = Declared::of(Path::new("a.json"), &json).unwrap();
        assert_eq!(read.fields, declared.fields, "{json}");
    }
}

#[test]
fn one_thing_is_in_one_file_and_a_directory_is_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let paths = [dir.path().to_owned()];
    assert!(read::read(&paths).unwrap_err().message.contains("no file"));
    write("b.toml", "[semaphores.db]\nlimit = 1\n[queues]");
    write("a.json", r#"{"semaphores": {"api": {"limit": 2}}}"#);
    write("notes.md", "[semaphores.x]");
    let all = read::read(&paths).unwrap();
    assert_eq!(all.fields.len(), 2);
    assert_eq!(all.sections, BTreeSet::from([Sort::Semaphore, Sort::Queue]));
    assert!(
        all.file(&id(Sort::Semaphore, "api"))
            .unwrap()
            .ends_with("a.json")
    );

    write("c.toml", "[semaphores.db]\nlimit = 1");
    let twice = read::read(&paths).unwrap_err().message;
    assert!(
        twice.contains("c.toml: semaphores.db: ") && twice.contains("b.toml has it too"),
        "{twice}"
    );
}
