//! Every key Tenure has in etcd, spelled once; no other file builds or takes apart a key.
//!
//! All keys live under `/tenure/<cluster>/`. What the leader must see of every change is under `live/`, so that one
//! watch delivers it revision by revision; the rest is read when asked for. Each function below is one row of the
//! contract: pattern, value, who writes it, when it goes away, example.

use std::sync::Arc;

use crate::task::{ClaimId, Name, PackId, Priority, Routing};

/// The keys of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    root: Arc<str>,
}

/// Where ready work of one kind waits: the scheduler keeps one window per lane, so that a kind nobody runs blocks no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// The queue.
    pub queue: Name,
    /// The kind.
    pub kind: Name,
}

/// What made a record: the author of its key, so that no two writers can make the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The submit of its pack: `0`.
    Submit,
    /// A report or reclaim of this claim: `<term>-<number>`.
    Claim(ClaimId),
    /// A user's act (cancel, retry), by a random id: `v<32 hex>`.
    Act(u128),
}

/// Names a record within its place: `<pack>.<origin>.<n>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    /// The pack it speaks of.
    pub pack: PackId,
    /// What made it.
    pub origin: Origin,
    /// Counts what one origin made.
    pub n: u32,
}

/// Where a record waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Among the ready ones of its lane.
    Ready,
    /// For this time, in milliseconds since 1970.
    Due(u64),
    /// Among the dead letters of its queue.
    Dead,
}

/// A key under `live/`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Live {
    /// A node's session.
    Node(Name),
    /// A lane's marker.
    Lane(Lane),
    /// A ready record.
    Ready(Lane, RecordId),
    /// A scheduled record and its time.
    Due(u64, RecordId),
    /// A claim.
    Run(Name, ClaimId),
    /// What of a claim is to be cancelled.
    Stop(Name, ClaimId),
}

impl Keys {
    /// The keys of the cluster of this name.
    pub fn new(cluster: &Name) -> Self {
        Self {
            root: format!("/tenure/{cluster}/").into(),
        }
    }

    /// `<root>`: everything of the cluster.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The first key behind all that begin with this prefix, one of a room: it ends with `/`.
    pub fn past(prefix: &str) -> String {
        let mut end = prefix.to_owned();
        end.pop();
        end.push('0');
        end
    }

    /// The first key behind this one: where to read on.
    pub fn following(key: &str) -> String {
        format!("{key}\0")
    }

    /// `elect/<lease>` = node and address, leased. A candidate writes its own at start; it goes with its lease, by resigning,
    /// or by an operator. Its create revision is the term. The cluster crate appends the lease in hexadecimal.
    pub fn elect_prefix(&self) -> String {
        format!("{}elect/", self.root)
    }

    /// `live/`: what the leader watches.
    pub fn live_prefix(&self) -> String {
        format!("{}live/", self.root)
    }

    /// `live/node/<id>` = [`super::NodeRecord`], leased. Written by the node where absent; goes with its lease. Its create revision
    /// names the session. `/tenure/default/live/node/n1`
    pub fn node(&self, id: &Name) -> String {
        format!("{}{id}", self.node_prefix())
    }

    /// Where all nodes are.
    pub fn node_prefix(&self) -> String {
        format!("{}live/node/", self.root)
    }

    /// `clock/<node>` = what the node's wall clock says, in milliseconds since 1970, leased. Written by the node again and again; goes
    /// with its session. `/tenure/default/clock/n1`
    pub fn clock(&self, node: &Name) -> String {
        format!("{}{node}", self.clock_prefix())
    }

    /// Where all nodes' clocks are.
    pub fn clock_prefix(&self) -> String {
        format!("{}clock/", self.root)
    }

    /// `live/lane/<queue>/<kind>` = empty. Written with the first submit of a lane; stays. `/tenure/default/live/lane/mail/http`
    pub fn lane(&self, lane: &Lane) -> String {
        format!("{}{}/{}", self.lane_prefix(), lane.queue, lane.kind)
    }

