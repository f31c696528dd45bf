//! A server of the etcd v3 API inside the process: in memory, or durable in a directory. Knows nothing of
//! who uses it.
//!
//! ```text
//!   etcd_client::Client ── channel() ─┐
//!   a simulation's faults ─ service() ┼─▶ services ─▶ one lock ─▶ engine   pure: (now, request) → answer
//!   etcdctl ─────────────── listen() ─┘      ▲                      │
//!                                            └── log of revisions ◀─┘
//! ```
//!
//! Start with [`Embedded`].
//!
//! # Examples
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use etcd_client::Client;
//! use tenure_embedded::{Embedded, Options};
//!
//! let server = Embedded::in_memory(&Options::default());
//! let client = Client::from_channel(server.channel(), None).await?;
//! let found = client.kv_client().get("nothing here", None).await?;
//! assert_eq!(found.count(), 0);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Differences from etcd 3.5, on purpose
//!
//! - One member, always the leader. No users and roles, no snapshots, no changes of members, no
//!   server-side locks and elections: `Unimplemented`. No TLS. The size of a request is fixed.
//! - Equals in a sorted range come in the order of their keys; etcd's order of more than 12 is not defined.
//! - A sort order or target that the protocol does not have is refused, as by etcd 3.6; etcd 3.5 ignores the
//!   one and crashes of the other.
//! - The keys of a lease are listed in order; etcd lists them in any.
//! - A keepalive of a lease that is over ends it at once and answers TTL 0; etcd answers so when its next
//!   scan has ended it.
//! - Events of several revisions may come in one answer, up to 1 MiB and 1,000 revisions, also to a watch
//!   that is not behind. Its header names the last revision that the watch has been told of.
//! - A progress request is answered when the stream has caught up; etcd drops it where it has not.
//! - Sizes in the status are of keys, values and history in memory: 0 where there is nothing yet, and they
//!   shrink when history is compacted. The quota is held against them.
//! - The alarm about space is lowered by itself where the quota raised it and a tenth of it is free again; while it is raised,
//!   history is dropped at once. etcd waits for an operator.
//! - Hashes are of the same keys, but not etcd's function.
//! - A request above 2 MiB is refused by the transport with `OutOfRange`, not `ResourceExhausted`.
//! - Lease ids chosen by the server are counted up, not random.

mod durable;
mod embedded;
mod engine;
mod options;
mod server;
mod service;

pub use durable::OpenError;
pub use embedded::Embedded;
pub use options::Options;
pub use service::Service;
