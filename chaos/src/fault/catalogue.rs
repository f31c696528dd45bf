//! The catalogue: every kind of fault by its name, what it does, whom it hits and for how long. It is data; [`super::maker`] makes them.

use crate::target::How;
use std::fmt;
use tenure_chaos::history::FaultKind;

/// Which nodes are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The one that leads.
    Leader,
    /// One that does not.
    Follower,
    /// The one that leads and another.
    Two,
    /// Every one.
    Every,
}

/// Which members of etcd are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// The one that leads etcd.
    Leader,
    /// One that does not.
    Follower,
    /// Every one.
    Every,
}

/// Whom a broken way begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Node(Who),
    Member(Whom),
}

/// Whom a kind needs before it can be made; nobody of nodes and of members, where both are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hits {
    pub(crate) nodes: Option<Who>,
    pub(crate) members: Option<Whom>,
}

impl Hits {
    const fn nodes(who: Who) -> Self {
        Self {
            nodes: Some(who),
            members: None,
        }
    }

    const fn members(whom: Whom) -> Self {
        Self {
            nodes: None,
            members: Some(whom),
        }
    }
}

/// What a broken way leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    Nodes,
    Members,
    All,
}

/// Which direction of it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Both,
    /// What the one that is hit sends.
    Out,
    /// What it is sent.
    In,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// -9, and started again.
    Kill(Who),
    /// Told to end, and started again.
    End(Who),
    /// Stands still.
    Halt(Who),
    /// Stands still 20 times, so many milliseconds each, as long in between.
    Stutter(Who, u64),
    /// Every node in turn is told to end and started again.
    Roll,
    /// A node is replaced by one of the build before this one, and that by this one again.
    Upgrade(Who),
    /// Its wall clock is so many milliseconds ahead.
    Clock(Who, i64),
    KillMember(Whom),
    HaltMember(Whom),
    /// The leader and etcd's leader are killed with -9 at one moment.
    KillBoth,
    Cut(Whose, Far, Way, How),
    /// Each sync to disk takes so many milliseconds longer.
    SlowDisk(Whom, u64),
    FullDisk,
    NoSpace,
    /// History is compacted while a node is cut off from etcd, so that its watches are overtaken; where nothing can be cut, while it stands
    /// still.
    Compact(Who),
    RevokeSession(Who),
    /// The same, of one that is so many milliseconds away from etcd, and hears of it late.
    RevokeLate(Who, u64),
    DeleteLeader,
    MoveLeader,
    Defragment(Whom),
    /// The leader is asked to make way for another.
    Resign,
    /// A node is drained, and undrained.
    Drain(Who),
    /// This program's own connections to a node are reset, and refused.
    CutClients(Who),
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// As scenarios and reports name it.
    pub(crate) name: &'static str,
    /// What it does, in one sentence.
    pub(crate) about: &'static str,
    pub(crate) what: What,
    /// For how long it lasts, in milliseconds: from, to. What goes by the lease is longer than its 5 s.
    pub(crate) lasts_ms: [u64; 2],
}

/// Until something else has taken over, and some; shorter than a lease.
const SHORT: [u64; 2] = [300, 1_500];
/// Shorter than a lease: whoever is hit may keep what it has.
const BELOW_LEASE: [u64; 2] = [1_000, 3_000];
/// Longer than a lease of 5 s and than it takes to be given away.
const ABOVE_LEASE: [u64; 2] = [6_500, 8_000];
/// 12 s for one write: leases end, and etcd before 3.5 goes on to say that they live (github.com/etcd-io/etcd, issue 15247).
const STALL_MS: u64 = 12_000;
/// What is over with its begin.
const AT_ONCE: [u64; 2] = [0, 0];
/// 1,500 ms: by so much clocks jump; the bounds of what goes by a clock are as much wider.
pub(crate) const CLOCK_JUMP_MS: u64 = 1_500;
const JUMP_MS: i64 = 1_500;

const fn kind(name: &'static str, about: &'static str, what: What, lasts_ms: [u64; 2]) -> Kind {
    Kind {
        name,
        about,
        what,
        lasts_ms,
    }
}

const fn cut(whose: Whose, far: Far, way: Way, how: How) -> What {
    What::Cut(whose, far, way, how)
}