    /// Where all lanes are.
    pub fn lane_prefix(&self) -> String {
        format!("{}live/lane/", self.root)
    }

    /// A record's key in its place:
    /// - `live/ready/<queue>/<kind>/<9 - priority>/<pack>.<origin>.<n>`: submit, promote, report, reclaim, revive write it;
    ///   assign and cancel make it less or gone.
    /// - `live/due/<ms>/<pack>.<origin>.<n>`: submit and report write it; promote and cancel take it away.
    /// - `dead/<queue>/<pack>.<origin>.<n>`: report and reclaim write it; revive and cancel take it away.
    ///
    /// All three hold a [`super::Record`].
    pub fn record(&self, place: Place, routing: &Routing, id: &RecordId) -> String {
        match place {
            Place::Ready => format!(
                "{}{}",
                self.ready_level(&Lane::of(routing), routing.priority),
                id.text()
            ),
            Place::Due(ms) => format!("{}{ms:013}/{}", self.due_prefix(), id.text()),
            Place::Dead => format!("{}{}/{}", self.dead_prefix(), routing.queue, id.text()),
        }
    }

    /// Where all ready records are.
    pub fn ready_prefix(&self) -> String {
        format!("{}live/ready/", self.root)
    }

    /// Where the ready records of a queue are.
    pub fn ready_queue(&self, queue: &Name) -> String {
        format!("{}{queue}/", self.ready_prefix())
    }

    /// Where the ready records of a lane are.
    pub fn ready_lane(&self, lane: &Lane) -> String {
        format!("{}{}/", self.ready_queue(&lane.queue), lane.kind)
    }

    /// Where the ready records of a lane with one priority are.
    pub fn ready_level(&self, lane: &Lane, priority: Priority) -> String {
        format!("{}{}/", self.ready_lane(lane), priority.inverted())
    }

    /// The first key of a priority's packs made at or after this millisecond: a bound for ranges.
    pub fn ready_since(&self, lane: &Lane, priority: Priority, unix_ms: u64) -> String {
        format!(
            "{}{}",
            self.ready_level(lane, priority),
            PackId::floor(unix_ms)
        )
    }

    /// The priority and pack that the first record at or behind a key of this lane has at least; none for a key that names none.
    pub fn ready_edge(&self, lane: &Lane, key: &str) -> Option<(Priority, PackId)> {
        let (level, id) = key.strip_prefix(&*self.ready_lane(lane))?.split_once('/')?;
        let priority = Priority::from_inverted(level.parse().ok()?)?;
        let (pack, _) = id.split_at_checked(PackId::CHARS)?;
        Some((priority, pack.parse().ok()?))
    }

    /// Where all scheduled records are, by time.
    pub fn due_prefix(&self) -> String {
        format!("{}live/due/", self.root)
    }

    /// The first key due at or after this millisecond.
    pub fn due_since(&self, unix_ms: u64) -> String {
        format!("{}{unix_ms:013}/", self.due_prefix())
    }

    /// `live/run/<node>/<claim>` = [`super::Run`], no lease: a dead node must not take the knowledge of what it ran with it.
    /// Assign writes it; report makes it less or gone; reclaim takes it away. Its create revision is the fence.
    /// `/tenure/default/live/run/n1/3f-2`
    pub fn run(&self, node: &Name, claim: ClaimId) -> String {
        format!("{}{claim}", self.runs_of(node))
    }

    /// Where one node's claims are: all it watches for work.
    pub fn runs_of(&self, node: &Name) -> String {
        format!("{}{node}/", self.runs())
    }

    /// Where all claims are.
    pub fn runs(&self) -> String {
        format!("{}live/run/", self.root)
    }

    /// `live/stop/<node>/<claim>` = [`super::Stop`]. Cancel of running work writes it; it goes with its claim.
    pub fn stop(&self, node: &Name, claim: ClaimId) -> String {
        format!("{}{claim}", self.stops_of(node))
    }

