//! How each kind begins: whom it hits, what is written down of it, what is done, and what has to be undone.

use super::find::Prey;
use super::record::Hit;
use super::{Maker, Open, Undo};
use crate::fault::catalogue::{Far, Way, What, Whom};
use crate::target::{Cut, Hands, How, Made, Side, Store};
use std::time::Duration;
use tenure_chaos::history::FaultKind;

/// 20 s for a node that was told to end.
pub(super) const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// What a node is cut off from, as a history names it.
const EVERYBODY: &str = "everybody";
const PEERS: &str = "peers";
pub(super) const ETCD: &str = "etcd";

impl<T: Hands> Maker<'_, T> {
    /// Makes it. What could not be made is said; what was made of it is in `open`.
    pub(super) async fn make(&mut self, open: &mut Open, prey: Prey) -> anyhow::Result<Made> {
        match open.kind.what {
            What::Kill(_) => self.kills(open, prey.nodes).await,
            What::End(_) => self.ends(open, prey.nodes).await,
            What::Halt(_) => self.halts(open, prey.nodes).await,
            What::Stutter(_, ms) => self.stutters(open, &prey.node(), ms).await,
            What::Roll => self.rolls(open, prey.nodes).await,
            What::Upgrade(_) => self.goes_back(open, prey.nodes).await,
            What::Clock(_, ahead_ms) => self.sets_clock(open, prey.nodes, ahead_ms).await,
            What::KillMember(whom) => {
                let kind = of_members(whom);
                self.kills_members(open, kind, prey.members).await
            }
            What::HaltMember(whom) => {
                let kind = of_members(whom);
                self.halts_members(open, kind, prey.members).await
            }
            What::KillBoth => self.kills_both(open, prey).await,
            What::Cut(_, far, way, how) => self.cuts(open, prey, (far, way, how)).await,
            What::SlowDisk(_, by_ms) => self.slows_disk(open, prey.members, by_ms).await,
            What::FullDisk => self.fills_disk(open).await,
            What::NoSpace => self.fills_quota(open).await,
            What::Compact(_) => self.compacts(open, prey.node()).await,
            What::RevokeSession(_) => self.revokes(open, prey.node(), None).await,
            What::RevokeLate(_, ms) => self.revokes(open, prey.node(), Some(ms)).await,
            What::DeleteLeader => {
                self.begins(open, FaultKind::LeaseEnded, Hit::Node(&prey.node()));
                self.operates(&Store::DeleteLeader).await
            }
            What::MoveLeader => {
                self.begins(open, FaultKind::StoreLeader, Hit::Store);
                self.operates(&Store::MoveLeader).await
            }
            What::Defragment(_) => {
                self.begins(open, FaultKind::StoreMember, Hit::Store);
                self.operates(&Store::Defragment(prey.member())).await
            }
            What::Resign => self.resigns(open, &prey.node()).await,
            What::CutClients(_) => self.cuts_clients(open, prey.nodes).await,
            What::Drain(_) => self.drains(open, prey.node()).await,
        }
    }

    async fn kills_both(&mut self, open: &mut Open, prey: Prey) -> anyhow::Result<Made> {
        let made = self
            .kills_members(open, FaultKind::StoreMember, prey.members)
            .await?;
        if made != Made::Yes {
            return Ok(made);
        }
        self.kills(open, prey.nodes).await
    }

    async fn kills(&mut self, open: &mut Open, nodes: Vec<String>) -> anyhow::Result<Made> {
        for node in nodes {
            self.begins(open, FaultKind::Crash, Hit::Node(&node));
            let made = self.hands.kill_node(&node).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            self.crashed(&node);
            open.undo.push(Undo::Start(node));
        }
        Ok(Made::Yes)
    }

    async fn ends(&mut self, open: &mut Open, nodes: Vec<String>) -> anyhow::Result<Made> {
        for node in nodes {
            let made = self.end(open, &node).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            open.undo.push(Undo::Start(node));
        }
        Ok(Made::Yes)
    }

    /// Tells one to end, and waits until it has.
    pub(super) async fn end(&mut self, open: &mut Open, node: &str) -> anyhow::Result<Made> {
        self.begins(open, FaultKind::Leave, Hit::Node(node));
        let made = self.hands.end_node(node, ENDED_WITHIN).await?;
        if made == Made::Yes {
            self.stopped(node);
        }
        Ok(made)
    }

    async fn halts(&mut self, open: &mut Open, nodes: Vec<String>) -> anyhow::Result<Made> {
        for node in nodes {
            self.begins(open, FaultKind::Pause, Hit::Node(&node));
            let made = self.hands.halt_node(&node, true).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            self.away.insert(node.clone());
            open.undo.push(Undo::Resume(node));
        }
        Ok(Made::Yes)
    }

    /// Revokes the lease of a node; of one that is so far away from etcd that it goes on for a while as if nothing had happened.
    async fn revokes(
        &mut self,
        open: &mut Open,
        node: String,
        away_ms: Option<u64>,
    ) -> anyhow::Result<Made> {
        if let Some(ms) = away_ms {
            let cut = Cut {
                from: Side::Node(node.clone()),
                to: Side::Members,
                both: true,
                how: How::Late { ms, jitter_ms: 0 },
            };
            self.begins(open, FaultKind::Delay, Hit::Way(&node, ETCD));
            let made = self.hands.cut(&cut, true).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            open.undo.push(Undo::Mend(cut));
        }
        self.begins(open, FaultKind::LeaseEnded, Hit::Node(&node));
        self.operates(&Store::RevokeSession(node)).await
    }

    async fn sets_clock(
        &mut self,
        open: &mut Open,
        nodes: Vec<String>,
        ahead_ms: i64,
    ) -> anyhow::Result<Made> {
        for node in nodes {
            self.begins(open, FaultKind::ClockSkew, Hit::Node(&node));
            let made = self.hands.set_clock(&node, ahead_ms).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            open.undo.push(Undo::Clock(node));
        }
        Ok(Made::Yes)
    }

    async fn kills_members(
        &mut self,
        open: &mut Open,
        kind: FaultKind,
        members: Vec<String>,
    ) -> anyhow::Result<Made> {
        self.begins(open, kind, Hit::Store);
        for member in members {
            let made = self.hands.kill_member(&member).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            self.away.insert(member.clone());
            open.undo.push(Undo::StartMember(member));
        }
        Ok(Made::Yes)
    }

    async fn halts_members(
        &mut self,
        open: &mut Open,
        kind: FaultKind,
        members: Vec<String>,
    ) -> anyhow::Result<Made> {
        self.begins(open, kind, Hit::Store);
        for member in members {
            let made = self.hands.halt_member(&member, true).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            self.away.insert(member.clone());
            open.undo.push(Undo::ResumeMember(member));
        }
        Ok(Made::Yes)
    }

    async fn cuts(
        &mut self,
        open: &mut Open,
        prey: Prey,
        (far, way, how): (Far, Way, How),
    ) -> anyhow::Result<Made> {
        let kind = open.kind.in_history();
        let (far, name) = match far {
            Far::Nodes => (Side::Nodes, PEERS),
            Far::Members => (Side::Members, ETCD),
            Far::All => (Side::All, EVERYBODY),
        };
        if !prey.members.is_empty() {
            self.begins(open, kind, Hit::Store);
        }
        for member in prey.members {
            let made = self.cuts_one(open, Side::Member(member), &far, (way, how));
            let made = made.await?;
            if made != Made::Yes {
                return Ok(made);
            }
        }
        for node in prey.nodes {
            self.begins(open, kind, Hit::Way(&node, name));
            let made = self.cuts_one(open, Side::Node(node), &far, (way, how));
            let made = made.await?;
            if made != Made::Yes {
                return Ok(made);
            }
        }
        Ok(Made::Yes)
    }

    async fn cuts_one(
        &mut self,
        open: &mut Open,
        near: Side,
        far: &Side,
        (way, how): (Way, How),
    ) -> anyhow::Result<Made> {
        let (from, to) = match way {
            Way::In => (far.clone(), near),
            Way::Out | Way::Both => (near, far.clone()),
        };
        let both = way == Way::Both;
        let cut = Cut {
            from,
            to,
            both,
            how,
        };
        let made = self.hands.cut(&cut, true).await?;
        if made == Made::Yes {
            open.undo.push(Undo::Mend(cut));
        }
        Ok(made)
    }

    async fn slows_disk(
        &mut self,
        open: &mut Open,
        members: Vec<String>,
        by_ms: u64,
    ) -> anyhow::Result<Made> {
        self.begins(open, open.kind.in_history(), Hit::Store);
        for member in members {
            let made = self.hands.slow_disk(&member, by_ms).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            open.undo.push(Undo::Disk(member));
        }
        Ok(Made::Yes)
    }

    async fn fills_disk(&mut self, open: &mut Open) -> anyhow::Result<Made> {
        self.begins(open, FaultKind::StoreMember, Hit::Store);
        let (made, member) = self.hands.fill_disk(true).await?;
        if made == Made::Yes {
            self.away.insert(member.clone());
            open.targets = vec![member.clone()];
            open.undo
                .extend([Undo::FreeDisk, Undo::StartMember(member)]);
        }
        Ok(made)
    }
}

fn of_members(whom: Whom) -> FaultKind {
    match whom {
        Whom::Leader | Whom::Follower => FaultKind::StoreMember,
        Whom::Every => FaultKind::StoreDown,
    }
}
