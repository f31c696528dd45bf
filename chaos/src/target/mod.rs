//! What can be done to a cluster, whatever it is made of: processes of this machine, containers of docker compose, or a cluster that
//! was there before. Each kind of cluster does what it can and says of the rest why it cannot.

pub(crate) mod admin;
pub(crate) mod compose;
pub(crate) mod existing;
pub(crate) mod processes;

use crate::http::Client;
use std::time::Duration;

/// What came of doing something to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It is so.
    Yes,
    /// It cannot be done to this cluster, or from here; nothing was changed. Why.
    Cannot(String),
    /// It cannot be done as things stand, and may be later; nothing was changed. Why.
    NotNow(String),
}

/// One end of a way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// A node, by its name.
    Node(String),
    /// A member of etcd, by its name.
    Member(String),
    /// All nodes but the one at the other end.
    Nodes,
    /// All members but the one at the other end.
    Members,
    /// All nodes and members but the one at the other end.
    All,
}

/// What happens on a way, from one side to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// Nothing comes through, and nobody is told.
    Dropped,
    /// Connections are reset and new ones refused.
    Reset,
    /// Connections are reset once; new ones are made.
    ResetOnce,
    /// So many packets of a hundred are lost.
    Lossy(u8),
    /// Everything comes so much later, and by up to so much more, in milliseconds.
    Late { ms: u64, jitter_ms: u64 },
    /// At most so many thousand bits come through in a second.
    Narrow(u32),
    /// Connections that are open carry nothing any more; new ones do.
    HalfOpen,
}

/// A way that is broken: what `from` sends to `to`, and with `both` also what `to` sends to `from`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cut {
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) both: bool,
    pub(crate) how: How,
}

/// What an operator of etcd can do by mistake or in need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// The alarm of a full database is raised, or taken back.
    NoSpace(bool),
    /// History up to this revision is compacted.
    Compact(i64),
    /// The lease of a node's session is revoked.
    RevokeSession(String),
    /// The key of whoever leads is deleted.
    DeleteLeader,
    /// Another member is made etcd's leader.
    MoveLeader,
    /// A member defragments its database, which stops it meanwhile.
    Defragment(String),
}

/// Does things to a cluster. What needs time is given a deadline by whoever asks; errors are those of which nobody knows whether
/// something was changed.
pub(crate) trait Hands {
    /// All nodes, whether they run or not, by name.
    fn nodes(&self) -> Vec<String>;
    /// All members of etcd, whether they run or not; empty where they are not ours to touch.
    fn members(&self) -> Vec<String>;
    /// Where a node's API is, as `http://host:port`.
    fn address(&self, node: &str) -> anyhow::Result<String>;
    /// Where etcd's members answer clients here; empty where that is not known.
    fn endpoints(&self) -> Vec<String>;

    /// The process id of a node that runs on this machine; none where it does not, or that is not known.
    fn pid_of(&self, _node: &str) -> Option<u32> {
        None
    }
    /// Whether nodes of the build before this one can be started.
    fn has_previous(&self) -> Made;
    /// Whether etcd is ours to break; whoever asks does it then, through its endpoints.
    fn owns_store(&self) -> Made {
        Made::Yes
    }

    /// Ends a node's process with -9.
    async fn kill_node(&mut self, node: &str) -> anyhow::Result<Made>;
    /// Tells a node to end, and waits until it has, so long at most.
    async fn end_node(&mut self, node: &str, within: Duration) -> anyhow::Result<Made>;
    /// Starts a node that has ended, from the build before this one where `previous`; does not wait until it is ready.
    async fn start_node(&mut self, node: &str, previous: bool) -> anyhow::Result<Made>;
    /// Makes a node's process stand still, or lets it go on.
    async fn halt_node(&mut self, node: &str, still: bool) -> anyhow::Result<Made>;
    /// Nodes whose process ended by itself since this was last asked; each is a crash.
    async fn fallen(&mut self) -> anyhow::Result<Vec<String>>;
    /// Sets a node's wall clock so much ahead of what it is, or behind it; 0 sets it right.
    async fn set_clock(&mut self, node: &str, ahead_ms: i64) -> anyhow::Result<Made>;

    /// Ends a member's process with -9.
    async fn kill_member(&mut self, member: &str) -> anyhow::Result<Made>;
    /// Starts a member that has ended, on what it had.
    async fn start_member(&mut self, member: &str) -> anyhow::Result<Made>;
    /// Makes a member stand still, or lets it go on.
    async fn halt_member(&mut self, member: &str, still: bool) -> anyhow::Result<Made>;
    /// Makes each of a member's syncs to disk take so much longer; 0 for as before.
    async fn slow_disk(&mut self, member: &str, by_ms: u64) -> anyhow::Result<Made>;
    /// Fills the disk of the member that has one of its own, or frees it again; which member that is.
    async fn fill_disk(&mut self, full: bool) -> anyhow::Result<(Made, String)>;

    /// Asks the leader to make way for another.
    async fn resign(&mut self, client: &Client) -> anyhow::Result<Made> {
        Ok(admin::resign(client).await?.0)
    }
    /// Takes a node out of service, or puts it back.
    async fn drain(&mut self, client: &Client, node: &str, out: bool) -> anyhow::Result<Made> {
        if out {
            return admin::drain(client, node, admin::REASON).await;
        }
        admin::undrain(client, node).await
    }
    /// Resets this program's own connections to a node and refuses new ones, or lets them be made again.
    async fn cut_clients(&mut self, _node: &str, _broken: bool) -> anyhow::Result<Made> {
        let why = "only on a cluster that was there before; say leader-cut or node-cut here";
        Ok(Made::Cannot(why.to_owned()))
    }
    /// Breaks a way, or mends it. The same value mends what it broke.
    async fn cut(&mut self, cut: &Cut, broken: bool) -> anyhow::Result<Made>;
}
