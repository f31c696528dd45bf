//! Requests to a small server on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::any;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::task::{Fired, Outcome};
use crate::worker::kinds::tests::{SOON, raw, run_of};
use crate::worker::kinds::{Health, Kinds};

/// A server that ends with the test.
struct Server {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

async fn echo(method: Method, headers: HeaderMap, body: String) -> String {
    let mut lines = vec![format!("{method} {body}")];
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())),
    );
    lines.join("\n")
}

async fn redirect_to(Path((code, to)): Path<(u16, String)>) -> impl IntoResponse {
    (StatusCode::from_u16(code).unwrap(), [("location", to)])
}

async fn loop_for_ever(Path(round): Path<u64>) -> impl IntoResponse {
    (
        StatusCode::FOUND,
        [("location", format!("/loop/{}", round + 1))],
    )
}

async fn serve() -> Server {
    let router = Router::new()
        .route("/echo", any(echo))
        .route(
            "/status/{code}",
            any(async |Path(code): Path<u16>| (StatusCode::from_u16(code).unwrap(), "because")),
        )
        .route("/to/{code}/{*to}", any(redirect_to))
        .route("/loop/{round}", any(loop_for_ever))
        .route("/large", any(async || "x".repeat(3_000_000) + "end"))
        .route("/never", any(std::future::pending::<()>));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server {
        address,
        _serving: serving,
    }
}

impl Server {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn named(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.address.port())
    }
}

fn reaching(ranges: &[&str]) -> HttpOptions {
    let ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
    HttpOptions {
        reach: Reach::PublicAnd(ranges),
        ..HttpOptions::default()
    }
}

fn kinds(options: HttpOptions) -> Kinds {
    Kinds::builder().http(options).build().unwrap()
}

async fn ask(options: HttpOptions, payload: Value) -> Ended {
    kinds(options).run(run_of(NAME, &payload)).await
}

async fn ask_loopback(payload: Value) -> Ended {
    ask(reaching(&["127.0.0.0/8"]), payload).await
}

fn body(ended: &Ended) -> &str {
    &ended.output.as_ref().unwrap().stdout
}

#[tokio::test]
async fn a_request_carries_what_was_asked_and_the_run_s_identity() {
    let server = serve().await;

    let ended = ask_loopback(json!({
        "method": "PUT",
        "url": server.url("/echo"),
        "headers": {"X-Colour": "blue"},
        "body": "hello",
    }))
    .await;

    let said: Vec<&str> = body(&ended).lines().collect();
    let task = "01920000-0000-7000-8000-000000000001";
    assert_eq!((ended.outcome, said[0]), (Outcome::Succeeded, "PUT hello"));
    for header in [
        "x-colour: blue",
        &format!("idempotency-key: {task}"),
        &format!("tenure-task-id: {task}"),
        "tenure-attempt: 2",
        "tenure-fence: 4711",
    ] {
        assert!(said.contains(&header), "{header} is not in {said:?}");
    }
    assert_eq!(ended.output.unwrap().code, Some(200));
}

#[tokio::test]
async fn what_a_schedule_made_says_so_and_for_which_due_time() {
    let server = serve().await;
    let fired = Fired {
        schedule: "nightly".parse().unwrap(),
        due_ms: 1_700_000_000_000,
    };
    let run = Run {
        fired: Some(fired),
        ..run_of(NAME, &json!({"url": server.url("/echo")}))
    };

    let ended = kinds(reaching(&["127.0.0.0/8"])).run(run).await;

    let said: Vec<&str> = body(&ended).lines().collect();
    for header in [
        "tenure-schedule: nightly",
        "tenure-due-at: 2023-11-14T22:13:20.000Z",
    ] {
        assert!(said.contains(&header), "{header} is not in {said:?}");
    }
}

