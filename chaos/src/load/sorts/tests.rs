//! What a scenario makes of a seed.

use super::*;
use crate::load::means::Paper;
use crate::scenario::Scenario;
use std::collections::BTreeMap;

fn means() -> (tempfile::TempDir, Means) {
    let dir = tempfile::tempdir().unwrap();
    let means = Means {
        command: Some(Paper::lay_out(dir.path()).unwrap()),
        http: Some("http://127.0.0.1:9".to_owned()),
    };
    (dir, means)
}

fn work(text: &str) -> Work {
    let text = format!("name = \"x\"\n[faults]\nkinds = [\"all\"]\n[work]\n{text}");
    Scenario::parse(&text).unwrap().work
}

fn made(work: &Work, means: &Means, seed: u64, count: usize) -> Vec<Wanted> {
    let sorts = Sorts::of(work, means).unwrap();
    let mut dice = SplitMix(seed);
    (0..count).map(|_| sorts.next(&mut dice).unwrap()).collect()
}

#[test]
fn a_seed_makes_the_same_work_twice_and_another_seed_other_work_of_every_scenario() {
    let (_dir, means) = means();
    for scenario in Scenario::built_in().unwrap() {
        let made = |seed| made(&scenario.work, &means, seed, 300);

        assert_eq!(made(1), made(1), "{}", scenario.name);
        assert_ne!(made(1), made(2), "{}", scenario.name);
    }
}

#[test]
fn every_scenario_can_be_had_with_commands_or_a_server_alone() {
    let (_dir, both) = means();
    let command = Means {
        http: None,
        ..both.clone()
    };
    let http = Means {
        command: None,
        ..both
    };
    for scenario in Scenario::built_in().unwrap() {
        for means in [&command, &http] {
            for wanted in made(&scenario.work, means, 7, 300) {
                for task in &wanted.tasks {
                    let text = task.to_string();
                    // No task of a kind that somebody else witnesses, and no brace left in what is not a payload.
                    let other = if means.http.is_none() {
                        "http"
                    } else {
                        "command"
                    };
                    assert_ne!(task["kind"], other, "{text}");
                    assert!(!text.contains("-{"), "{text}");
                }
            }
        }
    }
}

#[test]
fn sorts_come_as_often_as_their_shares_say_and_one_without_never() {
    let work = work(
        "[[work.task]]\nshare = 3\ntask = { kind = \"a\" }\n[[work.task]]\nshare = 0\ntask = { kind = \"b\" }\n\
         [[work.task]]\nshare = 1\ntask = { kind = \"c\" }\n",
    );
    let mut kinds = BTreeMap::new();

    for wanted in made(&work, &Means::default(), 1, 4_000) {
        let kind = wanted.submit(None, None).kind;
        *kinds.entry(kind).or_insert(0_u32) += 1;
    }

    assert_eq!(kinds.get("b"), None);
    assert!((2_900..3_100).contains(&kinds["a"]), "{kinds:?}");
    assert!((900..1_100).contains(&kinds["c"]), "{kinds:?}");
}

#[test]
fn parts_of_a_hundred_are_kept() {
    let work = work(
        "[[work.task]]\nbatch = [2, 4]\ndelay_ms = [10, 20]\npriority = [2, 3]\ncancelled = 20\nrepeated = 50\nread = 30\nkeyless = 10\n\
         task = { kind = \"noop\", queue = \"q-{2}\", locks = [\"l-{2}\", \"l-{2}\"], max_attempts = 4 }\n",
    );
    let all = made(&work, &Means::default(), 1, 2_000);

    let part =
        |has: fn(&Wanted) -> bool| all.iter().filter(|one| has(one)).count() * 100 / all.len();
    let parts = [
        part(|one| one.cancelled.is_some()),
        part(|one| one.key == Keyed::Twice),
        part(|one| one.read.is_some()),
        part(|one| one.key == Keyed::Not),
    ];
    // Half of nine in ten are repeated: without a key nothing is.
    for (part, expected) in parts.into_iter().zip([20, 45, 30, 10]) {
        assert!(part.abs_diff(expected) <= 3, "{parts:?}");
    }
    for one in &all {
        assert!(one.batch && (2..=4).contains(&one.tasks.len()));
        assert!((10..=20).contains(&one.delay_ms.unwrap()));
        let submit = one.submit(Some("k"), Some(5));
        assert!((2..=3).contains(&submit.priority.unwrap()));
        assert_eq!((submit.max_attempts, submit.run_at_ms), (Some(4), Some(5)));
        for task in &one.tasks {
            assert_eq!(
                task["queue"], submit.queue,
                "of one submit all are in one queue"
            );
            let locks = task["locks"].as_array().unwrap();
            assert!(locks.len() == 1 || locks[0] != locks[1], "{task}");
        }
    }
    assert!(all.iter().any(|one| one.submit(None, None).queue == "q-1"));
}

