//! The bare calls of the protocol, so that requests no client library would build can be sent, and answers are seen whole.

use std::time::Duration;

use etcd_client::Channel;
use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse,
    PbLeaseGrantRequest, PbLeaseGrantResponse, PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse,
    PbLeaseLeasesRequest, PbLeaseLeasesResponse, PbLeaseRevokeRequest, PbLeaseRevokeResponse,
    PbLeaseTimeToLiveRequest, PbLeaseTimeToLiveResponse, PbPutRequest, PbPutResponse,
    PbRangeRequest, PbRangeResponse, PbTxnRequest, PbTxnResponse, PbWatchRequest, PbWatchResponse,
};
use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// 20 s for one answer: etcd gives up after 7, and a loaded machine may stall.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// 16 requests on their way in a stream; the harness sends one at a time.
const REQUESTS: usize = 16;
/// 64 MiB: nothing that is asked here answers with more.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One server.
#[derive(Debug, Clone)]
pub(crate) struct Wire(pub(crate) Channel);

/// A stream of requests and one of answers.
#[derive(Debug)]
pub(crate) struct Duplex<Q, A> {
    requests: Sender<Q>,
    answers: Streaming<A>,
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident($request:ty) -> $answer:ty, $path:literal;)*) => {
        impl Wire {$(
            $(#[$doc])*
            pub(crate) async fn $name(&self, request: $request) -> Result<$answer, Status> {
                self.unary($path, request).await
            }
        )*}
    };
}

unary! {
    range(PbRangeRequest) -> PbRangeResponse, "/etcdserverpb.KV/Range";
    put(PbPutRequest) -> PbPutResponse, "/etcdserverpb.KV/Put";
    delete(PbDeleteRequest) -> PbDeleteResponse, "/etcdserverpb.KV/DeleteRange";
    txn(PbTxnRequest) -> PbTxnResponse, "/etcdserverpb.KV/Txn";
    compact(PbCompactionRequest) -> PbCompactionResponse, "/etcdserverpb.KV/Compact";
    grant(PbLeaseGrantRequest) -> PbLeaseGrantResponse, "/etcdserverpb.Lease/LeaseGrant";
    revoke(PbLeaseRevokeRequest) -> PbLeaseRevokeResponse, "/etcdserverpb.Lease/LeaseRevoke";
    time_to_live(PbLeaseTimeToLiveRequest) -> PbLeaseTimeToLiveResponse, "/etcdserverpb.Lease/LeaseTimeToLive";
    leases(PbLeaseLeasesRequest) -> PbLeaseLeasesResponse, "/etcdserverpb.Lease/LeaseLeases";
}

impl Wire {
    /// Opens a stream of watches. Some servers answer only after the first request, so it goes along.
    pub(crate) async fn watch(
        &self,
        first: PbWatchRequest,
    ) -> Result<Duplex<PbWatchRequest, PbWatchResponse>, Status> {
        self.duplex("/etcdserverpb.Watch/Watch", first).await
    }

    /// Opens a stream of keepalives.
    pub(crate) async fn keep_alive(
        &self,
        first: PbLeaseKeepAliveRequest,
    ) -> Result<Duplex<PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse>, Status> {
        self.duplex("/etcdserverpb.Lease/LeaseKeepAlive", first)
            .await
    }

    async fn unary<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.ready().await?;
        let path = PathAndQuery::from_static(path);
        let call = grpc.unary(Request::new(request), path, ProstCodec::<Q, A>::default());
        Ok(in_time(call).await?.into_inner())
    }

    async fn duplex<Q, A>(&self, path: &'static str, first: Q) -> Result<Duplex<Q, A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.ready().await?;
        let (requests, receiver) = channel(REQUESTS);
        let request = Request::new(ReceiverStream::new(receiver));
        requests.send(first).await.map_err(|_| ended())?;
        let path = PathAndQuery::from_static(path);
        let call = grpc.streaming(request, path, ProstCodec::<Q, A>::default());
        let answers = in_time(call).await?.into_inner();
        Ok(Duplex { requests, answers })
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.0.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }
}

impl<Q, A> Duplex<Q, A> {
    pub(crate) async fn send(&self, request: Q) -> Result<(), Status> {
        let sent = async { self.requests.send(request).await.map_err(|_| ended()) };
        in_time(sent).await
    }

    pub(crate) async fn next(&mut self) -> Result<A, Status> {
        let next = async { self.answers.message().await?.ok_or_else(ended) };
        in_time(next).await
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    timeout(ANSWER_WITHIN, call)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("harness: no answer in time")))
}

fn ended() -> Status {
    Status::aborted("harness: the stream has ended")
}
