//! etcd's service `Cluster`: the one member there is.

use std::sync::Arc;

use etcd_client::proto::{
    PbClusterService, PbMember, PbMemberAddRequest, PbMemberAddResponse, PbMemberListRequest,
    PbMemberListResponse, PbMemberPromoteRequest, PbMemberPromoteResponse, PbMemberRemoveRequest,
    PbMemberRemoveResponse, PbMemberUpdateRequest, PbMemberUpdateResponse,
};
use tonic::{Request, Response, Status};

use super::core::Core;
use super::status::unsupported;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Members(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl PbClusterService for Members {
    async fn member_list(
        &self,
        _: Request<PbMemberListRequest>,
    ) -> Result<Response<PbMemberListResponse>, Status> {
        let listening = self.0.listening();
        let answer = self.0.apply(|engine, _| {
            let header = engine.header();
            let member = PbMember {
                id: header.member_id,
                name: "embedded".to_owned(),
                client_ur_ls: listening.iter().map(|at| format!("http://{at}")).collect(),
                ..PbMember::default()
            };
            Ok(PbMemberListResponse {
                header: Some(header),
                members: vec![member],
            })
        });
        answer.await.map(Response::new)
    }

    async fn member_add(
        &self,
        _: Request<PbMemberAddRequest>,
    ) -> Result<Response<PbMemberAddResponse>, Status> {
        Err(unsupported("adding a member"))
    }

    async fn member_remove(
        &self,
        _: Request<PbMemberRemoveRequest>,
    ) -> Result<Response<PbMemberRemoveResponse>, Status> {
        Err(unsupported("removing a member"))
    }

    async fn member_update(
        &self,
        _: Request<PbMemberUpdateRequest>,
    ) -> Result<Response<PbMemberUpdateResponse>, Status> {
        Err(unsupported("updating a member"))
    }

    async fn member_promote(
        &self,
        _: Request<PbMemberPromoteRequest>,
    ) -> Result<Response<PbMemberPromoteResponse>, Status> {
        Err(unsupported("promoting a member"))
    }
}
