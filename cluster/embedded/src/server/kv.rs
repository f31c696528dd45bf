//! etcd's service `KV`.

use std::sync::Arc;

use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse, PbKvService,
    PbPutRequest, PbPutResponse, PbRangeRequest, PbRangeResponse, PbRangeStreamResponse,
    PbTxnRequest, PbTxnResponse,
};
use futures::stream::Empty;
use tonic::{Request, Response, Status};

use super::core::Core;
use super::status::unsupported;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Kv(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl PbKvService for Kv {
    type RangeStreamStream = Empty<Result<PbRangeStreamResponse, Status>>;

    async fn range(
        &self,
        request: Request<PbRangeRequest>,
    ) -> Result<Response<PbRangeResponse>, Status> {
        let request = request.into_inner();
        let answer = self.0.apply(|engine, _| engine.range(&request));
        answer.await.map(Response::new)
    }

    async fn range_stream(
        &self,
        _: Request<PbRangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(unsupported("range stream"))
    }

    async fn put(&self, request: Request<PbPutRequest>) -> Result<Response<PbPutResponse>, Status> {
        let request = request.into_inner();
        let answer = self.0.apply(|engine, _| engine.put(request));
        answer.await.map(Response::new)
    }

    async fn delete_range(
        &self,
        request: Request<PbDeleteRequest>,
    ) -> Result<Response<PbDeleteResponse>, Status> {
        let request = request.into_inner();
        let answer = self.0.apply(|engine, _| engine.delete(&request));
        answer.await.map(Response::new)
    }

    async fn txn(&self, request: Request<PbTxnRequest>) -> Result<Response<PbTxnResponse>, Status> {
        let request = request.into_inner();
        let answer = self.0.apply(|engine, _| engine.txn(request));
        answer.await.map(Response::new)
    }

    async fn compact(
        &self,
        request: Request<PbCompactionRequest>,
    ) -> Result<Response<PbCompactionResponse>, Status> {
        let request = request.into_inner();
        let answer = self.0.apply(|engine, _| engine.compact(&request));
        answer.await.map(Response::new)
    }
}
