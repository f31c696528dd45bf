//! How each kind begins: whom it hits, what is written down of it, what is done, and what has to be undone.

use super::record::Hit;
use super::{Maker, Open, Undo};
use crate::fault::catalogue::{Far, Way, What, Who, Whom, Whose};
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
    pub(super) async fn make(&mut self, open: &mut Open, choice: usize) -> anyhow::Result<Made> {
        match open.kind.what {
            What::Kill(who) => self.kills(open, who, choice).await,
            What::End(who) => self.ends(open, who, choice).await,
            What::Halt(who) => self.halts(open, who, choice).await,
            What::Stutter(who, ms) => self.stutters(open, who, ms, choice).await,
            What::Roll => self.rolls(open).await,
            What::Upgrade(who) => self.goes_back(open, who, choice).await,
            What::Clock(who, ahead_ms) => self.sets_clock(open, who, ahead_ms, choice).await,
            What::KillMember(whom) => self.kills_members(open, whom, choice).await,
            What::HaltMember(whom) => self.halts_members(open, whom, choice).await,
            What::KillBoth => self.kills_both(open, choice).await,
            What::Cut(whose, far, way, how) => {
                self.cuts(open, (whose, far, way, how), choice).await
            }
            What::SlowDisk(whom, by_ms) => self.slows_disk(open, whom, by_ms, choice).await,
            What::FullDisk => self.fills_disk(open).await,
            What::NoSpace => self.fills_quota(open).await,
            What::Compact(who) => self.compacts(open, who, choice).await,
            What::RevokeSession(who) => self.revokes(open, who, None, choice).await,
            What::RevokeLate(who, ms) => self.revokes(open, who, Some(ms), choice).await,
            What::DeleteLeader => {
                let nodes = match self.nodes_of(open, Who::Leader, choice).await? {
                    Ok(nodes) => nodes,
                    Err(why) => return Ok(Made::Cannot(why)),
                };
                let node = nodes.into_iter().next().unwrap_or_default();
                self.begins(open, FaultKind::LeaseEnded, Hit::Node(&node));
                self.operates(&Store::DeleteLeader).await
            }
            What::MoveLeader => {
                self.begins(open, FaultKind::StoreLeader, Hit::Store);
                self.operates(&Store::MoveLeader).await
            }
            What::Defragment(whom) => {
                let members = match self.members_of(open, whom, choice).await {
                    Ok(members) => members,
                    Err(why) => return Ok(Made::Cannot(why)),
                };
                let member = members.into_iter().next().unwrap_or_default();
                self.begins(open, FaultKind::StoreMember, Hit::Store);
                self.operates(&Store::Defragment(member)).await
            }
            What::Resign => self.resigns(open).await,
            What::CutClients(who) => self.cuts_clients(open, who, choice).await,
            What::Drain(who) => self.drains(open, who, choice).await,
        }
    }

    async fn kills(&mut self, open: &mut Open, who: Who, choice: usize) -> anyhow::Result<Made> {
        match self.nodes_of(open, who, choice).await? {
            Ok(nodes) => self.kill_nodes(open, nodes).await,
            Err(why) => Ok(Made::Cannot(why)),
        }
    }

    /// Both are found before one is killed: who leads is not to be learnt without etcd's leader.
    async fn kills_both(&mut self, open: &mut Open, choice: usize) -> anyhow::Result<Made> {
        let nodes = match self.nodes_of(open, Who::Leader, choice).await? {
            Ok(nodes) => nodes,
            Err(why) => return Ok(Made::Cannot(why)),
        };
        let members = match self.members_of(open, Whom::Leader, choice).await {
            Ok(members) => members,
            Err(why) => return Ok(Made::Cannot(why)),
        };
        let made = self
            .kill_members(open, FaultKind::StoreMember, members)
            .await?;
        if made != Made::Yes {
            return Ok(made);
        }
        self.kill_nodes(open, nodes).await
    }

    async fn kill_nodes(&mut self, open: &mut Open, nodes: Vec<String>) -> anyhow::Result<Made> {
        for node in nodes {
            self.begins(open, FaultKind::Crash, Hit::Node(&node));
            match self.hands.kill_node(&node).await? {
                Made::Yes => self.crashed(&node),
                cannot @ Made::Cannot(_) => return Ok(cannot),
            }
            open.undo.push(Undo::Start(node));
        }
        Ok(Made::Yes)
    }

    async fn ends(&mut self, open: &mut Open, who: Who, choice: usize) -> anyhow::Result<Made> {
        let nodes = match self.nodes_of(open, who, choice).await? {
            Ok(nodes) => nodes,
            Err(why) => return Ok(Made::Cannot(why)),
        };
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

    async fn halts(&mut self, open: &mut Open, who: Who, choice: usize) -> anyhow::Result<Made> {
        let nodes = match self.nodes_of(open, who, choice).await? {
            Ok(nodes) => nodes,
            Err(why) => return Ok(Made::Cannot(why)),
        };
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
        who: Who,
        away_ms: Option<u64>,
        choice: usize,
    ) -> anyhow::Result<Made> {
        let nodes = match self.nodes_of(open, who, choice).await? {
            Ok(nodes) => nodes,
            Err(why) => return Ok(Made::Cannot(why)),
        };
        let node = nodes.into_iter().next().unwrap_or_default();
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
        who: Who,
        ahead_ms: i64,
        choice: usize,
    ) -> anyhow::Result<Made> {
        let nodes = match self.nodes_of(open, who, choice).await? {
            Ok(nodes) => nodes,
            Err(why) => return Ok(Made::Cannot(why)),
        };
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
        whom: Whom,
        choice: usize,
    ) -> anyhow::Result<Made> {
        match self.members_of(open, whom, choice).await {
            Ok(members) => self.kill_members(open, of_members(whom), members).await,
            Err(why) => Ok(Made::Cannot(why)),
        }
    }

    async fn kill_members(
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
        whom: Whom,
        choice: usize,
    ) -> anyhow::Result<Made> {
        let members = match self.members_of(open, whom, choice).await {
            Ok(members) => members,
            Err(why) => return Ok(Made::Cannot(why)),
        };
        self.begins(open, of_members(whom), Hit::Store);
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
        (whose, far, way, how): (Whose, Far, Way, How),
        choice: usize,
    ) -> anyhow::Result<Made> {
        let (sides, nodes) = match whose {
            Whose::Node(who) => match self.nodes_of(open, who, choice).await? {
                Ok(nodes) => (
                    nodes.iter().cloned().map(Side::Node).collect::<Vec<_>>(),
                    nodes,
                ),
                Err(why) => return Ok(Made::Cannot(why)),
            },
            Whose::Member(whom) => match self.members_of(open, whom, choice).await {
                Ok(members) => (members.into_iter().map(Side::Member).collect(), Vec::new()),
                Err(why) => return Ok(Made::Cannot(why)),
            },
        };
        let kind = open.kind.in_history();
        let to = match far {
            Far::Nodes => PEERS,
            Far::Members => ETCD,
            Far::All => EVERYBODY,
        };
        if nodes.is_empty() {
            self.begins(open, kind, Hit::Store);
        }
        for (nth, side) in sides.into_iter().enumerate() {
            if let Some(node) = nodes.get(nth) {
                self.begins(open, kind, Hit::Way(node, to));
            }
            let far = match far {
                Far::Nodes => Side::Nodes,
                Far::Members => Side::Members,
                Far::All => Side::All,
            };
            let (from, to) = if way == Way::In {
                (far, side)
            } else {
                (side, far)
            };
            let cut = Cut {
                from,
                to,
                both: way == Way::Both,
                how,
            };
            let made = self.hands.cut(&cut, true).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            open.undo.push(Undo::Mend(cut));
        }
        Ok(Made::Yes)
    }

    async fn slows_disk(
        &mut self,
        open: &mut Open,
        whom: Whom,
        by_ms: u64,
        choice: usize,
    ) -> anyhow::Result<Made> {
        let members = match self.members_of(open, whom, choice).await {
            Ok(members) => members,
            Err(why) => return Ok(Made::Cannot(why)),
        };
        self.begins(open, FaultKind::Delay, Hit::Store);
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
            open.targets.push(member.clone());
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