    /// Where the stops of one node's claims are.
    pub fn stops_of(&self, node: &Name) -> String {
        format!("{}{node}/", self.all_stops())
    }

    /// Where all stops are.
    pub fn all_stops(&self) -> String {
        format!("{}live/stop/", self.root)
    }

    /// `pack/<pack>` = [`crate::task::Pack`], immutable. Submit writes it; collect takes it away.
    /// `/tenure/default/pack/0192f0c1-6c00-7abc-8def-012345678900`
    pub fn pack(&self, pack: PackId) -> String {
        format!("{}{pack}", self.pack_prefix())
    }

    /// Where all packs are, oldest first.
    pub fn pack_prefix(&self) -> String {
        format!("{}pack/", self.root)
    }

    /// `result/<pack>/<origin>/<n>` = [`super::Outcomes`]. Report, reclaim, cancel and revive write it; collect takes it away.
    pub fn result(&self, pack: PackId, origin: Origin, n: u32) -> String {
        format!("{}{}/{n}", self.results_of(pack), origin.text())
    }

    /// Where the outcomes of a pack's tasks are.
    pub fn results_of(&self, pack: PackId) -> String {
        format!("{}{pack}/", self.result_prefix())
    }

    /// Where all outcomes are, by pack.
    pub fn result_prefix(&self) -> String {
        format!("{}result/", self.root)
    }

    /// Where all dead letters are, by queue.
    pub fn dead_prefix(&self) -> String {
        format!("{}dead/", self.root)
    }

    /// Where one queue's dead letters are.
    pub fn dead_of(&self, queue: &Name) -> String {
        format!("{}{queue}/", self.dead_prefix())
    }

    /// `idem/<key>` = [`super::Idem`]. Submit writes it; it goes with its pack, never earlier, and a batch's with the
    /// last of its packs.
    pub fn idem(&self, key: &str) -> String {
        format!("{}idem/{key}", self.root)
    }

    /// `gc/<minute>/<pack>` = empty: all tasks of this pack may have ended by this minute. Report, reclaim and cancel write it;
    /// collect takes it away, after the retention; postpone moves it where the pack has to stay for longer.
    pub fn gc(&self, unix_ms: u64, pack: PackId) -> String {
        format!("{}{pack}", self.gc_before(unix_ms))
    }

    /// The first mark of this minute: the end of a range of older ones.
    pub fn gc_before(&self, unix_ms: u64) -> String {
        format!("{}{:08}/", self.gc_prefix(), unix_ms / 60_000)
    }

    /// Where all marks are, oldest first.
    pub fn gc_prefix(&self) -> String {
        format!("{}gc/", self.root)
    }

    /// When the minute of a mark begins, in milliseconds since 1970, and its pack.
    pub fn gc_mark(&self, key: &str) -> Option<(u64, PackId)> {
        let (minute, pack) = key.strip_prefix(&*self.gc_prefix())?.split_once('/')?;
        let minute: u64 = minute.parse().ok()?;
        Some((minute.checked_mul(60_000)?, pack.parse().ok()?))
    }

    /// `horizon` = a pack id: packs below it may have been collected, or a twin of theirs, so none is accepted there. Created at
    /// initialisation, raised by the leader before it collects, never gone.
    pub fn horizon(&self) -> String {
        format!("{}horizon", self.root)
    }

    /// `pulse` = empty. Every batch of submits puts it: etcd checks its quota for puts of the outer transaction only.
    pub fn pulse(&self) -> String {
        format!("{}pulse", self.root)
    }

    /// `term/<R>` = [`super::TermRecord`]. The leader of that term opens it, its successor or its own resignation closes it; the leader
    /// keeps a bounded number of them.
    pub fn term(&self, term: i64) -> String {
        format!("{}{term:020}", self.term_prefix())
    }

    /// Where the leadership history is, oldest first.
    pub fn term_prefix(&self) -> String {
        format!("{}term/", self.root)
    }

    /// The term of a history key.
    pub fn term_of(&self, key: &str) -> Option<i64> {
        key.strip_prefix(&*self.term_prefix())?.parse().ok()
    }

