//! All services as one, called with HTTP requests, with no socket in between.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use etcd_client::Channel;
use etcd_client::proto::{
    PbClusterServer, PbKvServer, PbLeaseServer, PbMaintenanceServer, PbWatchServer,
};
use futures::TryFutureExt as _;
use tonic::body::Body;
use tonic::service::Routes;
use tower::BoxError;
use tower::util::BoxCloneSyncService;

use crate::options::Options;
use crate::server::{Core, Kv, Lease, Maintenance, Members, Watches};

/// 2 MiB, how large a request may be to be read at all: etcd's maximum of 1.5 MiB and what it allows for
/// the envelope.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// The server as a tower service, to be wrapped by whoever wants to delay, drop or repeat what passes.
#[derive(Debug, Clone)]
pub struct Service(Routes);

impl Service {
    pub(crate) fn new(core: &Arc<Core>, options: &Options) -> Self {
        let core = || Arc::clone(core);
        let watches = Watches {
            core: core(),
            progress_every: options.progress_every,
        };
        let kv = PbKvServer::new(Kv(core())).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let routes = Routes::new(kv)
            .add_service(PbWatchServer::new(watches))
            .add_service(PbLeaseServer::new(Lease(core())))
            .add_service(PbMaintenanceServer::new(Maintenance(core())))
            .add_service(PbClusterServer::new(Members(core())));
        Self(routes.prepare())
    }

    /// The channel that a client is made from.
    pub fn channel(&self) -> Channel {
        Channel::Custom(BoxCloneSyncService::new(self.clone()))
    }

    pub(crate) fn into_routes(self) -> Routes {
        self.0
    }
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = futures::future::MapErr<
        <Routes as tower::Service<http::Request<Body>>>::Future,
        fn(Infallible) -> BoxError,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        tower::Service::<http::Request<Body>>::poll_ready(&mut self.0, cx).map_err(from_never)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(request).map_err(from_never)
    }
}

fn from_never(never: Infallible) -> BoxError {
    match never {}
}
