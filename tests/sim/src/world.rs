//! The world of a run: a store with three members, three nodes, and the links between them; breaks and mends what it is told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use tenure::clock::Clock;
use tenure::config::{Config, Flags, Loaded, Sources};
use tenure::node::{Node, Outside};
use tenure::store::{Keys, Store};
use tenure::worker::{Machine, Reading};
use tenure_chaos::history::{Marker, NodeEvent};
use tenure_cluster::{Channel, Connection, Options};
use tenure_embedded::Embedded;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use crate::chronicle::Chronicle;
use crate::clients::{Door, Doors};
use crate::dice::Dice;
use crate::faults::{Fault, MEMBERS, NODES};
use crate::link::{Link, Writes};
use crate::{weather, work};

/// What the wall clock says when a run begins: 2026-01-01, in milliseconds since 1970.
pub(crate) const EPOCH_MS: u64 = 1_767_225_600_000;

/// Node names.
const NAMES: [&str; NODES] = ["n0", "n1", "n2"];

/// The world.
pub(crate) struct World {
    pub(crate) store: Arc<Embedded>,
    pub(crate) doors: Doors,
    chronicle: Chronicle,
    dice: Dice,
    began: Instant,
    crossing: TaskTracker,
    pub(crate) writes: Writes,
    nodes: Vec<Place>,
    /// The faults that go on, in the order they began.
    open: Vec<Fault>,
    settings: Settings,
}

/// What nodes are told beside their names.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) lease_ttl_secs: u64,
    pub(crate) slots: u64,
    pub(crate) window: u64,
    pub(crate) retention_secs: u64,
    pub(crate) death_budget: u64,
}

/// Where a node is, whether a process is there or not.
struct Place {
    name: &'static str,
    links: Vec<Link>,
    ahead_ms: Arc<AtomicI64>,
    incarnation: u64,
    process: Option<Process>,
}

/// A process; dropping it ends it as kill -9 does.
struct Process {
    gone: CancellationToken,
    _ends: JoinSet<()>,
}

impl World {
    pub(crate) fn new(
        store: Arc<Embedded>,
        settings: Settings,
        dice: Dice,
        chronicle: Chronicle,
    ) -> Self {
        let crossing = TaskTracker::new();
        let writes = Writes::default();
        let nodes = NAMES
            .iter()
            .map(|name| Place {
                name,
                links: (0..MEMBERS)
                    .map(|_| {
                        Link::new(
                            name,
                            BoxCloneSyncService::new(store.service()),
                            dice.split(),
                            crossing.clone(),
                            Arc::clone(&writes),
                        )
                    })
                    .collect(),
                ahead_ms: Arc::default(),
                incarnation: 0,
                process: None,
            })
            .collect();
        Self {
            store,
            doors: Arc::new(Mutex::new(vec![None; NODES])),
            chronicle,
            dice,
            began: Instant::now(),
            crossing,
            writes,
            nodes,
            open: Vec::new(),
            settings,
        }
    }

    /// A connection of its own, over links that nothing breaks.
    pub(crate) fn calm_connection(&self) -> Connection {
        Connection::open(Options::in_process([(
            "calm".to_owned(),
            self.store.channel(),
        )]))
        .expect("a channel is enough")
    }

    /// Where somebody writes who asks through a node: over its links, by its clock.
    pub(crate) fn store_of(&self, node: usize) -> Store {
        let members = self.nodes[node].links.iter().enumerate();
        let channels =
            members.map(|(member, link)| (format!("m{member}"), Channel::Custom(link.channel())));
        let connection =
            Connection::open(Options::in_process(channels)).expect("channels are enough");
        Store::new(connection, keys()).with_clock(self.clock(node))
    }

    /// The same over links that nothing breaks, by a clock that is right.
    pub(crate) fn calm_store(&self) -> Store {
        let right = clock(self.began, Arc::default());
        Store::new(self.calm_connection(), keys()).with_clock(right)
    }