    /// The pack of a `pack/` key.
    pub fn pack_of(&self, key: &str) -> Option<PackId> {
        key.strip_prefix(&*self.pack_prefix())?.parse().ok()
    }

    /// The queue and record of a `dead/` key.
    pub fn dead_record(&self, key: &str) -> Option<(Name, RecordId)> {
        let (queue, id) = key.strip_prefix(&*self.dead_prefix())?.split_once('/')?;
        Some((queue.parse().ok()?, RecordId::parse(id)?))
    }

    /// The pack and origin of a `result/` key.
    pub fn result_of(&self, key: &str) -> Option<(PackId, Origin, u32)> {
        let mut parts = key.strip_prefix(&*self.result_prefix())?.split('/');
        let of = (
            parts.next()?.parse().ok()?,
            Origin::parse(parts.next()?)?,
            parts.next()?.parse().ok()?,
        );
        parts.next().is_none().then_some(of)
    }

    /// Takes a key under `live/` apart; none for what is not one of ours.
    pub fn live(&self, key: &str) -> Option<Live> {
        let rest = key.strip_prefix(&*self.root)?.strip_prefix("live/")?;
        let (room, rest) = rest.split_once('/')?;
        let parts: Vec<&str> = rest.split('/').collect();
        match (room, parts.as_slice()) {
            ("node", [id]) => Some(Live::Node(id.parse().ok()?)),
            ("lane", [queue, kind]) => Some(Live::Lane(Lane::parse(queue, kind)?)),
            ("ready", [queue, kind, _, id]) => {
                Some(Live::Ready(Lane::parse(queue, kind)?, RecordId::parse(id)?))
            }
            ("due", [ms, id]) => Some(Live::Due(ms.parse().ok()?, RecordId::parse(id)?)),
            ("run", [node, claim]) => Some(Live::Run(node.parse().ok()?, claim.parse().ok()?)),
            ("stop", [node, claim]) => Some(Live::Stop(node.parse().ok()?, claim.parse().ok()?)),
            (_, _) => None,
        }
    }
}

impl Lane {
    /// The lane that work of this routing waits in.
    pub fn of(routing: &Routing) -> Self {
        Self {
            queue: routing.queue.clone(),
            kind: routing.kind.clone(),
        }
    }

    fn parse(queue: &str, kind: &str) -> Option<Self> {
        Some(Self {
            queue: queue.parse().ok()?,
            kind: kind.parse().ok()?,
        })
    }
}

impl Origin {
    fn text(self) -> String {
        match self {
            Self::Submit => "0".to_owned(),
            Self::Claim(claim) => claim.to_string(),
            Self::Act(id) => format!("v{id:032x}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self::Submit);
        }
        match text.strip_prefix('v') {
            Some(id) => u128::from_str_radix(id, 16).ok().map(Self::Act),
            None => text.parse().ok().map(Self::Claim),
        }
    }
}

impl RecordId {
    /// The record that a submit makes of its pack.
    pub fn submitted(pack: PackId) -> Self {
        Self {
            pack,
            origin: Origin::Submit,
            n: 0,
        }
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.pack, self.origin.text(), self.n)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let id = Self {
            pack: parts.next()?.parse().ok()?,
            origin: Origin::parse(parts.next()?)?,
            n: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::new(&"c".parse().unwrap())
    }

    fn origin() -> impl Strategy<Value = Origin> {
        prop_oneof![
            Just(Origin::Submit),
            (0_i64.., any::<u64>())
                .prop_map(|(term, number)| Origin::Claim(ClaimId { term, number })),
            any::<u128>().prop_map(Origin::Act),
        ]
    }

    fn routing() -> impl Strategy<Value = Routing> {
        (
            "[a-z0-9][a-zA-Z0-9_.-]{0,20}",
            "[a-z][a-z.-]{0,20}",
            1_u8..=9,
        )
            .prop_map(|(queue, kind, level)| Routing {
                queue: queue.parse().unwrap(),
                kind: kind.parse().unwrap(),
                priority: Priority::new(level).unwrap(),
            })
    }