const LEADER: Whose = Whose::Node(Who::Leader);
const FOLLOWER: Whose = Whose::Node(Who::Follower);
const EVERY_NODE: Whose = Whose::Node(Who::Every);
const ETCD_LEADER: Whose = Whose::Member(Whom::Leader);
const ETCD_FOLLOWER: Whose = Whose::Member(Whom::Follower);
/// 75 ms and up to 50 more: a bad line between two places.
const LATE: How = How::Late {
    ms: 75,
    jitter_ms: 50,
};
/// 20 of 100 packets.
const LOSSY: How = How::Lossy(20);
/// 512 kbit/s.
const NARROW: How = How::Narrow(512);

/// All of them.
#[rustfmt::skip] // One row each, so that the table can be read.
pub(crate) const ALL: &[Kind] = &[
    kind("leader-kill", "the leader is killed with -9", What::Kill(Who::Leader), SHORT),
    kind("node-kill", "a node that does not lead is killed with -9", What::Kill(Who::Follower), SHORT),
    kind("two-kill", "the leader and another node are killed with -9", What::Kill(Who::Two), SHORT),
    kind("all-kill", "all nodes are killed with -9", What::Kill(Who::Every), BELOW_LEASE),
    kind("leader-term", "the leader is told to end", What::End(Who::Leader), SHORT),
    kind("node-term", "a node that does not lead is told to end", What::End(Who::Follower), SHORT),
    kind("rolling-restart", "each node in turn is told to end and started again", What::Roll, AT_ONCE),
    kind("upgrade", "a node runs the build before this one for a while, then this one", What::Upgrade(Who::Follower), BELOW_LEASE),
    kind("leader-pause", "the leader stands still for longer than its lease", What::Halt(Who::Leader), ABOVE_LEASE),
    kind("node-pause", "a node that does not lead stands still for longer than its lease", What::Halt(Who::Follower), ABOVE_LEASE),
    kind("all-pause", "all nodes stand still for longer than their leases", What::Halt(Who::Every), ABOVE_LEASE),
    kind("node-blink", "a node stands still for less than its lease", What::Halt(Who::Follower), BELOW_LEASE),
    kind("leader-stutter", "the leader stands still for 100 ms again and again", What::Stutter(Who::Leader, 100), AT_ONCE),
    kind("clock-forward", "the leader's wall clock jumps ahead", What::Clock(Who::Leader, JUMP_MS), BELOW_LEASE),
    kind("clock-back", "a node's wall clock jumps back", What::Clock(Who::Follower, -JUMP_MS), BELOW_LEASE),
    kind("etcd-leader-kill", "etcd's leader is killed with -9", What::KillMember(Whom::Leader), BELOW_LEASE),
    kind("etcd-member-kill", "a member of etcd that does not lead is killed with -9", What::KillMember(Whom::Follower), BELOW_LEASE),
    kind("etcd-all-kill", "all members of etcd are killed with -9", What::KillMember(Whom::Every), BELOW_LEASE),
    kind("etcd-leader-pause", "etcd's leader stands still", What::HaltMember(Whom::Leader), BELOW_LEASE),
    kind("etcd-member-pause", "a member of etcd that does not lead stands still", What::HaltMember(Whom::Follower), BELOW_LEASE),
    kind("both-leaders-kill", "the leader and etcd's leader are killed with -9 at one moment", What::KillBoth, BELOW_LEASE),
    kind("leader-cut", "the leader reaches nobody for longer than its lease", cut(LEADER, Far::All, Way::Both, How::Dropped), ABOVE_LEASE),
    kind("node-cut", "a node reaches nobody for longer than its lease", cut(FOLLOWER, Far::All, Way::Both, How::Dropped), ABOVE_LEASE),
    kind("leader-from-etcd", "the leader does not reach etcd for longer than its lease", cut(LEADER, Far::Members, Way::Both, How::Dropped), ABOVE_LEASE),
    kind("node-requests-lost", "what a node sends to etcd is lost", cut(FOLLOWER, Far::Members, Way::Out, How::Dropped), ABOVE_LEASE),
    kind("leader-answers-lost", "what etcd sends to the leader is lost", cut(LEADER, Far::Members, Way::In, How::Dropped), ABOVE_LEASE),
    kind("leader-from-nodes", "the leader and the other nodes do not reach each other", cut(LEADER, Far::Nodes, Way::Both, How::Dropped), ABOVE_LEASE),
    kind("links-one-way", "what other nodes send to the leader is lost", cut(LEADER, Far::Nodes, Way::In, How::Dropped), BELOW_LEASE),
    kind("links-refused", "links to the leader are reset and refused while it lives", cut(LEADER, Far::Nodes, Way::In, How::Reset), BELOW_LEASE),
    kind("etcd-leader-cut", "etcd's leader does not reach the other members", cut(ETCD_LEADER, Far::Members, Way::Both, How::Dropped), BELOW_LEASE),
    kind("etcd-member-lost", "a member of etcd that does not lead reaches nobody", cut(ETCD_FOLLOWER, Far::All, Way::Both, How::Dropped), BELOW_LEASE),
    kind("etcd-member-one-way", "what the other members send to one of etcd is lost", cut(ETCD_FOLLOWER, Far::Members, Way::In, How::Dropped), BELOW_LEASE),
    kind("etcd-reset", "a node's connections to etcd are reset and refused", cut(LEADER, Far::Members, Way::Both, How::Reset), SHORT),
    kind("etcd-reset-once", "the leader's connections to etcd are reset once", cut(LEADER, Far::Members, Way::Both, How::ResetOnce), AT_ONCE),
    kind("etcd-half-open", "a node's open connections to etcd carry nothing any more, new ones do", cut(LEADER, Far::Members, Way::Both, How::HalfOpen), ABOVE_LEASE),
    kind("etcd-latency", "etcd is 75 to 125 ms away from every node", cut(EVERY_NODE, Far::Members, Way::Both, LATE), BELOW_LEASE),
    kind("etcd-narrow", "the leader has 512 kbit/s to etcd", cut(LEADER, Far::Members, Way::Both, NARROW), BELOW_LEASE),
    kind("loss", "20 of 100 packets of a node are lost", cut(FOLLOWER, Far::All, Way::Both, LOSSY), BELOW_LEASE),
    kind("etcd-loss", "20 of 100 packets between etcd's leader and the others are lost", cut(ETCD_LEADER, Far::Members, Way::Both, LOSSY), BELOW_LEASE),
    kind("slow-fsync", "etcd's leader takes 400 ms longer to write to disk", What::SlowDisk(Whom::Leader, 400), BELOW_LEASE),
    kind("fsync-stall", "etcd's leader takes 12 s to write to disk", What::SlowDisk(Whom::Leader, STALL_MS), [STALL_MS, STALL_MS + 500]),
    kind("disk-full", "the disk of a member of etcd is full", What::FullDisk, BELOW_LEASE),
    kind("no-space", "etcd takes no more writes, for its quota", What::NoSpace, BELOW_LEASE),
    kind("compaction", "etcd's history is compacted while a node does not reach etcd", What::Compact(Who::Follower), SHORT),
    kind("leader-compaction", "etcd's history is compacted while the leader does not reach etcd", What::Compact(Who::Leader), SHORT),
    kind("lease-revoked", "an operator revokes the lease of a node", What::RevokeSession(Who::Follower), AT_ONCE),
    kind("lease-revoked-late", "an operator revokes the lease of a node that is 400 ms away from etcd and hears of it late", What::RevokeLate(Who::Follower, 400), BELOW_LEASE),
    kind("leader-deleted", "an operator deletes the leader's key", What::DeleteLeader, AT_ONCE),
    kind("etcd-move", "an operator moves etcd's leadership", What::MoveLeader, AT_ONCE),
    kind("defragment", "an operator defragments a member of etcd", What::Defragment(Whom::Leader), AT_ONCE),
    kind("resign", "the leader is asked to make way", What::Resign, AT_ONCE),
    kind("clients-cut", "this program's connections to the leader are reset and refused", What::CutClients(Who::Leader), BELOW_LEASE),
    kind("drain", "a node is drained for a while", What::Drain(Who::Follower), BELOW_LEASE),
];

