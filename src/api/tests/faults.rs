use super::*;

/// A request, the pointer to its fault, and what is said of it.
fn out_of_bounds() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (
            json!({"kind": "noop", "priority": 10}),
            "/priority",
            "10 is not in 1 to 9",
        ),
        (
            json!({"kind": "noop", "priority": "high"}),
            "/priority",
            "invalid type",
        ),
        (
            json!({"kind": "noop", "colour": 1}),
            "/colour",
            "unknown field",
        ),
        (json!({"queue": "q"}), "/kind", "missing"),
        (json!({"kind": "a b"}), "/kind", "1 to 64"),
        (
            json!({"kind": "noop", "queue": ".q"}),
            "/queue",
            "starting with a letter or digit",
        ),
        (
            json!({"kind": "noop", "max_attempts": 0}),
            "/max_attempts",
            "1 to 1000",
        ),
        (
            json!({"kind": "noop", "timeout_ms": 0}),
            "/timeout_ms",
            "1 to 604800000",
        ),
        (
            json!({"kind": "noop", "timeout_ms": 604_800_001}),
            "/timeout_ms",
            "1 to 604800000",
        ),
        (
            json!({"kind": "noop", "delay_ms": -1}),
            "/delay_ms",
            "-1 is not in 0",
        ),
        (
            json!({"kind": "noop", "run_at": "soon"}),
            "/run_at",
            "RFC 3339",
        ),
        (
            json!({"kind": "noop", "run_at": "2999-01-01T00:00:00Z"}),
            "/run_at",
            "ten years",
        ),
        (
            json!({"kind": "noop", "backoff": {"factor": 0}}),
            "/backoff/factor",
            "1 to 100",
        ),
        (
            json!({"kind": "noop", "labels": {"k": "v".repeat(257)}}),
            "/labels",
            "256",
        ),
        (
            json!({"kind": "noop", "metadata": {"k": "v".repeat(20_000)}}),
            "/metadata",
            "16384",
        ),
        (
            json!({"kind": "noop", "idempotency_key": "a b"}),
            "/idempotency_key",
            "1 to 200 visible",
        ),
        (
            json!({"kind": "sleep", "payload": {"ms": -1}}),
            "/payload/ms",
            "expected",
        ),
        (
            json!({"kind": "command", "payload": {"argv": ["a", 3]}}),
            "/payload/argv/1",
            "expected a string",
        ),
    ]
}