    proptest! {
        #[test]
        fn a_live_key_comes_apart_into_what_it_was_made_of(
            routing in routing(), origin in origin(), ms in 0_u64..1 << 42, random: u128, n: u32,
        ) {
            let (keys, pack) = (keys(), PackId::new(ms, random));
            let id = RecordId { pack, origin, n };
            let lane = Lane::of(&routing);
            let claim = ClaimId { term: 7, number: u64::from(n) };
            let node = routing.queue.clone();
            prop_assert_eq!(
                keys.live(&keys.record(Place::Ready, &routing, &id)), Some(Live::Ready(lane.clone(), id)));
            prop_assert_eq!(keys.live(&keys.record(Place::Due(ms), &routing, &id)), Some(Live::Due(ms, id)));
            prop_assert_eq!(keys.live(&keys.run(&node, claim)), Some(Live::Run(node.clone(), claim)));
            prop_assert_eq!(keys.live(&keys.stop(&node, claim)), Some(Live::Stop(node.clone(), claim)));
            prop_assert_eq!(keys.live(&keys.lane(&lane)), Some(Live::Lane(lane)));
            prop_assert_eq!(keys.live(&keys.node(&node)), Some(Live::Node(node)));
            prop_assert_eq!(
                keys.dead_record(&keys.record(Place::Dead, &routing, &id)), Some((routing.queue.clone(), id)));
            prop_assert_eq!(keys.result_of(&keys.result(pack, origin, n)), Some((pack, origin, n)));
            prop_assert_eq!(keys.gc_mark(&keys.gc(ms, pack)), Some((ms / 60_000 * 60_000, pack)));
            prop_assert_eq!(keys.pack_of(&keys.pack(pack)), Some(pack));
        }
    }

    #[test]
    fn higher_priority_then_older_packs_come_first() {
        let keys = keys();
        let key = |level, ms| {
            let priority = Priority::new(level).unwrap();
            let routing = Routing {
                queue: "q".parse().unwrap(),
                kind: "k".parse().unwrap(),
                priority,
            };
            keys.record(
                Place::Ready,
                &routing,
                &RecordId::submitted(PackId::new(ms, 9)),
            )
        };
        let mut sorted = [key(1, 1), key(5, 2), key(9, 3), key(5, 1)];
        sorted.sort();
        assert_eq!(sorted, [key(9, 3), key(5, 1), key(5, 2), key(1, 1)]);
    }

    #[test]
    fn ranges_end_where_the_next_begins() {
        let (keys, pack) = (keys(), PackId::new(7, 9));
        let routing = Routing {
            queue: "q".parse().unwrap(),
            kind: "k".parse().unwrap(),
            priority: Priority::new(7).unwrap(),
        };
        let lane = Lane::of(&routing);
        let key = keys.record(Place::Ready, &routing, &RecordId::submitted(pack));

        let (next, end) = (Keys::following(&key), Keys::past(&keys.ready_lane(&lane)));

        assert!(key < next && next < end && keys.ready_lane(&lane) < key);
        let named = Some((routing.priority, pack));
        assert_eq!(keys.ready_edge(&lane, &key), named);
        assert_eq!(keys.ready_edge(&lane, &next), named);
        let since = keys.ready_since(&lane, routing.priority, 7);
        assert_eq!(
            keys.ready_edge(&lane, &since),
            Some((routing.priority, PackId::floor(7)))
        );
        for nowhere in [keys.ready_lane(&lane), end, keys.due_prefix()] {
            assert_eq!(keys.ready_edge(&lane, &nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn foreign_keys_are_nobody() {
        for key in [
            "",
            "/tenure/c/live/",
            "/tenure/d/live/node/a",
            "/tenure/c/live/run/a",
            "/tenure/c/live/node/a/b",
        ] {
            assert_eq!(keys().live(key), None, "{key}");
        }
    }
}
