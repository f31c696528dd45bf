//! Every key Tenure has in etcd, spelled once; no other file builds or takes apart a key.
//!
//! All keys live under `/tenure/<cluster>/`. What the leader must see of every change is under `live/`, so that one
//! watch delivers it revision by revision; the rest is read when asked for. Each function below is one row of the
//! contract: pattern, value, who writes it, when it goes away, example.

use std::sync::Arc;

use crate::task::{ClaimId, Gate, Name, PackId, Priority, Routing};

/// The keys of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    root: Arc<str>,
}

/// Where ready work that can be told apart by nothing but its age waits: the scheduler keeps one window per lane, so that what
/// nobody runs, or what waits for a full semaphore, blocks nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// The queue.
    pub queue: Name,
    /// The kind.
    pub kind: Name,
    /// The set of labels that its nodes must have, as [`crate::task::Needs::place`] names it.
    pub place: Option<u64>,
    /// What it is filed under, or waits for.
    pub gate: Option<Gate>,
    /// The priority.
    pub priority: Priority,
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
    /// Among the ready ones of its own lane.
    Ready,
    /// Among the ready ones that wait for this gate, by its number among those of its routing.
    Parked(u8),
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
    /// A node is to take no work.
    Drain(Name),
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
    /// A semaphore's limit.
    Semaphore(Name),
    /// A queue's rules.
    Queue(Name),
    /// The mark of every edit of a limit or of a queue's rules.
    Rules,
    /// When a schedule is to be looked at next.
    Tick(u64, Name),
    /// Somebody outside waits for a lock or for permits.
    Want(Gate, u128),
    /// Somebody outside holds a lock or permits.
    Hold(Gate, u128),
    /// A session that ended by evidence, not by time.
    Death(i64),
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

    /// The node of a `live/node/` key.
    pub fn node_of(&self, key: &str) -> Option<Name> {
        key.strip_prefix(&*self.node_prefix())?.parse().ok()
    }

    /// Where all nodes are.
    pub fn node_prefix(&self) -> String {
        format!("{}live/node/", self.root)
    }

    /// `live/drain/<node>` = [`super::Drain`], no lease: whoever starts under that name stays drained. Drain by an admin writes it, undrain
    /// takes it away. `/tenure/default/live/drain/n1`
    pub fn drain(&self, node: &Name) -> String {
        format!("{}{node}", self.drain_prefix())
    }

    /// Where all drains are.
    pub fn drain_prefix(&self) -> String {
        format!("{}live/drain/", self.root)
    }

    /// `live/death/<S>` = [`super::Death`], no lease: on what evidence a node's session was ended, before its lease is revoked. Whoever
    /// noticed writes it; it goes once its session's claims are taken back and that is on record, with its story, and beyond a bounded
    /// number of them. `/tenure/default/live/death/00000000000000004711`
    pub fn death(&self, session: i64) -> String {
        format!("{}{session:020}", self.death_prefix())
    }

    /// Where all of those are, the oldest session first.
    pub fn death_prefix(&self) -> String {
        format!("{}live/death/", self.root)
    }

    /// The session of a `live/death/` key.
    pub fn death_of(&self, key: &str) -> Option<i64> {
        key.strip_prefix(&*self.death_prefix())?.parse().ok()
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

    /// `breaker/<node>` = a list of [`super::BreakerRecord`], leased. Written by the node when a breaker of its changes; goes where all are
    /// closed, and with its session. `/tenure/default/breaker/n1`
    pub fn breaker(&self, node: &Name) -> String {
        format!("{}{node}", self.breaker_prefix())
    }

    /// Where all nodes' breakers are.
    pub fn breaker_prefix(&self) -> String {
        format!("{}breaker/", self.root)
    }

    /// The node of a `breaker/` key.
    pub fn breaker_node(&self, key: &str) -> Option<Name> {
        key.strip_prefix(&*self.breaker_prefix())?.parse().ok()
    }

    /// `reset/<node>` = [`super::Reset`], leased to the node's session. A user writes it, each over the last; the node watches it; goes
    /// with the session. `/tenure/default/reset/n1`
    pub fn reset(&self, node: &Name) -> String {
        format!("{}reset/{node}", self.root)
    }

    /// `live/lane/<lane>` = empty. Written before the first submit to a lane, and stays. `/tenure/default/live/lane/mail/http/-/-/4`
    ///
    /// `live/passing/<lane>` = empty, for a lane under a lock or a key. Written with what is parked there; goes when the lane is empty.
    /// `/tenure/default/live/passing/mail/http/-/l.ledger/4`
    pub fn lane(&self, lane: &Lane) -> String {
        let prefix = if lane.is_passing() {
            self.passing_prefix()
        } else {
            self.lane_prefix()
        };
        format!("{prefix}{}", lane.text())
    }

    /// Where all lanes are.
    pub fn lane_prefix(&self) -> String {
        format!("{}live/lane/", self.root)
    }

    /// Where all lanes under locks and keys are: as many as are waited for, and not counted among the others.
    pub fn passing_prefix(&self) -> String {
        format!("{}live/passing/", self.root)
    }

    /// A record's key in its place; `<lane>` is `<queue>/<kind>/<place>/<gate>/<9 - priority>`:
    /// - `live/ready/<lane>/<pack>.<origin>.<n>`: submit, promote, report, reclaim, revive write it; assign and cancel make it less
    ///   or gone, park moves it to the lane of a gate.
    /// - `live/due/<ms>/<pack>.<origin>.<n>`: submit and report write it; promote and cancel take it away.
    /// - `dead/<queue>/<pack>.<origin>.<n>`: report and reclaim write it; revive and cancel take it away.
    ///
    /// All three hold a [`super::Record`]. A `<place>` is `-` or 16 hex digits; a `<gate>` is `-`, `s.<semaphore>`, `l.<lock>` or
    /// `k.<concurrency key>`.
    pub fn record(&self, place: Place, routing: &Routing, id: &RecordId) -> String {
        match place {
            Place::Ready => self.ready(&Lane::of(routing), id),
            Place::Parked(nth) => self.ready(&Lane::parked(routing, nth), id),
            Place::Due(ms) => format!("{}{ms:013}/{}", self.due_prefix(), id.text()),
            Place::Dead => format!("{}{}/{}", self.dead_prefix(), routing.queue, id.text()),
        }
    }

    fn ready(&self, lane: &Lane, id: &RecordId) -> String {
        format!("{}{}", self.ready_lane(lane), id.text())
    }

    /// Where all ready records are.
    pub fn ready_prefix(&self) -> String {
        format!("{}live/ready/", self.root)
    }

    /// Where the ready records of a queue are.
    pub fn ready_queue(&self, queue: &Name) -> String {
        format!("{}{queue}/", self.ready_prefix())
    }

    /// Where the ready records of a queue and kind are.
    pub fn ready_kind(&self, queue: &Name, kind: &Name) -> String {
        format!("{}{kind}/", self.ready_queue(queue))
    }

    /// Where the ready records of a lane are.
    pub fn ready_lane(&self, lane: &Lane) -> String {
        format!("{}{}/", self.ready_prefix(), lane.text())
    }

    /// The first key of a lane's packs made at or after this millisecond: a bound for ranges.
    pub fn ready_since(&self, lane: &Lane, unix_ms: u64) -> String {
        format!("{}{}", self.ready_lane(lane), PackId::floor(unix_ms))
    }

    /// The pack that the first record at or behind a key of this lane has at least; none for a key that names none.
    pub fn ready_edge(&self, lane: &Lane, key: &str) -> Option<PackId> {
        let id = key.strip_prefix(&*self.ready_lane(lane))?;
        let (pack, _) = id.split_at_checked(PackId::CHARS)?;
        pack.parse().ok()
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

    /// `live/sem/<name>` = [`super::Limit`]. An admin writes it and takes it away. `/tenure/default/live/sem/db`
    pub fn semaphore(&self, name: &Name) -> String {
        format!("{}{name}", self.semaphore_prefix())
    }

    /// Where all semaphores are.
    pub fn semaphore_prefix(&self) -> String {
        format!("{}live/sem/", self.root)
    }

    /// `live/queue/<name>` = [`super::QueueRules`]. An admin writes it and takes it away. `/tenure/default/live/queue/mail`
    pub fn queue(&self, name: &Name) -> String {
        format!("{}{name}", self.queue_prefix())
    }

    /// Where the rules of all queues are.
    pub fn queue_prefix(&self) -> String {
        format!("{}live/queue/", self.root)
    }

    /// `live/rules` = empty. Every edit of a limit or of a queue's rules puts it, and so does whatever keeps work from a node: a drain,
    /// and a node that leaves. Assign and grant compare it, so that none of them follows an edit it has not seen.
    pub fn rules(&self) -> String {
        format!("{}live/rules", self.root)
    }

    /// `live/tick/<ms>/<name>` = empty: when this schedule is to be looked at next. Whatever writes its progress writes it, one at a
    /// time; fire moves it, pause and delete take it away. `/tenure/default/live/tick/1763740800000/nightly`
    pub fn tick(&self, ms: u64, schedule: &Name) -> String {
        format!("{}{ms:013}/{schedule}", self.tick_prefix())
    }

    /// Where all of those are, the earliest first.
    pub fn tick_prefix(&self) -> String {
        format!("{}live/tick/", self.root)
    }

    /// `sched/<name>` = [`crate::task::Schedule`]. Declared, edited and deleted by an admin. Its create revision tells it from others of
    /// its name before and after it. `/tenure/default/sched/nightly`
    pub fn schedule(&self, name: &Name) -> String {
        format!("{}{name}", self.schedule_prefix())
    }

    /// Where all schedules are, by name.
    pub fn schedule_prefix(&self) -> String {
        format!("{}sched/", self.root)
    }

    /// The name of a `sched/` key.
    pub fn schedule_of(&self, key: &str) -> Option<Name> {
        key.strip_prefix(&*self.schedule_prefix())?.parse().ok()
    }

    /// `schedstate/<name>` = [`crate::task::Progress`]: how far a schedule has got. Declare, edit, fire, trigger and backfill write it;
    /// delete takes it away. `/tenure/default/schedstate/nightly`
    pub fn progress(&self, name: &Name) -> String {
        format!("{}{name}", self.progress_prefix())
    }

    /// Where the progress of all schedules is, by name.
    pub fn progress_prefix(&self) -> String {
        format!("{}schedstate/", self.root)
    }

    /// `ledger/<name>/<page>` = [`crate::task::Page`]: what became of a schedule's due times. Whatever fills a page writes it, and takes the
    /// oldest one away beyond a bounded number; delete takes all away. `/tenure/default/ledger/nightly/00000007`
    pub fn ledger(&self, name: &Name, page: u64) -> String {
        format!("{}{page:08}", self.ledger_of(name))
    }

    /// Where the full pages of one schedule's ledger are, the oldest first.
    pub fn ledger_of(&self, name: &Name) -> String {
        format!("{}ledger/{name}/", self.root)
    }

    /// `deleted` = empty: the mark of schedules that were deleted, so that no late copy of a declaration brings one back. Delete puts it;
    /// it never goes.
    pub fn deleted(&self) -> String {
        format!("{}deleted", self.root)
    }

    /// `live/want/<gate>/<id>` = [`super::Outside`], leased to who waits. Who waits writes it; grant takes it away.
    /// `/tenure/default/live/want/l.deploy/0192f0c16c007abc8def012345678900`
    pub fn want(&self, gate: &Gate, id: u128) -> String {
        format!("{}{id:032x}", self.wants_of(gate))
    }

    /// Where those are that wait for this outside. Who was there first has the lowest create revision.
    pub fn wants_of(&self, gate: &Gate) -> String {
        format!("{}{}/", self.want_prefix(), segment(gate))
    }

    /// Where all that wait outside are.
    pub fn want_prefix(&self) -> String {
        format!("{}live/want/", self.root)
    }

    /// `live/hold/<gate>/<id>` = [`super::Outside`], leased to its holder. Grant writes it; release and force-release take it away.
    /// Its create revision is the fence. `/tenure/default/live/hold/s.db/0192f0c16c007abc8def012345678900`
    pub fn hold(&self, gate: &Gate, id: u128) -> String {
        format!("{}{id:032x}", self.holds_of(gate))
    }

    /// Where those are that hold this outside.
    pub fn holds_of(&self, gate: &Gate) -> String {
        format!("{}{}/", self.hold_prefix(), segment(gate))
    }

    /// Where all that hold outside are.
    pub fn hold_prefix(&self) -> String {
        format!("{}live/hold/", self.root)
    }

    /// `released/<fence>/<gate>/<id>` = [`super::Released`]: an admin took this hold away. Force-release writes it; the next ones take
    /// it away beyond a bounded number. What is granted in one transaction has one fence, and an id may be used under two names.
    /// `/tenure/default/released/00000000000000004711/l.deploy/0192f0c16c007abc8def012345678900`
    pub fn released(&self, fence: i64, gate: &Gate, id: u128) -> String {
        let prefix = self.released_prefix();
        format!("{prefix}{fence:020}/{}/{id:032x}", segment(gate))
    }

    /// Where all records of force-releases are, the oldest hold first.
    pub fn released_prefix(&self) -> String {
        format!("{}released/", self.root)
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

    /// `failover/<id>` = [`super::Failover`]: what became of a session that is over, under its create revision; of a term that is over
    /// while its session lives, under the term's. The leader writes it, and again as it learns more; beyond a bounded number it takes the
    /// oldest away. `/tenure/default/failover/00000000000000004711`
    pub fn failover(&self, id: i64) -> String {
        format!("{}{id:020}", self.failover_prefix())
    }

    /// Where all of those are; by when they were written, their create revisions tell.
    pub fn failover_prefix(&self) -> String {
        format!("{}failover/", self.root)
    }

    /// The id of a `failover/` key.
    pub fn failover_of(&self, key: &str) -> Option<i64> {
        key.strip_prefix(&*self.failover_prefix())?.parse().ok()
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

    /// The id of a `live/want` or `live/hold` key.
    pub fn outside_id(&self, key: &str) -> Option<u128> {
        key.rsplit_once('/').and_then(|(_, id)| outside(id))
    }

    /// Takes a key under `live/` apart; none for what is not one of ours.
    pub fn live(&self, key: &str) -> Option<Live> {
        let rest = key.strip_prefix(&*self.root)?.strip_prefix("live/")?;
        if rest == "rules" {
            return Some(Live::Rules);
        }
        let (room, rest) = rest.split_once('/')?;
        let parts: Vec<&str> = rest.split('/').collect();
        match (room, parts.as_slice()) {
            ("node", [id]) => Some(Live::Node(id.parse().ok()?)),
            ("drain", [id]) => Some(Live::Drain(id.parse().ok()?)),
            ("lane" | "passing", lane) => Some(Live::Lane(Lane::parse(lane)?)),
            ("ready", [lane @ .., id]) => {
                Some(Live::Ready(Lane::parse(lane)?, RecordId::parse(id)?))
            }
            ("due", [ms, id]) => Some(Live::Due(ms.parse().ok()?, RecordId::parse(id)?)),
            ("run", [node, claim]) => Some(Live::Run(node.parse().ok()?, claim.parse().ok()?)),
            ("stop", [node, claim]) => Some(Live::Stop(node.parse().ok()?, claim.parse().ok()?)),
            ("sem", [name]) => Some(Live::Semaphore(name.parse().ok()?)),
            ("queue", [name]) => Some(Live::Queue(name.parse().ok()?)),
            ("tick", [ms, name]) => Some(Live::Tick(ms.parse().ok()?, name.parse().ok()?)),
            ("want", [gate, id]) => Some(Live::Want(outer_gate(gate)?, outside(id)?)),
            ("hold", [gate, id]) => Some(Live::Hold(outer_gate(gate)?, outside(id)?)),
            ("death", [session]) => Some(Live::Death(session.parse().ok()?)),
            (_, _) => None,
        }
    }
}

impl Lane {
    /// The lane that work of this routing waits in: filed under its first semaphore, for there are few of those, but not under a
    /// lock or a key, of which there are as many as users have customers.
    pub fn of(routing: &Routing) -> Self {
        let needs = routing.needs.as_ref();
        let first = needs.and_then(|needs| needs.permits.first());
        let gate = first.map(|permit| Gate::Semaphore(permit.semaphore.clone()));
        Self::under(routing, gate)
    }

    /// The lane in which it waits for this of its gates; its own where there is no such gate.
    pub fn parked(routing: &Routing, nth: u8) -> Self {
        match routing.gates().nth(usize::from(nth)) {
            Some((gate, _)) => Self::under(routing, Some(gate)),
            None => Self::of(routing),
        }
    }

    /// The lane of a place among the ready ones; its own for any other.
    pub fn at(routing: &Routing, place: Place) -> Self {
        match place {
            Place::Parked(nth) => Self::parked(routing, nth),
            Place::Ready | Place::Due(_) | Place::Dead => Self::of(routing),
        }
    }

    fn under(routing: &Routing, gate: Option<Gate>) -> Self {
        Self {
            queue: routing.queue.clone(),
            kind: routing.kind.clone(),
            place: routing.needs.as_ref().and_then(|needs| needs.place()),
            gate,
            priority: routing.priority,
        }
    }

    /// Whether its mark goes when it is empty: only the leader puts work there.
    pub fn is_passing(&self) -> bool {
        match self.gate {
            Some(Gate::Lock(_) | Gate::Key(..)) => true,
            Some(Gate::Semaphore(_)) | None => false,
        }
    }

    fn text(&self) -> String {
        let place = self
            .place
            .map_or("-".to_owned(), |place| format!("{place:016x}"));
        let gate = self.gate.as_ref().map_or("-".to_owned(), segment);
        let level = self.priority.inverted();
        format!("{}/{}/{place}/{gate}/{level}", self.queue, self.kind)
    }

    fn parse(parts: &[&str]) -> Option<Self> {
        let [queue, kind, place, gate, level] = parts else {
            return None;
        };
        let queue: Name = queue.parse().ok()?;
        Some(Self {
            kind: kind.parse().ok()?,
            place: match *place {
                "-" => None,
                digits => Some(u64::from_str_radix(digits, 16).ok()?),
            },
            gate: match *gate {
                "-" => None,
                text => Some(gate_of(text, &queue)?),
            },
            priority: Priority::from_inverted(level.parse().ok()?)?,
            queue,
        })
    }
}

/// A gate as one part of a key.
fn segment(gate: &Gate) -> String {
    match gate {
        Gate::Lock(name) => format!("l.{name}"),
        Gate::Key(_, key) => format!("k.{key}"),
        Gate::Semaphore(name) => format!("s.{name}"),
    }
}

/// The gate of a part of a key under this queue.
fn gate_of(text: &str, queue: &Name) -> Option<Gate> {
    match text.strip_prefix("k.") {
        Some(key) => Some(Gate::Key(queue.clone(), key.parse().ok()?)),
        None => outer_gate(text),
    }
}

/// The gate of a part of a key, one that is not a queue's own.
fn outer_gate(text: &str) -> Option<Gate> {
    let (sort, name) = text.split_once('.')?;
    let name = name.parse().ok()?;
    match sort {
        "l" => Some(Gate::Lock(name)),
        "s" => Some(Gate::Semaphore(name)),
        _ => None,
    }
}

fn outside(id: &str) -> Option<u128> {
    u128::from_str_radix(id, 16).ok()
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
#[path = "keys_tests.rs"]
mod tests;
