//! Those who hold, change limits and look, and what is there before and after.

use super::*;

#[tokio::test]
async fn holds_are_acquired_renewed_and_released_and_a_lost_release_is_unknown() {
    let fake = Fake::start(|asked: &Asked, before| {
        match (asked.method.as_str(), before) {
            ("DELETE", 0) if asked.path.ends_with("=16") => Told::Lost,
            ("DELETE", 1) if asked.path.ends_with("=16") => told(404, "no_such_hold"),
            // Its turn has not come.
            ("POST", 1) if asked.path.ends_with("/holds") => Told::Says(200, json!({ "id": "h" })),
            ("GET", _) => Told::Says(200, json!({ "id": "h", "fence": 17, "revision": 17 })),
            _ => good(asked),
        }
    })
    .await;
    let hold = "[[work.hold]]\nsemaphore = \"s\"\nweight = [2, 2]\nheld_ms = [2, 2]\n";
    let scene = Scene::new("clients = 0\nreads_ms = 0", hold, &[&fake.base]);

    let path = "/v1/semaphores/s/holds/h";
    scene.runs(&fake, "DELETE", path, 3).await.unwrap();

    let calls = scene.calls("x-holder-0-0");
    let gate = "s.s".to_owned();
    let acquire = Op::Acquire {
        gate: gate.clone(),
        weight: 2,
        ttl_ms: Some(15_000),
    };
    let at = |revision| {
        End::Ok(Answer {
            revision: Some(revision),
            ..Answer::default()
        })
    };
    let release = |token| Op::Release {
        gate: gate.clone(),
        token,
    };
    let expected = [
        (acquire.clone(), at(16)),
        (release(16), End::Info),
        (acquire, at(17)),
        (release(17), at(10)),
    ];
    assert_eq!(calls[..4], expected);
    assert_eq!(
        fake.asked("POST", "/v1/semaphores/s/holds")[0].body["weight"],
        2
    );
    assert!(
        !fake
            .asked("POST", "/v1/semaphores/s/holds/h/renew")
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_forgotten_is_never_released() {
    let fake = Fake::start(|asked: &Asked, _| good(asked)).await;
    let hold = "[[work.hold]]\nlock = \"l\"\nheld_ms = [0, 0]\nforgotten = 100\n";
    let scene = Scene::new("clients = 0\nreads_ms = 0", hold, &[&fake.base]);

    scene
        .runs(&fake, "POST", "/v1/locks/l/holds", 2)
        .await
        .unwrap();

    assert!(fake.asked("DELETE", "/v1/locks/l/holds").is_empty());
    assert!(fake.asked("POST", "/v1/locks/l/holds")[0].body["weight"].is_null());
}

#[tokio::test]
async fn a_late_copy_of_a_release_is_sent_while_the_same_id_holds_again() {
    // Each time it holds, its fence is another.
    let fake = Fake::start(|asked: &Asked, before| match asked.method.as_str() {
        "POST" if asked.path.ends_with("/holds") => {
            Told::Says(200, json!({ "id": asked.body["id"], "fence": 20 + before }))
        }
        _ => good(asked),
    })
    .await;
    let hold = "[[work.hold]]\nlock = \"l\"\nheld_ms = [0, 0]\nlate = 100\n";
    let scene = Scene::new("clients = 0\nreads_ms = 0", hold, &[&fake.base]);

    let path = "/v1/locks/l/holds";
    scene.runs(&fake, "DELETE", path, 3).await.unwrap();

    let asked = fake.asked("POST", path);
    let id = asked[0].body["id"].as_str().unwrap();
    assert_eq!(asked[1].body["id"], id);
    let released = fake.asked("DELETE", path);
    let fences = [20, 20, 21].map(|fence| format!("{path}/{id}?fence={fence}"));
    let paths: Vec<&String> = released.iter().map(|one| &one.path).take(3).collect();
    assert_eq!(paths, fences.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn limits_go_round_and_end_at_the_highest_whatever_is_lost() {
    let fake =
        Fake::start(|asked: &Asked, before| if before == 1 { Told::Lost } else { good(asked) })
            .await;
    let semaphore = "[[work.semaphore]]\nname = \"s\"\nlimits = [2, 5, 3]\nchanged_ms = 1\n";
    let scene = Scene::new("clients = 0\nreads_ms = 0", semaphore, &[&fake.base]);

    scene
        .runs(&fake, "PUT", "/v1/semaphores/s", 4)
        .await
        .unwrap();

    let limits: Vec<u64> = fake
        .asked("PUT", "/v1/semaphores/s")
        .iter()
        .map(|one| one.body["limit"].as_u64().unwrap())
        .collect();
    assert_eq!(limits[..4], [5, 3, 2, 5]);
    assert_eq!(limits.last(), Some(&5));
    let calls = scene.calls("x-limits-0");
    let limit = |limit| Op::Limit {
        name: "s".to_owned(),
        limit,
    };
    assert_eq!(calls[1], (limit(3), End::Info));
    assert!(
        matches!(&calls[2], (op, End::Ok(answer)) if *op == limit(2) && answer.revision == Some(10))
    );
}

#[tokio::test]
async fn schedules_are_fired_by_hand_in_turn_and_what_is_lost_is_not_asked_again() {
    let fake = Fake::start(|asked: &Asked, before| {
        if asked.path.ends_with("/tick-1/trigger") && before == 0 {
            return Told::Lost;
        }
        good(asked)
    })
    .await;
    let schedule =
        "[[work.schedule]]\nname = \"tick\"\ncount = 2\ntriggered_ms = [1, 1]\nschedule = {}\n";
    let scene = Scene::new("clients = 0\nreads_ms = 0", schedule, &[&fake.base]);

    let path = "/v1/schedules/tick-";
    scene.runs(&fake, "POST", path, 4).await.unwrap();

    let asked = fake.asked("POST", path);
    let paths = asked.iter().map(|one| one.path.as_str());
    let [one, two] = [1, 2].map(|nth| format!("{path}{nth}/trigger"));
    assert_eq!(paths.take(4).collect::<Vec<_>>(), [&one, &two, &one, &two]);
}

#[tokio::test]
async fn who_looks_sees_who_leads_and_how_semaphores_stand() {
    let fake = Fake::start(|asked: &Asked, before| {
        if asked.path == "/v1/leader" && before == 0 {
            return told(503, "no_leader");
        }
        good(asked)
    })
    .await;
    let semaphore = "[[work.semaphore]]\nname = \"s\"\nlimits = [3]\n";
    let scene = Scene::new("clients = 0\nreads_ms = 1", semaphore, &[&fake.base]);

    scene.runs(&fake, "GET", "/v1/leader", 3).await.unwrap();

    assert!(!fake.asked("GET", "/v1/nodes").is_empty());
    // Three sights and three callers: each caller always sees the same.
    let history = scene.chronicle.clone().close();
    let mut answers = Vec::new();
    let mut refused = 0;
    for record in history.records() {
        if let Entry::Ok { answer, .. } = &record.entry {
            answers.push(answer.clone());
        } else if let Entry::Fail { why, .. } = &record.entry {
            assert_eq!(why, "503 no_leader");
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    let leads = Answer {
        revision: Some(13),
        leads: Some(("n2".to_owned(), 5)),
        ..Answer::default()
    };
    let stands = Answer {
        revision: Some(14),
        limit: Some(3),
        held: Some(2),
        ..Answer::default()
    };
    assert!(
        answers.contains(&leads) && answers.contains(&stands),
        "{answers:?}"
    );
}

#[tokio::test]
async fn what_is_there_before_is_set_and_schedules_are_taken_away() {
    let fake = Fake::start(
        |asked: &Asked, before| match (asked.method.as_str(), before) {
            ("PUT", 0) => told(503, "etcd_unavailable"),
            ("DELETE", 0) if asked.path.ends_with("-1") => told(404, "no_such_schedule"),
            _ => good(asked),
        },
    )
    .await;
    let tables = "[[work.semaphore]]\nname = \"s\"\nlimits = [3, 1]\n\
                  [[work.queue]]\nname = \"q\"\nrules = { weight = 2 }\n\
                  [[work.schedule]]\nname = \"due\"\ncount = 2\nschedule = { every_ms = 1000, task = { kind = \"noop\" } }\n\
                  [[work.schedule]]\nname = \"alone\"\nschedule = { every_ms = 1000 }\n";
    let scene = Scene::new("clients = 0\nreads_ms = 0", tables, &[&fake.base]);

    scene
        .with(async |ground| {
            ground.lay_out().await.unwrap();
            ground.clear_away().await.unwrap();
        })
        .await;

    let puts: Vec<String> = fake
        .asked("PUT", "/")
        .into_iter()
        .map(|one| format!("{} {}", one.path, one.body))
        .collect();
    let schedule = r#"{"every_ms":1000,"task":{"kind":"noop"}}"#;
    let expected = [
        "/v1/semaphores/s {\"limit\":3}".to_owned(),
        "/v1/queues/q/rules {\"weight\":2}".to_owned(),
        format!("/v1/schedules/due-1 {schedule}"),
        format!("/v1/schedules/due-2 {schedule}"),
        "/v1/schedules/alone {\"every_ms\":1000}".to_owned(),
    ];
    let twice: Vec<String> = expected
        .into_iter()
        .flat_map(|one| [one.clone(), one])
        .collect();
    assert_eq!(puts, twice);
    let gone: Vec<String> = fake
        .asked("DELETE", "/")
        .into_iter()
        .map(|one| one.path)
        .collect();
    assert_eq!(
        gone,
        [
            "/v1/schedules/due-1",
            "/v1/schedules/due-2",
            "/v1/schedules/alone"
        ]
    );
}

#[tokio::test]
async fn rules_that_are_refused_are_refused_by_their_field() {
    let fake = Fake::start(|_: &Asked, _| told(422, "invalid_request")).await;
    let tables = "[[work.queue]]\nname = \"q\"\nrules = { weight = 0 }\n";
    let scene = Scene::new("clients = 0\nreads_ms = 0", tables, &[&fake.base]);

    let refused = scene.with(async |ground| ground.lay_out().await).await;

    let said = format!("{:#}", refused.unwrap_err());
    assert!(
        said.starts_with("work.queue[0].rules: PUT /v1/queues/q/rules is refused: 422"),
        "{said}"
    );
}
