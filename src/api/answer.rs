//! Answers that went well: JSON with the revision it is true at, in the body and in a header.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The header with the revision of etcd that an answer is true at.
pub(super) const REVISION: HeaderName = HeaderName::from_static("tenure-revision");
/// The header of an answer that repeats an earlier one, by its idempotency key.
pub(super) const REPLAY: HeaderName = HeaderName::from_static("tenure-idempotent-replay");

/// A body and what goes around it.
pub(super) struct Answer<T> {
    status: StatusCode,
    revision: Option<i64>,
    location: Option<HeaderValue>,
    version: Option<i64>,
    replay: bool,
    body: T,
}

impl<T: Serialize> Answer<T> {
    /// 200, true at this revision.
    pub(super) fn at(revision: i64, body: T) -> Self {
        Self {
            status: StatusCode::OK,
            revision: Some(revision),
            location: None,
            version: None,
            replay: false,
            body,
        }
    }

    /// What no revision belongs to.
    pub(super) fn plain(status: StatusCode, body: T) -> Self {
        Self {
            status,
            revision: None,
            location: None,
            version: None,
            replay: false,
            body,
        }
    }

    /// 202: begun, not done.
    pub(super) fn accepted(self) -> Self {
        Self {
            status: StatusCode::ACCEPTED,
            ..self
        }
    }

    /// 201, or 200 with a mark where it repeats an earlier answer.
    pub(super) fn created(self, repeated: bool) -> Self {
        let status = if repeated {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        Self {
            status,
            replay: repeated,
            ..self
        }
    }

    /// What `If-Match` takes for it.
    pub(super) fn version(self, version: i64) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }

    /// Where to look at it.
    pub(super) fn location(self, path: &str) -> Self {
        Self {
            location: HeaderValue::from_str(path).ok(),
            ..self
        }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self.body).expect("wire types have string keys");
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(revision) = self.revision {
            headers.insert(REVISION, HeaderValue::from(revision));
        }
        if let Some(location) = self.location {
            headers.insert(header::LOCATION, location);
        }
        if let Some(version) = self.version {
            let tag = HeaderValue::from_str(&format!("\"{version}\""));
            headers.insert(
                header::ETAG,
                tag.expect("digits and quotes are visible ASCII"),
            );
        }
        if self.replay {
            headers.insert(REPLAY, HeaderValue::from_static("true"));
        }
        response
    }
}