#[test]
fn a_request_says_when_it_may_start_and_is_the_same_each_time() {
    let work = work(
        "[[work.task]]\ntask = { kind = \"noop\" }\n[[work.task]]\nbatch = [1, 2]\ntask = { kind = \"noop\" }\n",
    );
    let all = made(&work, &Means::default(), 1, 20);
    let single = all.iter().find(|one| !one.batch).unwrap();
    let batch = all.iter().find(|one| one.batch).unwrap();

    let (path, body) = single.request(Some("k"), Some(1_000)).unwrap();
    assert_eq!(path, "/v1/tasks");
    let expected =
        json!({ "kind": "noop", "run_at": "1970-01-01T00:00:01.000Z", "idempotency_key": "k" });
    assert_eq!(body, expected);

    let (path, body) = batch.request(Some("k"), Some(1_000)).unwrap();
    assert_eq!(path, "/v1/tasks/batch");
    assert_eq!(body["idempotency_key"], "k");
    assert_eq!(body["tasks"][0]["run_at"], "1970-01-01T00:00:01.000Z");
    assert_eq!(batch.request(Some("k"), Some(1_000)).unwrap().1, body);
}

#[test]
fn a_witnessed_run_is_told_how_long_and_acts_on_its_one_lock() {
    let (_dir, means) = means();
    let one_lock = "run_ms = [250, 250]\nfails = 100\ntask = { locks = [\"door\"] }\n";
    let two_locks = "run_ms = [250, 250]\ntask = { locks = [\"door\", \"gate\"] }\n";
    let first = |witness: &str, text: &str| {
        let work = work(&format!("[[work.task]]\nwitness = \"{witness}\"\n{text}"));
        made(&work, &means, 1, 1)[0].tasks[0].clone()
    };

    let task = first("http", one_lock);
    assert_eq!(task["kind"], "http");
    assert_eq!(
        task["payload"]["url"],
        "http://127.0.0.1:9/run?ms=250&fails=1&gate=http.door"
    );
    let task = first("http", two_locks);
    assert_eq!(
        task["payload"]["url"],
        "http://127.0.0.1:9/run?ms=250&fails=0"
    );
    let argv = |task: &Value| {
        let words = task["payload"]["argv"].as_array().unwrap().iter();
        let words: Vec<String> = words
            .skip(1)
            .map(|word| word.as_str().unwrap().to_owned())
            .collect();
        words.join(" ")
    };
    let said = argv(&first("command", one_lock));
    assert!(
        said.starts_with("witness-run --log ") && said.contains(" --gate door --guards "),
        "{said}"
    );
    assert!(
        said.ends_with("-- sh -c sleep \"$0\"; exit 1 0.250"),
        "{said}"
    );
    let said = argv(&first("command", two_locks));
    assert!(
        !said.contains("--gate") && said.ends_with("-- sleep 0.250"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_had_is_refused_by_its_field() {
    let (_dir, both) = means();
    let http = Means {
        command: None,
        ..both.clone()
    };
    let witnessed = "[[work.task]]\nwitness = \"any\"\ntask = {}\n";
    let cases = [
        (
            "[[work.task]]\nwitness = \"command\"\ntask = {}\n".to_owned(),
            &http,
            "work.task[0].witness: nodes are no processes",
        ),
        (
            witnessed.to_owned(),
            &Means::default(),
            "work.task[0].witness",
        ),
        (
            "[[work.task]]\ntask = { kind = \"noop\", delay_ms = 5 }\n".to_owned(),
            &both,
            "work.task[0].task.delay_ms",
        ),
        (
            format!("{witnessed}[[work.task]]\ntask = {{ kind = \"http\" }}\n"),
            &both,
            "work.task[1].task.kind: other tasks of kind http",
        ),
        (
            format!(
                "{witnessed}[[work.schedule]]\nname = \"s\"\nschedule = {{ task = {{ kind = \"command\" }} }}\n"
            ),
            &both,
            "work.schedule[0].schedule.task.kind",
        ),
    ];
    for (text, means, expected) in cases {
        let said = format!("{:#}", Sorts::of(&work(&text), means).unwrap_err());
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn those_that_fail_are_known_to_end_dead() {
    let (_dir, means) = means();
    let work = work(
        "[[work.task]]\nwitness = \"http\"\nbatch = [4, 4]\nfails = 50\ntask = { queue = \"q\" }\n",
    );

    for wanted in made(&work, &means, 1, 50) {
        for (nth, task) in wanted.tasks.iter().enumerate() {
            let url = task["payload"]["url"].as_str().unwrap();
            assert_eq!(
                url.contains("fails=1"),
                wanted.mortal.contains(&nth),
                "{url}"
            );
        }
    }
}

#[test]
fn what_asks_for_more_than_the_lowest_limit_may_be_refused() {
    let work = work(
        "[[work.task]]\ntask = { kind = \"noop\", permits = [{ semaphore = \"s\", weight = 2 }] }\n\
         [[work.semaphore]]\nname = \"s\"\nlimits = [3, 1]\n",
    );

    assert!(made(&work, &Means::default(), 1, 1)[0].narrow);
    assert_eq!(lowest(&work, "s"), Some(1));
    assert_eq!(lowest(&work, "t"), None);
}
