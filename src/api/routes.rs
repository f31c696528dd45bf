//! Every route and the role it asks for: the one place where that is said.

use axum::http::Method;

use super::auth::Need;
use crate::config::Role;

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) need: Need,
    /// Whether its requests are logged: not those that supervisors send all day.
    pub(super) logged: bool,
}

const fn open(path: &'static str) -> Route {
    Route {
        method: "GET",
        path,
        need: Need::Open,
        logged: false,
    }
}

const fn read(path: &'static str) -> Route {
    Route {
        method: "GET",
        path,
        need: Need::Role(Role::Read),
        logged: true,
    }
}

const fn post(path: &'static str, role: Role) -> Route {
    Route {
        method: "POST",
        path,
        need: Need::Role(role),
        logged: true,
    }
}

/// All routes; the busiest first, for they are searched in order.
pub(super) const TABLE: &[Route] = &[
    post("/v1/tasks", Role::Submit),
    read("/v1/tasks/{id}"),
    post("/v1/tasks/batch", Role::Submit),
    read("/v1/tasks"),
    post("/v1/tasks/{id}/cancel", Role::Submit),
    post("/v1/tasks/{id}/retry", Role::Admin),
    read("/v1/leader"),
    read("/v1/leader/history"),
    post("/v1/leader/resign", Role::Admin),
    read("/v1/nodes"),
    read("/v1/nodes/{id}"),
    read("/v1/queues"),
    read("/v1/stats"),
    open("/v1/openapi.json"),
    open("/livez"),
    open("/readyz"),
    open("/version"),
    Route {
        method: "GET",
        path: "/metrics",
        need: Need::Role(Role::Read),
        logged: false,
    },
];

/// The route that a request takes; none where the path is not known or takes other methods.
pub(super) fn find(method: &Method, path: &str) -> Option<&'static Route> {
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    TABLE
        .iter()
        .find(|route| route.path == path && route.method == method)
}
