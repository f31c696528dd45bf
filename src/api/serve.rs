//! Puts the rooms behind one router, and serves it until it is told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::connections::Connections;
use super::holds::{locks, semaphores};
use super::schedules::{self, fires, list};
use super::state::{Door, Room, WAITS_MAX};
use super::{
    breakers, cluster, debug, drains, failovers, front, health, limits, openapi, routes, submit,
    tasks,
};
use crate::vitals::{Of, Vitals};

/// 5 s: what is not answered by then after the end was asked for is cut off.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The whole API.
///
/// # Panics
/// Never: its description has string keys, so it encodes.
pub fn router(door: Door) -> Router {
    fronted(routed(), door)
}

/// Every route there is; a row of [`super::routes::TABLE`] opens each.
pub(super) fn routed() -> OpenApiRouter<Arc<Room>> {
    OpenApiRouter::with_openapi(openapi::begun())
        .routes(routes!(submit::one, tasks::list))
        .routes(routes!(submit::batch))
        .routes(routes!(tasks::get))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::retry))
        .routes(routes!(cluster::leader))
        .routes(routes!(cluster::history))
        .routes(routes!(cluster::resign))
        .routes(routes!(failovers::list))
        .routes(routes!(failovers::get))
        .routes(routes!(cluster::nodes))
        .routes(routes!(cluster::node))
        .routes(routes!(cluster::queues))
        .routes(routes!(cluster::stats))
        .routes(routes!(locks::lock_list))
        .routes(routes!(locks::lock_get))
        .routes(routes!(locks::lock_ask))
        .routes(routes!(locks::lock_look, locks::lock_end))
        .routes(routes!(locks::lock_renew))
        .routes(routes!(locks::lock_force))
        .routes(routes!(semaphores::semaphore_list))
        .routes(routes!(
            semaphores::semaphore_get,
            limits::set_semaphore,
            limits::drop_semaphore
        ))
        .routes(routes!(semaphores::semaphore_ask))
        .routes(routes!(
            semaphores::semaphore_look,
            semaphores::semaphore_end
        ))
        .routes(routes!(semaphores::semaphore_renew))
        .routes(routes!(semaphores::semaphore_force))
        .routes(routes!(limits::queue_rules, limits::set_queue_rules))
        .routes(routes!(limits::pause))
        .routes(routes!(limits::resume))
        .routes(routes!(list::list))
        .routes(routes!(fires::preview))
        .routes(routes!(schedules::get, schedules::set, schedules::delete))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(fires::trigger))
        .routes(routes!(fires::backfill))
        .routes(routes!(fires::history))
        .routes(routes!(fires::next))
        .routes(routes!(drains::drain))
        .routes(routes!(drains::undrain))
        .routes(routes!(breakers::list))
        .routes(routes!(breakers::reset))
        .routes(routes!(debug::state))
        .routes(routes!(debug::etcd))
        .routes(routes!(health::openapi))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::version))
        .routes(routes!(health::metrics))
}

/// Routes behind what every request passes.
pub(super) fn fronted(mounted: OpenApiRouter<Arc<Room>>, door: Door) -> Router {
    let (router, api) = mounted.split_for_parts();
    let api = openapi::finished(api);
    let api = serde_json::to_vec(&api).expect("a description encodes");
    let room = Room::new(door, routes::TABLE, api.into());
    let waits = Arc::clone(&room.waits);
    let waiting = move || WAITS_MAX - waits.available_permits().min(WAITS_MAX);
    let vitals = room.door.store.vitals();
    vitals.watch(Of::TaskWaiters, Some(WAITS_MAX), waiting);
    behind(router, room)
}

/// Routes behind what every request passes, in a room whose table opens them.
pub(super) fn behind(router: Router<Arc<Room>>, room: Room) -> Router {
    let room = Arc::new(room);
    router
        .layer(from_fn_with_state(Arc::clone(&room), front::front))
        .with_state(room)
}

/// Serves until told to stop; then open requests are finished, for a moment. Dropping it breaks every connection. How many there are is
/// watched.
///
/// # Errors
/// The listener fails.
pub fn serve(
    listener: TcpListener,
    router: Router,
    vitals: &Vitals,
    shutdown: CancellationToken,
) -> impl Future<Output = io::Result<()>> + Send + use<> {
    let connections = Connections::new(listener, router).watched(vitals);
    served(connections, shutdown)
}

/// The same for the few who look into a node: what they open is not counted among the API's.
///
/// # Errors
/// The listener fails.
pub fn serve_debug(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> impl Future<Output = io::Result<()>> + Send + use<> {
    served(Connections::few(listener, router), shutdown)
}

async fn served(connections: Connections, shutdown: CancellationToken) -> io::Result<()> {
    tokio::select! {
        served = connections.serve(shutdown.clone()) => served,
        () = async { shutdown.cancelled().await; tokio::time::sleep(CLOSE_WITHIN).await } => {
            tracing::warn!("requests were still open after {CLOSE_WITHIN:?}, closing them");
            Ok(())
        }
    }
}