/// What `all` stands for in a list of kinds.
const EVERYTHING: &str = "all";

/// The kinds that these words name; `all` for all, `-name` to leave one out.
///
/// # Errors
/// A word names none.
pub(crate) fn chosen(words: &[String]) -> anyhow::Result<Vec<Kind>> {
    let mut chosen = Vec::new();
    for word in words {
        if word == EVERYTHING {
            chosen.extend_from_slice(ALL);
        } else if let Some(without) = word.strip_prefix('-') {
            let kind = find(without)?;
            chosen.retain(|one| *one != kind);
        } else {
            chosen.push(find(word)?);
        }
    }
    anyhow::ensure!(!chosen.is_empty(), "faults: none is left of {words:?}");
    Ok(chosen)
}

fn find(word: &str) -> anyhow::Result<Kind> {
    let found = ALL.iter().find(|kind| kind.name == word);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|kind| kind.name).collect();
        anyhow::anyhow!(
            "faults: {word:?} is none; there are {EVERYTHING}, and {}",
            names.join(", ")
        )
    })
}

impl Kind {
    /// Whom it hits.
    pub(crate) fn hits(&self) -> Hits {
        match self.what {
            What::Kill(who)
            | What::End(who)
            | What::Halt(who)
            | What::Stutter(who, _)
            | What::Upgrade(who)
            | What::Clock(who, _)
            | What::Cut(Whose::Node(who), ..)
            | What::Compact(who)
            | What::RevokeSession(who)
            | What::RevokeLate(who, _)
            | What::Drain(who)
            | What::CutClients(who) => Hits::nodes(who),
            What::Roll => Hits::nodes(Who::Every),
            What::DeleteLeader | What::Resign => Hits::nodes(Who::Leader),
            What::KillMember(whom)
            | What::HaltMember(whom)
            | What::Cut(Whose::Member(whom), ..)
            | What::SlowDisk(whom, _)
            | What::Defragment(whom) => Hits::members(whom),
            What::KillBoth => Hits {
                nodes: Some(Who::Leader),
                members: Some(Whom::Leader),
            },
            // Whichever has a disk of its own: none may be hit meanwhile.
            What::FullDisk => Hits::members(Whom::Follower),
            What::NoSpace | What::MoveLeader => Hits::default(),
        }
    }

