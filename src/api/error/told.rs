//! A problem as an answer: its status, the headers that go with it, and its body for `front`; decides nothing.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::ApiError;
use crate::api::answer::REVISION;
use crate::api::wire::Problem;

impl ApiError {
    fn problem(&self) -> Problem {
        let (status, code, title) = self.told();
        Problem {
            kind: format!("/problems/{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: Some(self.to_string()),
            instance: None,
            code: code.to_owned(),
            errors: self.faults(),
        }
    }
}

/// The body is left to `super::front`, which knows the request.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.told().0.into_response();
        if let Some(seconds) = self.retry_after() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::Unauthorized { .. } = self {
            let scheme = HeaderValue::from_static("Bearer realm=\"tenure\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Self::NoLeader { revision } = self {
            response
                .headers_mut()
                .insert(REVISION, HeaderValue::from(revision));
        }
        response.extensions_mut().insert(self.problem());
        response
    }
}
