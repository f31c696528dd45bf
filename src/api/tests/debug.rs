use super::*;
use crate::vitals::Of;

const ADMIN: &str = "admin-0123456789a";
const READ: &str = "read-0123456789ab";

/// The debug listener of a node with these tokens.
fn looked_into(tokens: &[(Role, &str)]) -> Stage {
    let mut stage = stage(NOWHERE, tokens).0;
    stage.router = debug_router(stage.door.clone());
    stage
}

fn get(path: &str, token: Option<&str>) -> Request<Body> {
    let request = Request::builder().uri(path);
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_debug_listener_lets_in_admins_only_and_everyone_where_there_are_no_tokens() {
    let stage = looked_into(&[(Role::Admin, ADMIN), (Role::Read, READ)]);
    for path in [
        "/debug/state",
        "/debug/runtime",
        "/debug/profile/heap",
        "/debug/profile/cpu",
    ] {
        for (token, status) in [(None, 401), (Some(READ), 403)] {
            let heard = stage.send(get(path, token)).await;
            assert_eq!(heard.status, status, "{path}");
        }
    }
    assert_eq!(
        stage.send(get("/debug/state", Some(ADMIN))).await.status,
        200
    );
    assert_eq!(looked_into(&[]).get("/debug/runtime").await.status, 200);
    // The API's own routes are not there, and its routes of the debug listener are not at the API.
    assert_eq!(stage.send(get("/v1/stats", Some(ADMIN))).await.status, 404);
    assert_eq!(closed().get("/debug/state").await.status, 404);
}

#[tokio::test]
async fn the_state_has_depths_and_settings_and_no_token() {
    let stage = stage(NOWHERE, &[(Role::Admin, ADMIN)]).0;
    let level = stage.store.vitals().level(Of::Runs, Some(4));
    level.set(3);

    let heard = stage.send(get("/v1/debug/state", Some(ADMIN))).await;

    let depths = heard.body["depths"].as_array().unwrap();
    assert!(depths.contains(&json!({"of": "runs", "depth": 3, "bound": 4})));
    assert!(depths.contains(&json!({"of": "submits", "depth": 0, "bound": 8192})));
    assert!(depths.iter().any(|depth| depth["of"] == "submit_bytes"));
    assert!(depths.iter().any(|depth| depth["of"] == "task_waiters"));
    assert!(depths.iter().any(|depth| depth["of"] == "hold_waiters"));
    assert_eq!(heard.body["config"]["lease-ttl"], "5s");
    assert_eq!(
        heard.body["runtime"]["since_beat_ms"],
        Value::Null,
        "it does not beat here"
    );
    assert!(!heard.body.to_string().contains(ADMIN));
}

#[tokio::test]
async fn notes_are_told_by_readyz_on_request_and_make_no_node_unready() {
    let stage = closed();
    stage.ready.send_modify(|ready| {
        (ready.etcd, ready.session) = (Ok("yes".to_owned()), Ok("yes".to_owned()));
    });
    stage
        .store
        .vitals()
        .note(vec!["submits is nearly full".to_owned()]);

    let heard = stage.get("/readyz?verbose").await;
    assert_eq!(heard.status, 200);
    assert_eq!(heard.body["notes"], json!(["submits is nearly full"]));
    let heard = stage.get("/readyz").await;
    assert_eq!(
        (heard.status, &heard.body["notes"]),
        (StatusCode::OK, &Value::Null)
    );
}

#[tokio::test]
async fn a_profile_is_bounded_in_time_and_one_that_cannot_be_taken_says_why() {
    let stage = looked_into(&[]);
    for seconds in ["0", "61", "x", "-1"] {
        let heard = stage
            .get(&format!("/debug/profile/cpu?seconds={seconds}"))
            .await;
        assert_eq!(heard.status, 400, "{seconds}");
    }
    if cfg!(not(feature = "profiling")) {
        for path in ["/debug/profile/heap", "/debug/profile/cpu?seconds=1"] {
            let heard = stage.get(path).await;
            assert_eq!(
                (heard.status, &heard.body["code"]),
                (StatusCode::NOT_IMPLEMENTED, &json!("no_profiler"))
            );
            assert!(
                heard.body["detail"]
                    .as_str()
                    .unwrap()
                    .contains("--features profiling")
            );
        }
    }
}

/// What samples by a signal is the process's, so nothing else in this process may be a test of it.
#[cfg(feature = "profiling")]
#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_taken_where_the_build_can() {
    let stage = looked_into(&[]);
    let send = |path: &str| {
        let router = stage.router.clone();
        let request = get(path, None);
        async move { router.oneshot(request).await.unwrap() }
    };
    let cpu = send("/debug/profile/cpu?seconds=1").await;
    assert_eq!(cpu.status(), 200);
    let bytes = axum::body::to_bytes(cpu.into_body(), 1 << 24)
        .await
        .unwrap();
    assert!(!bytes.is_empty());
    // The test's allocator does not sample.
    let heap = send("/debug/profile/heap").await;
    assert!(
        [200, 409].contains(&heap.status().as_u16()),
        "{}",
        heap.status()
    );
}