#[tokio::test]
async fn each_value_out_of_its_bound_is_named_by_pointer_and_bound() {
    let stage = closed();
    for (body, pointer, bound) in out_of_bounds() {
        let heard = stage.post("/v1/tasks", &body).await;
        assert_eq!(
            (heard.status, heard.pointers()),
            (StatusCode::UNPROCESSABLE_ENTITY, vec![pointer]),
            "{}",
            heard.body
        );
        let detail = heard.body["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(bound), "{detail} lacks {bound}");

        let heard = stage
            .post(
                "/v1/tasks/batch",
                &json!({"tasks": [{"kind": "noop"}, body]}),
            )
            .await;
        let within = format!("/tasks/1{pointer}");
        assert_eq!(
            heard.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            heard.body
        );
        assert!(
            heard.pointers().contains(&&*within),
            "{within} is not in {}",
            heard.body
        );
    }
}

#[tokio::test]
async fn all_faults_of_a_request_are_told_and_no_more_than_twenty() {
    let stage = closed();
    let heard = stage
        .post(
            "/v1/tasks",
            &json!({"kind": "a b", "priority": 0, "delay_ms": -1}),
        )
        .await;
    assert_eq!(heard.pointers(), ["/kind", "/priority", "/delay_ms"]);

    let bad: Vec<Value> = (0..30)
        .map(|_| json!({"kind": "noop", "priority": 0}))
        .collect();
    let heard = stage.post("/v1/tasks/batch", &json!({"tasks": bad})).await;
    assert_eq!(heard.pointers().len(), 20);
    assert!(
        heard.body["detail"]
            .as_str()
            .unwrap()
            .starts_with("30 faults"),
        "{}",
        heard.body
    );
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_its_bound() {
    let stage = closed();
    let payload = |bytes| json!({"kind": "noop", "payload": "x".repeat(bytes)});
    let many = |tasks, kind: fn(usize) -> String| json!({"tasks": (0..tasks).map(|nth| json!({"kind": kind(nth)})).collect::<Vec<_>>()});
    let table = [
        ("/v1/tasks", payload(256 << 10), "at most 262144 bytes"),
        ("/v1/tasks", payload(400 << 10), "at most 327680 bytes"),
        (
            "/v1/tasks/batch",
            json!({"tasks": [payload(1), payload(300 << 10)]}),
            "at most 262144 bytes",
        ),
        (
            "/v1/tasks/batch",
            json!({"tasks": vec![payload(200 << 10); 6]}),
            "at most 1048576 bytes",
        ),
        (
            "/v1/tasks/batch",
            many(1_001, |_| "noop".to_owned()),
            "at most 1000 tasks",
        ),
        (
            "/v1/tasks/batch",
            many(129, |nth| format!("k{nth}")),
            "at most 128 lanes",
        ),
    ];
    for (path, body, bound) in table {
        let heard = stage.post(path, &body).await;
        assert_eq!(
            (heard.status, &heard.body["code"]),
            (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large"))
        );
        assert!(
            heard.body["detail"].as_str().unwrap().contains(bound),
            "{} lacks {bound}",
            heard.body["detail"]
        );
    }
    let chunks =
        futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>("x".repeat(10_000))));
    let request = Request::post("/v1/tasks").header("content-type", "application/json");
    let heard = stage
        .send(request.body(Body::from_stream(chunks)).unwrap())
        .await;
    assert_eq!(
        heard.status,
        StatusCode::PAYLOAD_TOO_LARGE,
        "{}",
        heard.body
    );
}

#[tokio::test]
async fn an_idempotency_key_is_said_once_or_the_same_twice() {
    let stage = closed();
    let body = json!({"kind": "noop", "idempotency_key": "a"}).to_string();
    let heard = stage
        .post_with("/v1/tasks", &[("idempotency-key", "b")], body)
        .await;
    assert_eq!(heard.pointers(), ["/idempotency_key"]);

    let heard = stage
        .post_with(
            "/v1/tasks",
            &[("idempotency-key", "a b")],
            json!({"kind": "noop"}).to_string(),
        )
        .await;
    assert_eq!(heard.body["errors"][0]["field"], "Idempotency-Key");

    let batch = json!({"tasks": [{"kind": "noop", "idempotency_key": "a"}]});
    assert_eq!(
        stage.post("/v1/tasks/batch", &batch).await.pointers(),
        ["/tasks/0/idempotency_key"]
    );
}

#[tokio::test]
async fn what_is_no_request_is_a_problem_of_its_own() {
    let stage = closed();
    let json = |body: &str| stage.post_with("/v1/tasks", &[], body.to_owned());
    assert_eq!(json("{").await.body["code"], "malformed_json");
    assert_eq!(json("[]").await.body["code"], "invalid_request");
    assert_eq!(
        json(r#"{"kind":"a","kind":"b"}"#).await.body["code"],
        "invalid_request"
    );

    let plain = Request::post("/v1/tasks")
        .header("content-type", "text/plain")
        .body(Body::from("{}"))
        .unwrap();
    let heard = stage.send(plain).await;
    assert_eq!(
        (heard.status, &heard.body["code"]),
        (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &json!("unsupported_media_type")
        )
    );

    let heard = stage.get("/v2/tasks").await;
    assert_eq!(
        (heard.status, &heard.body["code"]),
        (StatusCode::NOT_FOUND, &json!("no_such_path"))
    );
    assert_eq!(heard.headers["content-type"], "application/problem+json");
    assert_eq!(heard.body["type"], "/problems/no_such_path");
    assert_eq!(heard.body["instance"], "/v2/tasks");

    let heard = stage
        .send(Request::delete("/v1/tasks").body(Body::empty()).unwrap())
        .await;
    assert_eq!(
        (heard.status, &heard.body["code"]),
        (StatusCode::METHOD_NOT_ALLOWED, &json!("method_not_allowed"))
    );
    assert!(
        heard.headers["allow"].to_str().unwrap().contains("POST"),
        "{:?}",
        heard.headers
    );
}

#[tokio::test]
async fn a_parameter_out_of_its_bound_is_named() {
    let stage = closed();
    let id = "0192f0c1-6c00-7abc-8def-0123456789ab";
    for (path, field, bound) in [
        ("/v1/tasks/x".to_owned(), "id", "version 7 UUID"),
        (format!("/v1/tasks/{id}?wait=61s"), "wait", "0s to 60s"),
        (format!("/v1/tasks/{id}?wait=x"), "wait", "0s to 60s"),
        (format!("/v1/tasks/{id}?until=lunch"), "until", "terminal"),
        (
            format!("/v1/tasks/{id}?colour=1"),
            "query",
            "unknown field `colour`",
        ),
        (
            "/v1/tasks?state=done".to_owned(),
            "state",
            "one of scheduled, pending, running",
        ),
        ("/v1/tasks?limit=0".to_owned(), "limit", "1 to 1000"),
        ("/v1/tasks?limit=1001".to_owned(), "limit", "1 to 1000"),
        ("/v1/tasks?queue=a%20b".to_owned(), "queue", "1 to 64"),
        ("/v1/tasks?cursor=x".to_owned(), "cursor", "next_cursor"),
        (
            "/v1/tasks?cursor=1.0.2f78".to_owned(),
            "cursor",
            "next_cursor",
        ),
    ] {
        let heard = stage.get(&path).await;
        let error = &heard.body["errors"][0];
        assert_eq!(
            (heard.status, &error["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{path}: {}",
            heard.body
        );
        assert!(
            error["detail"].as_str().unwrap().contains(bound),
            "{error} lacks {bound}"
        );
    }
}

/// Only a list that was given a cursor can say that the cursor is too old.
#[test]
fn a_compacted_read_is_told_as_what_to_try_again() {
    let compacted = tenure_cluster::ReadError::Compacted { at: 7 };

    let (status, code, _) = ApiError::from(store::LookError::from(compacted)).told();

    assert_eq!(
        (status, code),
        (StatusCode::SERVICE_UNAVAILABLE, "history_compacted")
    );
}

#[tokio::test]
async fn a_reset_that_makes_no_sense_is_refused_by_field() {
    let stage = closed();
    for (body, field) in [
        (json!({}), "reset"),
        (json!({"kind": "http", "colour": 1}), "reset"),
        (json!({"kind": "a b"}), "kind"),
        (json!({"kind": "http", "node": ""}), "node"),
        (json!({"kind": "http", "host": ""}), "host"),
    ] {
        let heard = stage.post("/v1/breakers/reset", &body).await;
        let told = (heard.status, &heard.body["errors"][0]["field"]);
        assert_eq!(
            told,
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)),
            "{body}"
        );
    }
    let heard = stage
        .post_with("/v1/breakers/reset", &[], "{".to_owned())
        .await;
    assert_eq!(heard.body["code"], "malformed_json");
}