#[tokio::test]
async fn the_status_decides() {
    let server = serve().await;
    let status = |code: u16, expected: Value| {
        let mut payload = json!({"url": server.url(&format!("/status/{code}"))});
        if !expected.is_null() {
            payload["expect_status"] = expected;
        }
        ask_loopback(payload)
    };

    let created = status(201, json!(null)).await;
    let unavailable = status(503, json!(null)).await;
    let as_expected = status(404, json!([404, 410])).await;
    let not_as_expected = status(200, json!([404, 410])).await;
    let not_followed = status(302, json!([302])).await;

    assert_eq!(created.outcome, Outcome::Succeeded);
    let error = unavailable.error.as_deref();
    assert_eq!(
        error,
        Some("status 503 Service Unavailable, expected 200 to 299")
    );
    assert_eq!(
        (unavailable.outcome, body(&unavailable)),
        (Outcome::Failed, "because")
    );
    assert_eq!(as_expected.outcome, Outcome::Succeeded);
    assert_eq!(
        not_as_expected.error.as_deref(),
        Some("status 200 OK, expected 404, 410")
    );
    assert_eq!(not_followed.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn this_machine_is_refused_by_address_and_by_name_unless_allowed() {
    let server = serve().await;
    let port = server.address.port();
    let public = || HttpOptions::default();

    for host in [
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
    ] {
        let ended = ask(public(), json!({"url": server.named(host, "/echo")})).await;
        let error = ended.error.unwrap();
        assert!(
            error.contains("is refused: ") && error.contains("not allowed"),
            "{host}: {error}"
        );
        assert_eq!(ended.outcome, Outcome::Failed);
    }
    let reaching_all = reaching(&["127.0.0.0/8", "::1/128"]);
    let allowed = ask(
        reaching_all,
        json!({"url": format!("http://localhost:{port}/echo")}),
    )
    .await;
    assert_eq!(allowed.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_redirect_is_followed_only_to_where_a_request_may_go() {
    let server = serve().await;
    let to = |target: &str| {
        let url = server.url(&format!("/to/302/{target}"));
        ask(reaching(&["127.0.0.1/32"]), json!({"url": url}))
    };

    let allowed = to(&server.url("/echo")).await;
    let other_loopback = to(&server.named("127.0.0.2", "/echo")).await;
    let metadata = to("http://169.254.169.254/latest/meta-data").await;
    let file = to("file:///etc/passwd").await;
    let with_user = to(&server.named("user:secret@127.0.0.1", "/echo")).await;
    let looping = ask_loopback(json!({"url": server.url("/loop/0")})).await;

    assert_eq!(allowed.outcome, Outcome::Succeeded);
    assert!(
        other_loopback
            .error
            .unwrap()
            .contains("address 127.0.0.2 is refused: loopback")
    );
    assert!(
        metadata
            .error
            .unwrap()
            .contains("address 169.254.169.254 is refused")
    );
    assert!(file.error.unwrap().contains("neither http nor https"));
    assert!(with_user.error.unwrap().contains("user and password"));
    assert_eq!(looping.error.as_deref(), Some("more than 5 redirects"));
}

#[tokio::test]
async fn a_redirect_to_a_name_of_this_machine_is_refused_when_it_is_resolved() {
    let server = serve().await;
    let target = server.named("localhost", "/echo");
    // The first server is reached under an address that the name does not resolve to.
    let listener = TcpListener::bind("127.0.0.9:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/to/{code}/{*to}", any(redirect_to));
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });

    let url = format!("http://{address}/to/307/{target}");
    let ended = ask(reaching(&["127.0.0.9/32"]), json!({"url": url})).await;

    let error = ended.error.unwrap();
    assert!(error.contains("is refused: loopback"), "{error}");
}

#[tokio::test]
async fn another_origin_is_told_no_secrets() {
    let server = serve().await;
    let send = |code: u16, target: String| {
        let payload = json!({
            "method": "POST",
            "url": server.url(&format!("/to/{code}/{target}")),
            "headers": {"Authorization": "Bearer s", "X-Api-Key": "s", "Accept": "text/plain"},
            "body": "form",
        });
        ask(reaching(&["127.0.0.0/8", "::1/128"]), payload)
    };

    let same = send(307, server.url("/echo")).await;
    let other = send(307, server.named("localhost", "/echo")).await;
    let turned_to_get = send(303, server.url("/echo")).await;

    assert!(body(&same).starts_with("POST form\n"));
    assert!(body(&same).contains("authorization: Bearer s"));
    assert!(body(&other).starts_with("POST form\n"));
    assert!(body(&other).contains("accept: text/plain"));
    assert!(body(&other).contains("tenure-fence: 4711"));
    assert!(!body(&other).contains("Bearer") && !body(&other).contains("x-api-key"));
    assert!(body(&turned_to_get).starts_with("GET \n"));
}

#[test]
fn a_secure_origin_is_not_left_for_an_insecure_one() {
    let asked = Asked::read(&raw(&json!({"url": "https://example.org/"}))).unwrap();

    let refused = follow(
        asked,
        "http://example.org/".parse().unwrap(),
        StatusCode::FOUND,
    );

    assert_eq!(refused.unwrap_err(), "redirect from https to http refused");
}

#[tokio::test]
async fn a_large_answer_is_read_to_its_bound_and_its_tail_kept() {
    let server = serve().await;
    let payload = json!({"url": server.url("/large")});
    let all = HttpOptions {
        body_bytes_max: 4_000_000,
        ..reaching(&["127.0.0.0/8"])
    };

    let whole = ask(all, payload.clone()).await;
    let part = ask_loopback(payload).await;

    assert!(body(&whole).ends_with("xxend"));
    assert_eq!(
        (part.outcome, body(&part)),
        (Outcome::Succeeded, "x".repeat(TAIL_BYTES).as_str())
    );
    assert!(whole.output.unwrap().truncated && part.output.unwrap().truncated);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_by_each_bound() {
    let server = serve().await;
    let kinds = kinds(reaching(&["127.0.0.0/8"]));
    let short = Duration::from_millis(50);
    let run = |timeout_ms: Option<u64>| {
        let mut payload = json!({"url": server.url("/never")});
        if let Some(ms) = timeout_ms {
            payload["timeout_ms"] = json!(ms);
        }
        run_of(NAME, &payload)
    };

    let by_payload = kinds.run(run(Some(50))).await;
    let by_task = kinds
        .run(Run {
            timeout: Some(short),
            ..run(Some(60_000))
        })
        .await;
    let to_cancel = run(None);
    let cancel = to_cancel.cancel.clone();
    let (by_cancel, ()) = tokio::time::timeout(
        SOON,
        futures::future::join(kinds.run(to_cancel), async { cancel.cancel() }),
    )
    .await
    .unwrap();

    assert_eq!(by_payload.outcome, Outcome::Timeout);
    assert_eq!(by_payload.error.as_deref(), Some("timed out after 50ms"));
    assert_eq!(by_task.outcome, Outcome::Timeout);
    assert_eq!(by_cancel.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_connection_that_is_refused_says_so_without_the_url() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();

    let ended = ask_loopback(json!({"url": format!("http://{closed}/?token=secret")})).await;

    let error = ended.error.unwrap();
    assert!(error.contains("Connection refused"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn the_end_says_whether_the_host_did_its_part() {
    use Health::{Ill, Unknown, Well};
    let server = serve().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let to = |target: &str| server.url(&format!("/to/302/{target}"));
    let table = [
        (json!({"url": server.url("/status/200")}), Well),
        (json!({"url": server.url("/status/404")}), Well),
        (json!({"url": server.url("/status/500")}), Ill),
        (json!({"url": server.url("/status/503")}), Ill),
        (json!({"url": server.url("/status/429")}), Ill),
        // The task expects it: no failure of anyone.
        (
            json!({"url": server.url("/status/503"), "expect_status": [503]}),
            Well,
        ),
        (json!({"url": closed}), Ill),
        (json!({"url": server.url("/never"), "timeout_ms": 50}), Ill),
        // This node may not ask it, or does not know how.
        (json!({"url": "http://10.0.0.1/"}), Unknown),
        (json!({"url": "http://[::1]/"}), Unknown),
        (json!({"url": "nonsense"}), Unknown),
        // The host sent us to another, or astray: it answered.
        (json!({"url": to(&closed)}), Well),
        (json!({"url": to("http://10.0.0.1/")}), Well),
        (json!({"url": to("file:///etc/passwd")}), Well),
        (json!({"url": server.url("/loop/0")}), Well),
        (json!({"url": to(&server.url("/status/500"))}), Ill),
    ];
    for (payload, health) in table {
        let ended = ask_loopback(payload.clone()).await;
        assert_eq!(ended.health, health, "{payload}: {:?}", ended.error);
    }
    // Refused where its name is resolved.
    let local = json!({"url": server.named("localhost", "/echo")});
    let refused = ask(HttpOptions::default(), local).await;
    assert_eq!(refused.health, Unknown, "{:?}", refused.error);
}