    /// Starts a process under a node's name.
    pub(crate) fn start(&mut self, node: usize) {
        let config = self.config(node);
        let clock = self.clock(node);
        let place = &mut self.nodes[node];
        place.incarnation += 1;
        let members = place.links.iter().enumerate();
        let channels =
            members.map(|(member, link)| (format!("m{member}"), Channel::Custom(link.channel())));
        let connection =
            Connection::open(Options::in_process(channels)).expect("channels are enough");
        let outside = Outside {
            connection,
            clock,
            address: format!("nowhere://{}", place.name),
        };
        let (name, incarnation) = (place.name, place.incarnation);
        let node_of = Node::new(config)
            .expect("the settings of the simulation hold")
            .machine(Machine::of(Reading::default))
            .kinds(|builder| work::kinds(builder, name, incarnation, &self.chronicle));
        let (stop, gone) = (CancellationToken::new(), CancellationToken::new());
        let (router, running) = node_of
            .in_process(outside, stop)
            .expect("a node of the simulation fits");
        self.chronicle.saw(NodeEvent::Started {
            node: name.to_owned(),
            incarnation,
        });
        let mut ends = JoinSet::new();
        ends.spawn(async move {
            if let Err(problem) = running.await {
                tracing::error!(node = name, %problem, "a node ended");
            }
        });
        self.doors.lock().expect("nothing panics while it is held")[node] = Some(Door {
            router,
            gone: gone.clone(),
        });
        place.process = Some(Process { gone, _ends: ends });
    }

    /// Ends a process as kill -9 does. What it had sent stays on its way.
    pub(crate) fn kill(&mut self, node: usize) {
        let place = &mut self.nodes[node];
        let Some(process) = place.process.take() else {
            return;
        };
        process.gone.cancel();
        self.doors.lock().expect("nothing panics while it is held")[node] = None;
        drop(process);
        for link in &place.links {
            link.break_off();
        }
        self.chronicle.saw(NodeEvent::Crashed {
            node: place.name.to_owned(),
            incarnation: place.incarnation,
        });
    }

    /// Breaks something.
    pub(crate) async fn break_(&mut self, fault: &Fault) {
        if fault.lasts() {
            self.open.push(fault.clone());
            self.weather();
        }
        match *fault {
            Fault::Crash { node } => self.kill(node),
            Fault::Break { node } => self.nodes[node].links.iter().for_each(Link::break_off),
            Fault::Member { member } => self.each_member(member, Link::break_off),
            Fault::Store => {
                self.store.crash();
                for member in 0..MEMBERS {
                    self.each_member(member, Link::break_off);
                }
            }
            Fault::StoreLeader => {
                self.store.renew_all_leases();
                self.chronicle.saw(Marker::LeaderChanged {
                    member: format!("m{}", self.dice.below(MEMBERS)),
                });
            }
            Fault::Revoke { node } => self.revoke(node).await,
            Fault::Compact => {
                let revision = self.store.revision();
                self.store.compact(revision);
                self.chronicle.saw(Marker::Compacted { revision });
            }
            Fault::NoSpace => {
                self.store.raise_no_space();
                self.chronicle.saw(Marker::NoSpace { on: true });
            }
            Fault::Cut { .. }
            | Fault::CutOne { .. }
            | Fault::Slow { .. }
            | Fault::LoseRequests { .. }
            | Fault::LoseAnswers { .. }
            | Fault::Clock { .. } => {}
        }
    }

    /// Mends what a fault broke, as far as no other that is open breaks it too.
    pub(crate) fn mend(&mut self, fault: &Fault) {
        if let Some(at) = self.open.iter().position(|open| open == fault) {
            self.open.remove(at);
        }
        self.weather();
        match *fault {
            Fault::Crash { node } if !self.open.contains(fault) => {
                if self.nodes[node].process.is_none() {
                    self.start(node);
                }
            }
            Fault::Store => {
                for member in 0..MEMBERS {
                    self.chronicle.saw(Marker::Restarted {
                        member: format!("m{member}"),
                    });
                }
            }
            Fault::NoSpace if !self.open.contains(fault) => {
                self.store.lower_no_space();
                self.chronicle.saw(Marker::NoSpace { on: false });
            }
            Fault::Crash { .. }
            | Fault::NoSpace
            | Fault::Cut { .. }
            | Fault::CutOne { .. }
            | Fault::Slow { .. }
            | Fault::LoseRequests { .. }
            | Fault::LoseAnswers { .. }
            | Fault::Member { .. }
            | Fault::Clock { .. }
            | Fault::Break { .. }
            | Fault::StoreLeader
            | Fault::Revoke { .. }
            | Fault::Compact => {}
        }
    }

