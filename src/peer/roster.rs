//! Who is there, in which order they stand for leadership, whom a node watches, and whom it may end; pure.
//!
//! Whoever leads watches all, and so does the next in line, who may lead in a moment and has its links then. Everybody else watches
//! the first few in line: one crash more or less there must not cost a lease. Evidence is acted on by who leads, and against those ahead
//! in line also by those behind them.

use std::collections::BTreeMap;

use crate::task::Name;

/// 3 at the head of the line are watched by all others: so many may crash together and each has its lease ended at once.
pub const HEAD: usize = 3;

/// 1,024 links of one node: as many nodes as a cluster is thought to have.
pub const LINKS_MAX: usize = 1_024;

/// A live node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its session: create revision of its key.
    pub session: i64,
    /// The lease of that key.
    pub lease: i64,
    /// Its process.
    pub instance: String,
    /// Where it listens for links, as `host:port`.
    pub peer: Option<String>,
}

/// Whom to have a link to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The process.
    pub instance: String,
    /// Where it listens, as `host:port`.
    pub address: String,
}

/// All live nodes and all candidates.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    members: BTreeMap<Name, Member>,
    /// Create revision and lease of each candidate's key.
    seats: BTreeMap<String, (i64, i64)>,
}

impl Roster {
    /// A node is there, or says something else of itself.
    pub fn put_member(&mut self, name: Name, member: Member) {
        self.members.insert(name, member);
    }

    /// A node's key went.
    pub fn drop_member(&mut self, name: &Name) {
        self.members.remove(name);
    }

    /// Nobody is known to be there.
    pub fn clear_members(&mut self) {
        self.members.clear();
    }

    /// A candidate's key is there: create revision and lease.
    pub fn put_seat(&mut self, key: String, created: i64, lease: i64) {
        self.seats.insert(key, (created, lease));
    }

    /// A candidate's key went.
    pub fn drop_seat(&mut self, key: &str) {
        self.seats.remove(key);
    }

    /// Nobody is known to stand.
    pub fn clear_seats(&mut self) {
        self.seats.clear();
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The node of this name, where it is this process.
    pub fn find(&self, name: &Name, instance: &str) -> Option<&Member> {
        let member = self.members.get(name);
        member.filter(|member| member.instance == instance)
    }

    /// Nodes that stand for leadership, who leads first, with the revisions of their seats.
    fn line(&self) -> Vec<(i64, &Name, &Member)> {
        let by_lease: BTreeMap<i64, (&Name, &Member)> = self
            .members
            .iter()
            .map(|(name, member)| (member.lease, (name, member)))
            .collect();
        let seated = self.seats.values().filter_map(|(created, lease)| {
            let (name, member) = by_lease.get(lease)?;
            Some((*created, *name, *member))
        });
        let mut line: Vec<_> = seated.collect();
        line.sort_unstable_by_key(|(created, _, _)| *created);
        line
    }

    /// The term of this node, where it leads.
    pub fn term_of(&self, name: &Name) -> Option<i64> {
        let line = self.line();
        let (term, leader, _) = line.first()?;
        (*leader == name).then_some(*term)
    }

    /// Whom this process watches; nobody while it has no session.
    pub fn targets(&self, me: &str) -> BTreeMap<Name, Target> {
        if !self.members.values().any(|member| member.instance == me) {
            return BTreeMap::new();
        }
        let line = self.line();
        let own = line.iter().position(|(_, _, member)| member.instance == me);
        let watched: Vec<(&Name, &Member)> = if let Some(0 | 1) = own {
            self.members.iter().collect()
        } else {
            let head = line.iter().take(HEAD);
            head.map(|(_, name, member)| (*name, *member)).collect()
        };
        let others = watched.into_iter().filter(|(_, it)| it.instance != me);
        let targets = others.filter_map(|(name, it)| {
            let (instance, address) = (it.instance.clone(), it.peer.clone()?);
            Some((name.clone(), Target { instance, address }))
        });
        targets.take(LINKS_MAX).collect()
    }

    /// Whether this process is to act on evidence against that node: it leads, or the other is at the head of the line before it.
    pub fn may_end(&self, me: &str, whom: &Name) -> bool {
        let line = self.line();
        let own = line.iter().position(|(_, _, member)| member.instance == me);
        match own {
            Some(0) => true,
            Some(own) => {
                let mut ahead = line.iter().take(own.min(HEAD));
                ahead.any(|(_, name, _)| *name == whom)
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// Nodes `a` to `f`, of which these stand, in this order.
    fn roster(line: &[&str]) -> Roster {
        let mut roster = Roster::default();
        for (lease, id) in (1..).zip(["a", "b", "c", "d", "e", "f"]) {
            let member = Member {
                session: lease + 10,
                lease,
                instance: format!("{id}-1"),
                peer: Some(format!("{id}:9700")),
            };
            roster.put_member(name(id), member);
            if let Some(at) = line.iter().position(|it| *it == id) {
                let created = 100 + i64::try_from(at).unwrap();
                roster.put_seat(format!("elect/{lease:x}"), created, lease);
            }
        }
        roster
    }

    fn watched(roster: &Roster, me: &str) -> String {
        let targets = roster.targets(me);
        let names: Vec<&str> = targets.keys().map(Name::as_str).collect();
        names.concat()
    }

    #[test]
    fn who_leads_and_who_is_next_watch_all_and_the_others_the_head_of_the_line() {
        let line = ["c", "a", "b", "d", "e"];
        for (me, expected) in [
            ("c-1", "abdef"),
            ("a-1", "bcdef"),
            ("b-1", "ac"),
            ("d-1", "abc"),
            ("e-1", "abc"),
            ("f-1", "abc"),
            ("a-0", ""),
        ] {
            assert_eq!(watched(&roster(&line), me), expected, "{me}");
        }
    }

    #[test]
    fn the_leader_may_end_all_and_others_who_is_ahead_of_them() {
        let roster = roster(&["c", "a", "b", "d", "e"]);
        let may = |me: &str| -> String {
            let all = ["a", "b", "c", "d", "e", "f"];
            let ended = all.into_iter().filter(|it| roster.may_end(me, &name(it)));
            ended.collect::<Vec<_>>().concat()
        };
        for (me, expected) in [
            ("c-1", "abcdef"),
            ("a-1", "c"),
            ("b-1", "ac"),
            ("d-1", "abc"),
            ("e-1", "abc"),
            ("f-1", ""),
            ("a-0", ""),
        ] {
            assert_eq!(may(me), expected, "{me}");
        }
        assert_eq!(roster.term_of(&name("c")), Some(100));
        assert_eq!(roster.term_of(&name("a")), None);
    }

    #[test]
    fn a_node_is_watched_as_the_process_that_it_is_and_where_it_listens() {
        let mut roster = roster(&["a"]);
        let target = &roster.targets("a-1")[&name("b")];
        assert_eq!((&*target.instance, &*target.address), ("b-1", "b:9700"));
        let mut silent = roster.find(&name("b"), "b-1").unwrap().clone();
        silent.peer = None;
        roster.put_member(name("b"), silent);
        assert_eq!(watched(&roster, "a-1"), "cdef");
        assert!(roster.find(&name("b"), "b-2").is_none());
        // Its session is over: it watches nobody, and the seats of others do not help it.
        roster.drop_member(&name("a"));
        assert_eq!(watched(&roster, "a-1"), "");
    }
}
