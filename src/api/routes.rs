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
    pub(super) log: Log,
}

/// Which requests of a route are worth a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// None: supervisors send them all day.
    Nothing,
    /// Those that went wrong on our side.
    Faults,
    /// Those, and each that was done: people act rarely.
    Acts,
}

const fn open(path: &'static str) -> Route {
    Route {
        method: "GET",
        path,
        need: Need::Open,
        log: Log::Nothing,
    }
}

const fn read(path: &'static str) -> Route {
    Route {
        method: "GET",
        path,
        need: Need::Role(Role::Read),
        log: Log::Faults,
    }
}

const fn submit(path: &'static str) -> Route {
    Route {
        method: "POST",
        path,
        need: Need::Role(Role::Submit),
        log: Log::Faults,
    }
}

const fn act(path: &'static str, role: Role) -> Route {
    Route {
        method: "POST",
        path,
        need: Need::Role(role),
        log: Log::Acts,
    }
}

const fn end(path: &'static str) -> Route {
    Route {
        method: "DELETE",
        path,
        need: Need::Role(Role::Submit),
        log: Log::Faults,
    }
}

const fn edit(method: &'static str, path: &'static str) -> Route {
    Route {
        method,
        path,
        need: Need::Role(Role::Admin),
        log: Log::Acts,
    }
}

/// Shows what only who mends a node needs; each look is worth a line.
const fn look(path: &'static str) -> Route {
    edit("GET", path)
}

/// All routes; the busiest first, for they are searched in order.
pub(super) const TABLE: &[Route] = &[
    submit("/v1/tasks"),
    read("/v1/tasks/{id}"),
    submit("/v1/tasks/batch"),
    read("/v1/tasks"),
    act("/v1/tasks/{id}/cancel", Role::Submit),
    act("/v1/tasks/{id}/retry", Role::Admin),
    read("/v1/leader"),
    read("/v1/leader/history"),
    act("/v1/leader/resign", Role::Admin),
    read("/v1/failovers"),
    read("/v1/failovers/{id}"),
    read("/v1/nodes"),
    read("/v1/nodes/{id}"),
    act("/v1/nodes/{id}/drain", Role::Admin),
    act("/v1/nodes/{id}/undrain", Role::Admin),
    read("/v1/queues"),
    read("/v1/stats"),
    read("/v1/locks"),
    read("/v1/locks/{name}"),
    submit("/v1/locks/{name}/holds"),
    read("/v1/locks/{name}/holds/{id}"),
    submit("/v1/locks/{name}/holds/{id}/renew"),
    end("/v1/locks/{name}/holds/{id}"),
    act("/v1/locks/{name}/release", Role::Admin),
    read("/v1/semaphores"),
    read("/v1/semaphores/{name}"),
    submit("/v1/semaphores/{name}/holds"),
    read("/v1/semaphores/{name}/holds/{id}"),
    submit("/v1/semaphores/{name}/holds/{id}/renew"),
    end("/v1/semaphores/{name}/holds/{id}"),
    act("/v1/semaphores/{name}/release", Role::Admin),
    edit("PUT", "/v1/semaphores/{name}"),
    edit("DELETE", "/v1/semaphores/{name}"),
    read("/v1/queues/{name}/rules"),
    edit("PUT", "/v1/queues/{name}/rules"),
    act("/v1/queues/{name}/pause", Role::Admin),
    act("/v1/queues/{name}/resume", Role::Admin),
    read("/v1/schedules"),
    Route {
        method: "POST",
        ..read("/v1/schedules/preview")
    },
    read("/v1/schedules/{name}"),
    edit("PUT", "/v1/schedules/{name}"),
    edit("DELETE", "/v1/schedules/{name}"),
    act("/v1/schedules/{name}/pause", Role::Admin),
    act("/v1/schedules/{name}/resume", Role::Admin),
    act("/v1/schedules/{name}/trigger", Role::Submit),
    act("/v1/schedules/{name}/backfill", Role::Submit),
    read("/v1/schedules/{name}/history"),
    read("/v1/schedules/{name}/next"),
    read("/v1/breakers"),
    act("/v1/breakers/reset", Role::Admin),
    look("/v1/debug/state"),
    look("/v1/debug/etcd"),
    open("/v1/openapi.json"),
    open("/livez"),
    open("/readyz"),
    open("/version"),
    Route {
        method: "GET",
        path: "/metrics",
        need: Need::Role(Role::Read),
        log: Log::Nothing,
    },
];

/// All routes of the debug listener.
pub(super) const DEBUG: &[Route] = &[
    look("/debug/state"),
    look("/debug/runtime"),
    look("/debug/profile/cpu"),
    look("/debug/profile/heap"),
];

/// The methods that a path takes, as the header Allow has them; empty where the path is not in the table.
pub(super) fn methods(table: &[Route], path: &str) -> String {
    let of_path = table.iter().filter(|route| route.path == path);
    let words = of_path.map(|route| match route.method {
        "GET" => "GET,HEAD",
        other => other,
    });
    words.collect::<Vec<_>>().join(",")
}

/// The route that a request takes; none where the path is not known or takes other methods: then it is refused.
pub(super) fn find(table: &'static [Route], method: &Method, path: &str) -> Option<&'static Route> {
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    table
        .iter()
        .find(|route| route.path == path && route.method == method)
}