    /// Whether it hits all nodes or all members, or takes everything else's ground away.
    pub(crate) fn hits_all(&self) -> bool {
        let hits = self.hits();
        hits.nodes == Some(Who::Every)
            || hits.members == Some(Whom::Every)
            || self.what == What::NoSpace
    }

    /// What a history calls it; checks go by that.
    pub(crate) fn in_history(&self) -> FaultKind {
        match self.what {
            What::Kill(_) | What::KillBoth => FaultKind::Crash,
            What::End(_) | What::Roll | What::Upgrade(_) | What::Drain(_) | What::CutClients(_) => {
                FaultKind::Leave
            }
            What::Halt(_) | What::Stutter(..) | What::Compact(_) => FaultKind::Pause,
            What::Clock(..) => FaultKind::ClockSkew,
            What::KillMember(Whom::Every)
            | What::HaltMember(Whom::Every)
            | What::SlowDisk(_, STALL_MS) => FaultKind::StoreDown,
            What::MoveLeader => FaultKind::StoreLeader,
            What::KillMember(Whom::Leader | Whom::Follower)
            | What::HaltMember(Whom::Leader | Whom::Follower)
            | What::FullDisk
            | What::Defragment(_)
            | What::Cut(Whose::Member(_), ..) => FaultKind::StoreMember,
            What::Cut(Whose::Node(_), _, Way::Both, How::Dropped) => FaultKind::Partition,
            What::Cut(Whose::Node(_), _, Way::Out | Way::In, How::Dropped) => FaultKind::OneWay,
            What::Cut(Whose::Node(_), _, _, How::Reset | How::ResetOnce | How::HalfOpen) => {
                FaultKind::AnswersLost
            }
            What::Cut(Whose::Node(_), _, _, How::Lossy(_) | How::Late { .. } | How::Narrow(_))
            | What::SlowDisk(..) => FaultKind::Delay,
            What::NoSpace => FaultKind::NoSpace,
            What::RevokeSession(_) | What::RevokeLate(..) | What::DeleteLeader | What::Resign => {
                FaultKind::LeaseEnded
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

#[cfg(test)]
mod tests;
