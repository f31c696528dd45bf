use super::*;
use crate::api::auth::Need;
use crate::api::routes::TABLE;

const READ: &str = "read-0123456789ab";
const SUBMIT: &str = "submit-0123456789";
const ADMIN: &str = "admin-0123456789a";

fn concrete(path: &str) -> String {
    path.replace("{id}", "not-an-id")
}

fn request(method: &str, path: &str, token: Option<&str>) -> Request<Body> {
    let request = Request::builder().method(method).uri(concrete(path));
    let request = match token {
        Some(token) => request.header("authorization", format!("bearer {token}")),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

/// What is refused for its role is refused before anything else; what passes may still fail for other reasons.
#[tokio::test]
async fn each_route_lets_in_its_role_and_those_above_and_nobody_else() {
    let stage = stage(
        NOWHERE,
        &[
            (Role::Read, READ),
            (Role::Submit, SUBMIT),
            (Role::Admin, ADMIN),
        ],
    )
    .0;
    for route in TABLE {
        let tokens = [
            (None, None),
            (Some(READ), Some(Role::Read)),
            (Some(SUBMIT), Some(Role::Submit)),
            (Some(ADMIN), Some(Role::Admin)),
            (Some("unknown-012345678"), None),
        ];
        for (token, has) in tokens {
            let expected = match (route.need, has) {
                (Need::Open, _) => None,
                (Need::Role(_), None) => Some(StatusCode::UNAUTHORIZED),
                (Need::Role(needs), Some(has)) => (has < needs).then_some(StatusCode::FORBIDDEN),
            };

            let heard = stage.send(request(route.method, route.path, token)).await;

            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&heard.status);
            assert_eq!(
                refused.then_some(heard.status),
                expected,
                "{route:?} with {token:?}"
            );
            assert_eq!(
                heard.headers.contains_key("www-authenticate"),
                heard.status == StatusCode::UNAUTHORIZED
            );
            let said = heard.body.to_string();
            assert!(
                token.is_none_or(|token| !said.contains(token)),
                "a token is in {said}"
            );
        }
    }
    let heard = stage
        .send(request("POST", "/v1/leader/resign", Some(READ)))
        .await;
    assert_eq!(
        heard.body["detail"],
        "this needs a token with the role admin, this one has read"
    );
    let heard = stage
        .send(request("POST", "/v1/tasks/{id}/retry", Some(SUBMIT)))
        .await;
    assert_eq!(
        heard.body["detail"],
        "this needs a token with the role admin, this one has submit"
    );
}

#[tokio::test]
async fn what_is_mounted_past_the_table_is_refused_as_if_it_were_not_there() {
    let mut stage = closed();
    let secret = axum::routing::get(async || "secret");
    let past = crate::api::serve::routed()
        .route("/v1/secret", secret)
        .route("/v1/stats/{id}", axum::routing::post(async || "secret"));
    stage.router = crate::api::serve::fronted(past, stage.door.clone());

    for (method, path, status) in [
        ("GET", "/v1/secret", StatusCode::NOT_FOUND),
        ("POST", "/v1/secret", StatusCode::NOT_FOUND),
        ("POST", "/v1/stats/1", StatusCode::NOT_FOUND),
        ("GET", "/v1/nothing", StatusCode::NOT_FOUND),
        ("PUT", "/v1/stats", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let heard = stage.send(request(method, path, None)).await;
        assert_eq!(heard.status, status, "{method} {path}: {}", heard.body);
        assert!(!heard.headers.contains_key("www-authenticate"));
    }
    assert_eq!(stage.get("/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_tokens_everyone_may_do_everything() {
    let heard = closed()
        .post("/v1/tasks/not-an-id/retry", &json!(null))
        .await;
    assert_eq!(
        (heard.status, &heard.body["code"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_parameter"))
    );
}

#[tokio::test]
async fn the_description_and_the_table_of_routes_are_the_same_and_each_route_has_its_role_and_problems()
 {
    let heard = closed().get("/v1/openapi.json").await;
    assert!(heard.body["openapi"].as_str().unwrap().starts_with("3.1"));

    let mut described = Vec::new();
    for (path, item) in heard.body["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.push((method.to_uppercase(), path.clone()));
        }
    }
    let mut table: Vec<_> = TABLE
        .iter()
        .map(|route| (route.method.to_owned(), route.path.to_owned()))
        .collect();
    described.sort();
    table.sort();
    assert_eq!(described, table);
    for route in TABLE {
        let operation = &heard.body["paths"][route.path][route.method.to_lowercase()];
        let expected = match route.need {
            Need::Open => Value::Null,
            Need::Role(role) => json!([{"token": [crate::api::error::word(role)]}]),
        };
        assert_eq!(operation["security"], expected, "{route:?}");
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
            ["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{route:?}");
    }
    let schemas = heard.body["components"]["schemas"].as_object().unwrap();
    let text = heard.body.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is not described");
    }
}

#[tokio::test]
async fn what_refuses_new_work_is_described() {
    let heard = closed().get("/v1/openapi.json").await;
    let loaded = ("429", ["busy", "backlog_full", "service_reduced"]);
    let short = (
        "503",
        ["etcd_nearly_full", "etcd_unavailable", "service_reduced"],
    );
    for (path, (status, codes)) in [
        ("/v1/tasks", loaded),
        ("/v1/tasks", short),
        ("/v1/tasks/batch", loaded),
        ("/v1/tasks/batch", short),
        ("/v1/locks/{name}/holds", short),
        ("/v1/semaphores/{name}/holds", short),
    ] {
        let told = &heard.body["paths"][path]["post"]["responses"][status]["description"];
        let told = told.as_str().unwrap_or_default();
        for code in codes {
            assert!(
                told.contains(&format!("`{code}`")),
                "{path} {status} {code}: {told}"
            );
        }
    }
}

#[tokio::test]
async fn a_full_etcd_and_a_leaving_node_take_no_new_work() {
    let stage = closed();
    stage.usage.send_modify(|usage| {
        (usage.room.size, usage.room.in_use, usage.room.quota) = (95, 90, 100);
    });
    for path in ["/v1/tasks", "/v1/tasks/batch"] {
        let heard = stage.post(path, &json!({"kind": "noop"})).await;
        assert_eq!(
            (heard.status, &heard.body["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("etcd_nearly_full"))
        );
        assert!(
            heard.body["detail"]
                .as_str()
                .unwrap()
                .contains("90 bytes of its quota of 100 in use")
        );
        assert!(heard.headers.contains_key("retry-after"));
    }
    stage.usage.send_modify(|usage| usage.room.in_use = 0);
    stage.ready.send_modify(|ready| ready.draining = true);
    assert_eq!(
        stage.post("/v1/tasks", &json!({"kind": "noop"})).await.body["code"],
        "shutting_down"
    );
}

/// The store leads nowhere, so an answer at all shows that it is not asked.
#[tokio::test]
async fn a_process_without_etcd_lives_and_is_not_ready_and_says_why() {
    let stage = closed();
    let heard = stage.get("/livez").await;
    assert_eq!(
        (heard.status, heard.body),
        (
            StatusCode::OK,
            json!({"instance": "0192f0c1", "node": "n1"})
        )
    );

    let heard = stage.get("/readyz?verbose").await;
    assert_eq!(heard.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        heard.body["checks"][0],
        json!({"name": "etcd", "ok": false, "detail": "starting"})
    );
    let checks = heard.body["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| &check["name"]).collect();
    assert_eq!(names, ["etcd", "session", "links", "draining"]);

    let good = || Ok("good".to_owned());
    let all = Readiness {
        etcd: good(),
        session: good(),
        links: "none".to_owned(),
        draining: false,
    };
    stage.ready.send_replace(all.clone());
    let heard = stage.get("/readyz").await;
    assert_eq!(
        (heard.status, heard.body),
        (StatusCode::OK, json!({"checks": []}))
    );
    stage.ready.send_replace(Readiness {
        draining: true,
        ..all
    });
    assert_eq!(
        stage.get("/readyz").await.body["checks"][0]["name"],
        "draining"
    );

    let heard = stage.get("/version").await;
    assert_eq!(
        (&heard.body["node"], &heard.body["payload_limit"]),
        (&json!("n1"), &json!(262_144))
    );
    assert_eq!(stage.get("/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_keeps_its_name_or_gets_one() {
    let stage = closed();
    let named = |id: &'static str| {
        Request::get("/livez")
            .header("x-request-id", id)
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(
        stage.send(named("abc-1")).await.headers["x-request-id"],
        "abc-1"
    );
    let (first, second) = (stage.send(named("a b")).await, stage.get("/livez").await);
    assert_ne!(first.headers["x-request-id"], "a b");
    assert_ne!(
        first.headers["x-request-id"],
        second.headers["x-request-id"]
    );
}

#[tokio::test]
async fn submits_over_the_budget_of_bytes_are_told_to_come_again_and_nothing_is_sent() {
    let stage = closed();
    let body = json!({"kind": "noop"}).to_string();
    let left = body.len();
    let held = stage
        .submitter
        .space(IN_FLIGHT_BYTES_MAX - left + 1)
        .unwrap();
    let length = left.to_string();
    for path in ["/v1/tasks", "/v1/tasks/batch"] {
        let headers = [("content-length", length.as_str())];
        let heard = stage.post_with(path, &headers, body.clone()).await;
        assert_eq!(
            (heard.status, &heard.body["code"]),
            (StatusCode::TOO_MANY_REQUESTS, &json!("busy")),
            "{path}"
        );
        assert_eq!(heard.headers["retry-after"], "1");
        assert_eq!(stage.store.connection().seen_revision(), 0);
    }
    drop(held);

    // At the bound it is read: a fault in it is found.
    let held = stage.submitter.space(IN_FLIGHT_BYTES_MAX - left).unwrap();
    let headers = [("content-length", length.as_str())];
    let faulty = body.replace("noop", "no p");
    let heard = stage.post_with("/v1/tasks", &headers, faulty).await;
    assert_eq!(heard.status, StatusCode::UNPROCESSABLE_ENTITY);
    // A good one takes what it weighs beside, too.
    let heard = stage.post_with("/v1/tasks", &headers, body).await;
    assert_eq!(heard.status, StatusCode::TOO_MANY_REQUESTS);
    drop(held);
    let batch = json!({"tasks": [{"kind": "noop"}]}).to_string();
    let length = batch.len().to_string();
    let headers = [("content-length", length.as_str())];
    let _held = stage
        .submitter
        .space(IN_FLIGHT_BYTES_MAX - batch.len())
        .unwrap();
    let heard = stage.post_with("/v1/tasks/batch", &headers, batch).await;
    assert_eq!(heard.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_body_that_is_announced_and_does_not_come_takes_nothing_from_others() {
    let stage = closed();
    let length = (1 << 20).to_string();
    let never = Body::from_stream(futures::stream::pending::<
        Result<bytes::Bytes, std::io::Error>,
    >());
    let request = Request::post("/v1/tasks/batch")
        .header("content-type", "application/json")
        .header("content-length", length)
        .body(never)
        .unwrap();
    let mut submit = Box::pin(stage.send(request));
    assert!(futures::poll!(&mut submit).is_pending());

    assert!(stage.submitter.space(IN_FLIGHT_BYTES_MAX).is_ok());
}

#[tokio::test]
async fn a_submit_whose_caller_went_away_keeps_its_space_until_it_is_answered() {
    let (stage, coalescer, ..) = stage(NOWHERE, &[]);
    let body = json!({"kind": "noop"});
    let mut submit = Box::pin(stage.post("/v1/tasks", &body));
    assert!(futures::poll!(&mut submit).is_pending());

    drop(submit);

    assert!(stage.submitter.space(IN_FLIGHT_BYTES_MAX).is_err());
    drop(coalescer);
    assert!(stage.submitter.space(IN_FLIGHT_BYTES_MAX).is_ok());
}
