use super::*;

const RESIGN: &str = "/v1/leader/resign";

/// A request without a body, as a page can send it to any address.
fn from_page(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Body::empty()).unwrap()
}

fn is_foreign(heard: &Heard) -> bool {
    let foreign = heard.body["code"] == "foreign_origin";
    assert_eq!(foreign, heard.status == StatusCode::FORBIDDEN);
    foreign
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_where_there_are_no_tokens() {
    let stage = closed();
    let host = ("host", "127.0.0.1:8700");
    for (header, ours) in [
        (("sec-fetch-site", "cross-site"), false),
        (("sec-fetch-site", "same-site"), false),
        (("sec-fetch-site", "same-origin"), true),
        (("sec-fetch-site", "none"), true),
        (("origin", "null"), false),
        (("origin", "http://evil.example"), false),
        (("origin", "http://127.0.0.1:3000"), false),
        (("origin", "http://127.0.0.1:8700"), true),
        (("accept", "*/*"), true),
    ] {
        for path in [RESIGN, "/v1/tasks/not-an-id/cancel"] {
            let heard = stage.send(from_page("POST", path, &[host, header])).await;
            assert_eq!(is_foreign(&heard), !ours, "{header:?}: {}", heard.body);
        }
    }
}

#[tokio::test]
async fn a_name_that_is_not_this_node_neither_writes_nor_reads_where_there_are_no_tokens() {
    let stage = closed();
    for (host, ours) in [
        ("127.0.0.1:8700", true),
        ("127.9.9.9", true),
        ("[::1]:8700", true),
        ("LOCALHOST:1", true),
        ("evil.example:8700", false),
        ("localhost.evil.example", false),
        ("192.0.2.1:8700", false),
        ("", false),
    ] {
        for (method, path) in [("POST", RESIGN), ("GET", "/v1/tasks/not-an-id")] {
            let heard = stage.send(from_page(method, path, &[("host", host)])).await;
            assert_eq!(is_foreign(&heard), !ours, "{host} {path}: {}", heard.body);
        }
        let heard = stage
            .send(from_page("GET", "/livez", &[("host", host)]))
            .await;
        assert_eq!(heard.status, StatusCode::OK, "{host}");
    }
    let heard = stage
        .send(from_page("POST", RESIGN, &[("host", "evil.example")]))
        .await;
    let said = heard.body["detail"].as_str().unwrap();
    assert!(
        said.contains("Host is `evil.example`") && said.contains("TENURE_TOKEN"),
        "{said}"
    );
}

#[tokio::test]
async fn with_tokens_the_token_decides() {
    let token = "admin-0123456789a";
    let stage = stage(NOWHERE, &[(Role::Admin, token)]).0;
    let bearer = format!("Bearer {token}");
    let headers = [
        ("host", "tenure.example"),
        ("sec-fetch-site", "cross-site"),
        ("authorization", bearer.as_str()),
    ];
    let heard = stage
        .send(from_page("POST", "/v1/tasks/not-an-id/cancel", &headers))
        .await;
    assert_eq!(heard.body["code"], "invalid_parameter");
}
