//! What every request passes: a name, its token, its origin, a net for panics; and every answer: the problem's text, metrics, one log line
//! where it is worth one.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::time::Instant;

use super::auth::Need;
use super::error::ApiError;
use super::routes::{self, Log, Route};
use super::state::Room;
use super::wire::{PROBLEM_MEDIA_TYPE, Problem};
use crate::metrics;

/// The header that names a request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// 128 characters of a request's name are taken over from the caller; longer ones are replaced.
const REQUEST_ID_CHARS_MAX: usize = 128;

pub(super) async fn front(State(room): State<Arc<Room>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let id = named(&room, request.headers().get(REQUEST_ID));
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let matched = matched.as_ref();
    let route = matched.and_then(|path| routes::find(room.table, &method, path.as_str()));

    let mut response = match route.map(|route| admit(&room, route.need, &request)) {
        Some(Ok(())) => AssertUnwindSafe(next.run(request))
            .catch_unwind()
            .await
            .unwrap_or_else(panicked),
        Some(Err(refused)) => refused.into_response(),
        // What the table does not name is as if it were not there, whatever is mounted.
        None => absent(room.table, matched.map_or("", MatchedPath::as_str)),
    };

    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        write(&mut response, problem, uri.path());
    }
    told(&method, route, uri.path(), &id, response.status(), started);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn admit(room: &Room, need: Need, request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    room.tokens.admit(need, headers)?;
    room.ours
        .admit(need, (request.method(), request.uri(), headers))
}

/// The answer to what is in no row of the table: the path's methods where there are some, else that there is nothing.
fn absent(table: &[Route], path: &str) -> Response {
    let methods = routes::methods(table, path);
    if methods.is_empty() {
        return ApiError::NoRoute.into_response();
    }
    let mut response = ApiError::Method.into_response();
    let methods = HeaderValue::try_from(methods).expect("methods are visible ASCII");
    response.headers_mut().insert(header::ALLOW, methods);
    response
}

fn named(room: &Room, given: Option<&HeaderValue>) -> HeaderValue {
    let good = |id: &&HeaderValue| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    given
        .filter(good)
        .cloned()
        .unwrap_or_else(|| room.request_ids.next())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that unwrap_or_else hands over"
)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(said = said.unwrap_or("nothing"), "a request panicked");
    ApiError::Panicked.into_response()
}

fn write(response: &mut Response, mut problem: Problem, path: &str) {
    problem.instance = Some(path.to_owned());
    let json = serde_json::to_vec(&problem).expect("a problem has string keys");
    let length = json.len();
    *response.body_mut() = Body::from(json);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(PROBLEM_MEDIA_TYPE),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
}

/// Metrics of every request; a log line as its route has it.
fn told(
    method: &Method,
    route: Option<&'static Route>,
    path: &str,
    id: &HeaderValue,
    status: StatusCode,
    started: Instant,
) {
    let took = started.elapsed();
    let word = route.map_or("other", |route| route.method);
    metrics::http_request(
        word,
        route.map_or("unmatched", |route| route.path),
        digits(status),
        took,
    );
    let log = route.map_or(Log::Faults, |route| route.log);
    if log == Log::Nothing {
        return;
    }
    let (id, status) = (id.to_str().unwrap_or_default(), status.as_u16());
    let took_ms = took.as_secs_f64() * 1e3;
    if status >= 500 {
        tracing::warn!(%method, path, status, took_ms, request_id = id, "request failed");
    } else if log == Log::Acts && status < 300 {
        tracing::info!(%method, path, status, took_ms, request_id = id, "request");
    } else {
        tracing::debug!(%method, path, status, took_ms, request_id = id, "request");
    }
}

/// The status as a label: those that we answer with, each once.
fn digits(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        201 => "201",
        202 => "202",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        409 => "409",
        410 => "410",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        500 => "500",
        501 => "501",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}