    /// Makes every link and clock as the open faults say.
    fn weather(&self) {
        for (node, place) in self.nodes.iter().enumerate() {
            for (member, link) in place.links.iter().enumerate() {
                link.set(weather::between(node, member, &self.open));
            }
            let ahead_ms = weather::ahead_ms(node, &self.open);
            place.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        }
    }

    /// Everything as it should be: all faults over, all nodes there.
    pub(crate) fn heal(&mut self) {
        self.open.clear();
        self.weather();
        for node in 0..NODES {
            if self.nodes[node].process.is_none() {
                self.start(node);
            }
        }
        self.store.lower_no_space();
    }

    /// What a node shows of its metrics; nothing where none answers.
    pub(crate) async fn metrics(&self) -> String {
        let door = {
            let doors = self.doors.lock().expect("nothing panics while it is held");
            doors.iter().flatten().next().cloned()
        };
        let Some(door) = door else {
            return String::new();
        };
        let request = http::Request::get("/metrics")
            .body(axum::body::Body::empty())
            .expect("a well formed request");
        let answer = door
            .router
            .oneshot(request)
            .await
            .unwrap_or_else(|never| match never {});
        let body = http_body_util::BodyExt::collect(answer.into_body()).await;
        body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned())
            .unwrap_or_default()
    }

    /// The name of a node.
    pub(crate) fn name(node: usize) -> &'static str {
        NAMES[node]
    }

    /// An operator ends the lease of whoever has a node's name.
    async fn revoke(&self, node: usize) {
        let key = format!("/tenure/default/live/node/{}", NAMES[node]);
        let calm = self.calm_connection();
        let Ok(page) = calm.range(&tenure_cluster::Range::key(key)).await else {
            return;
        };
        for kv in page.kvs {
            if calm.revoke(kv.lease).await.is_ok() {
                self.chronicle.saw(Marker::LeaseRevoked { lease: kv.lease });
            }
        }
    }

    fn each_member(&self, member: usize, act: impl Fn(&Link)) {
        for place in &self.nodes {
            act(&place.links[member]);
        }
    }

    /// The node's wall clock: the simulation's, and how far it is off.
    fn clock(&self, node: usize) -> Clock {
        clock(self.began, Arc::clone(&self.nodes[node].ahead_ms))
    }

    fn config(&self, node: usize) -> Config {
        let settings = &self.settings;
        let env: BTreeMap<&str, String> = BTreeMap::from([
            ("TENURE_NODE_NAME", NAMES[node].to_owned()),
            ("TENURE_LISTEN", "127.0.0.1:1".to_owned()),
            ("TENURE_LEASE_TTL", format!("{}s", settings.lease_ttl_secs)),
            ("TENURE_SLOTS", settings.slots.to_string()),
            ("TENURE_WINDOW", settings.window.to_string()),
            ("TENURE_RETENTION", format!("{}s", settings.retention_secs)),
            ("TENURE_DEATH_BUDGET", settings.death_budget.to_string()),
        ]);
        let flags = Flags::default();
        let sources = Sources {
            flags: &flags,
            env: &|name| env.get(name).cloned(),
        };
        Loaded::read(&sources)
            .expect("the settings of the simulation are read")
            .config
    }
}

fn keys() -> Keys {
    Keys::new(&"default".parse().expect("a name"))
}

fn clock(began: Instant, ahead_ms: Arc<AtomicI64>) -> Clock {
    Clock::of(move || {
        let elapsed_ms =
            i64::try_from(began.elapsed().as_millis()).expect("a run is shorter than eternity");
        let epoch_ms = i64::try_from(EPOCH_MS).expect("the year is not that late");
        u64::try_from(epoch_ms + elapsed_ms + ahead_ms.load(Ordering::Relaxed)).expect("after 1970")
    })
}

impl Drop for World {
    fn drop(&mut self) {
        self.crossing.close();
    }
}
