//! What is asked again, and what is not.

use super::*;
use crate::load::fake::{Asked, Fake, Told};
use reqwest::Method;
use serde_json::json;

/// An API that says these one after another, the last of them from then on.
async fn says(told: &'static [(u16, &'static str)]) -> (Fake, Client) {
    let fake = Fake::start(|_: &Asked, before| {
        let (status, code) = told[before.min(told.len() - 1)];
        Told::Says(status, json!({ "code": code, "ids": ["t"] }))
    })
    .await;
    let client = Client::new(vec![fake.base.clone()], "token").unwrap();
    (fake, client)
}

#[tokio::test]
async fn a_submit_for_which_there_is_no_room_now_is_made_again() {
    let (fake, client) = says(&[(429, "busy"), (200, "")]).await;

    let ids = client.submit(&[json!({})], "key").await.unwrap();

    assert_eq!(ids, ["t"]);
    assert_eq!(fake.asked("POST", "/").len(), 2);
}

#[tokio::test]
async fn a_submit_that_is_refused_for_ever_is_not_made_again() {
    let (fake, client) = says(&[(422, "invalid_request")]).await;

    let error = client.submit(&[json!({})], "key").await.unwrap_err();

    assert!(error.to_string().contains("invalid_request"), "{error}");
    assert_eq!(fake.asked("POST", "/").len(), 1);
}

#[tokio::test]
async fn what_is_to_be_done_is_asked_for_until_it_is_or_never_can_be() {
    let (fake, client) = says(&[(503, "no_leader"), (409, "wrong_state"), (200, "")]).await;
    client.until_done(Method::PUT, "/a", None).await.unwrap();
    assert_eq!(fake.asked("PUT", "/a").len(), 3);

    let (fake, client) = says(&[(403, "forbidden")]).await;
    let error = client.until_done(Method::PUT, "/a", None).await;
    let told = error.unwrap_err().to_string();
    assert_eq!(told, "PUT /a is refused: 403 forbidden");
    assert_eq!(fake.asked("PUT", "/a").len(), 1);
}

#[tokio::test]
async fn what_is_not_there_need_not_be_taken_away_and_cannot_be_changed() {
    let (fake, client) = says(&[(404, "not_found"), (200, "")]).await;

    client.until_done(Method::DELETE, "/a", None).await.unwrap();
    client.until_done(Method::PUT, "/a", None).await.unwrap();

    assert_eq!(fake.asked("DELETE", "/a").len(), 1);
    assert_eq!(fake.asked("PUT", "/a").len(), 2);
}
