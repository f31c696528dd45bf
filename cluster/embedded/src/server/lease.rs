//! etcd's service `Lease`.

use std::sync::Arc;

use etcd_client::proto::{
    PbLeaseGrantRequest, PbLeaseGrantResponse, PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse,
    PbLeaseLeasesRequest, PbLeaseLeasesResponse, PbLeaseRevokeRequest, PbLeaseRevokeResponse,
    PbLeaseService, PbLeaseTimeToLiveRequest, PbLeaseTimeToLiveResponse,
};
use futures::StreamExt;
use futures::stream::{BoxStream, unfold};
use tonic::{Request, Response, Status, Streaming};

use super::core::Core;
use super::status::stopped;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Lease(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl PbLeaseService for Lease {
    type LeaseKeepAliveStream = BoxStream<'static, Result<PbLeaseKeepAliveResponse, Status>>;

    async fn lease_grant(
        &self,
        request: Request<PbLeaseGrantRequest>,
    ) -> Result<Response<PbLeaseGrantResponse>, Status> {
        let request = request.into_inner();
        let answer = self.0.apply(|engine, now| engine.grant(now, &request));
        answer.await.map(Response::new)
    }

    async fn lease_revoke(
        &self,
        request: Request<PbLeaseRevokeRequest>,
    ) -> Result<Response<PbLeaseRevokeResponse>, Status> {
        let id = request.into_inner().id;
        let answer = self.0.apply(|engine, _| engine.revoke(id));
        answer.await.map(Response::new)
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let stream = KeepAlive {
            core: Arc::clone(&self.0),
            generation: self.0.gate.generation()?,
            requests: request.into_inner(),
        };
        let answers = unfold(Some(stream), |stream| async {
            let mut stream = stream?;
            match stream.next().await {
                Ok(Some(answer)) => Some((Ok(answer), Some(stream))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<PbLeaseTimeToLiveRequest>,
    ) -> Result<Response<PbLeaseTimeToLiveResponse>, Status> {
        let request = request.into_inner();
        let answer = self
            .0
            .apply(|engine, now| Ok(engine.time_to_live(now, &request)));
        answer.await.map(Response::new)
    }

    async fn lease_leases(
        &self,
        _: Request<PbLeaseLeasesRequest>,
    ) -> Result<Response<PbLeaseLeasesResponse>, Status> {
        let answer = self.0.apply(|engine, _| Ok(engine.leases()));
        answer.await.map(Response::new)
    }
}

/// One stream of renewals. It is polled by whoever reads its answers: nothing is buffered.
struct KeepAlive {
    core: Arc<Core>,
    generation: u64,
    requests: Streaming<PbLeaseKeepAliveRequest>,
}

impl KeepAlive {
    async fn next(&mut self) -> Result<Option<PbLeaseKeepAliveResponse>, Status> {
        let id = loop {
            let changed = self.core.gate.changed();
            if !self.core.gate.goes_on(self.generation) {
                return Err(stopped());
            }
            tokio::select! {
                biased;
                request = self.requests.message() => match request? {
                    Some(request) => break request.id,
                    None => return Ok(None),
                },
                () = changed => {}
            }
        };
        self.core.keep_alive(id).await.map(Some)
    }
}
