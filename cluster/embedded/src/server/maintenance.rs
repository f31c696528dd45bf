//! etcd's service `Maintenance`, as far as clients need it.

use std::sync::Arc;

use etcd_client::proto::{
    PbAlarmRequest, PbAlarmResponse, PbDefragmentRequest, PbDefragmentResponse, PbDowngradeRequest,
    PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse, PbHashRequest, PbHashResponse,
    PbMaintenanceService, PbMoveLeaderRequest, PbMoveLeaderResponse, PbSnapshotRequest,
    PbSnapshotResponse, PbStatusRequest, PbStatusResponse,
};
use futures::stream::Empty;
use tonic::{Request, Response, Status};

use super::core::Core;
use super::status::unsupported;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Maintenance(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl PbMaintenanceService for Maintenance {
    type SnapshotStream = Empty<Result<PbSnapshotResponse, Status>>;

    async fn alarm(
        &self,
        request: Request<PbAlarmRequest>,
    ) -> Result<Response<PbAlarmResponse>, Status> {
        let request = request.into_inner();
        let answer = self.0.apply(|engine, _| Ok(engine.alarm(&request)));
        answer.await.map(Response::new)
    }

    async fn status(
        &self,
        _: Request<PbStatusRequest>,
    ) -> Result<Response<PbStatusResponse>, Status> {
        let answer = self.0.apply(|engine, _| Ok(engine.status()));
        answer.await.map(Response::new)
    }

    /// There is nothing to do: freed space is used again.
    async fn defragment(
        &self,
        _: Request<PbDefragmentRequest>,
    ) -> Result<Response<PbDefragmentResponse>, Status> {
        let answer = self.0.apply(|engine, _| {
            Ok(PbDefragmentResponse {
                header: Some(engine.header()),
            })
        });
        answer.await.map(Response::new)
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Result<Response<PbHashResponse>, Status> {
        let answer = self.0.apply(|engine, _| Ok(engine.hash()));
        answer.await.map(Response::new)
    }

    async fn hash_kv(
        &self,
        request: Request<PbHashKvRequest>,
    ) -> Result<Response<PbHashKvResponse>, Status> {
        let revision = request.into_inner().revision;
        let answer = self.0.apply(|engine, _| engine.hash_kv(revision));
        answer.await.map(Response::new)
    }

    async fn snapshot(
        &self,
        _: Request<PbSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(unsupported("snapshot"))
    }

    async fn move_leader(
        &self,
        _: Request<PbMoveLeaderRequest>,
    ) -> Result<Response<PbMoveLeaderResponse>, Status> {
        Err(unsupported("moving the leader"))
    }

    async fn downgrade(
        &self,
        _: Request<PbDowngradeRequest>,
    ) -> Result<Response<PbDowngradeResponse>, Status> {
        Err(unsupported("downgrade"))
    }
}
