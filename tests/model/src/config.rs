//! The configurations: each switches on some of what can happen, so that all of it can be searched to the end.

/// A pack of one or two tasks.
#[derive(Clone, Copy, Debug)]
pub struct PackOf {
    /// How many tasks.
    pub tasks: u8,
    /// Whether it starts scheduled.
    pub due: bool,
    /// The user's request that it is for; two packs of one request are two attempts to submit it.
    pub request: u8,
    /// Whether the request has an idempotency key.
    pub idem: bool,
    /// Permits that each of its tasks holds while it is claimed.
    pub weight: u8,
    /// Whether its tasks hold the lock while they are claimed.
    pub lock: bool,
}

/// What somebody outside asks for, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// So many permits.
    Permits(u8),
    /// The lock.
    Lock,
}

/// What happens in a search.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Packs, at most two.
    pub packs: &'static [PackOf],
    /// One or two nodes.
    pub nodes: u8,
    /// Tasks a node has room for.
    pub room: u32,
    /// Transactions on their way at once, copies that nobody waits for included.
    pub flights: usize,
    /// How often a leader's lease ends, how often a node's, and how often a task is handed back.
    pub faults: (u8, u8, u8),
    /// Failures before a task is a dead letter; 0: runs do not fail.
    pub failures: u8,
    /// Deaths before a task is a dead letter; 0: nodes only lose sessions.
    pub deaths: u8,
    /// Whether records are assigned and claims reported in parts.
    pub partial: bool,
    /// Cancels: of which pack and task.
    pub cancels: &'static [(u8, u8)],
    /// The task to be revived once.
    pub revive: Option<(u8, u8)>,
    /// Whether ended packs are collected.
    pub collects: bool,
    /// How many permits there are.
    pub limit: u8,
    /// What that is lowered to at any time.
    pub lowered: Option<u8>,
    /// Those outside who ask for permits or the lock, at most two.
    pub outside: &'static [Outside],
    /// How often a lease of theirs ends.
    pub leases: u8,
    /// What the search is expected to find: unique states, and how many steps the longest shortest way has.
    pub size: (usize, usize),
}

const ONE: PackOf = PackOf {
    tasks: 1,
    due: false,
    request: 1,
    idem: false,
    weight: 0,
    lock: false,
};
const TWO: PackOf = PackOf { tasks: 2, ..ONE };
const KEYED: PackOf = PackOf { idem: true, ..ONE };
const PERMIT: PackOf = PackOf { weight: 1, ..ONE };
const LOCKED: PackOf = PackOf { lock: true, ..ONE };

const BASE: Config = Config {
    name: "",
    about: "",
    packs: &[TWO],
    nodes: 2,
    room: 2,
    flights: 2,
    faults: (0, 0, 0),
    failures: 0,
    deaths: 0,
    partial: false,
    cancels: &[],
    revive: None,
    collects: false,
    limit: 0,
    lowered: None,
    outside: &[],
    leases: 0,
    size: (0, 0),
};

/// All of them.
pub const ALL: &[Config] = &[
    Config {
        name: "terms",
        about: "one task; leaders and nodes lose leases, runs are handed back",
        packs: &[ONE],
        flights: 3,
        faults: (1, 2, 1),
        size: (449_847, 30),
        ..BASE
    },
    Config {
        name: "parts",
        about: "a pack of two assigned and reported in parts; a node loses its lease",
        flights: 3,
        partial: true,
        faults: (0, 1, 0),
        size: (24_584, 24),
        ..BASE
    },
    Config {
        name: "two leaders",
        about: "the same; a leader loses its lease too",
        flights: 2,
        partial: true,
        faults: (1, 1, 0),
        size: (84_848, 26),
        ..BASE
    },
    Config {
        name: "hand back",
        about: "two tasks, in parts, handed back and lost",
        flights: 2,
        partial: true,
        faults: (0, 1, 2),
        size: (318_365, 35),
        ..BASE
    },
    Config {
        name: "retry",
        about: "one task fails, is promoted, lost and fails again",
        packs: &[ONE],
        flights: 3,
        faults: (1, 1, 1),
        failures: 2,
        size: (674_931, 30),
        ..BASE
    },
    Config {
        name: "retry in parts",
        about: "two tasks fail apart, on two nodes",
        flights: 2,
        partial: true,
        failures: 2,
        size: (8_917, 26),
        ..BASE
    },
    Config {
        name: "deaths",
        about: "nodes die with a pack of two: pieces, blame, dead letters",
        flights: 3,
        faults: (0, 2, 0),
        deaths: 1,
        size: (137_549, 30),
        ..BASE
    },
    Config {
        name: "cancel waiting",
        about: "one of two scheduled tasks is cancelled on its way; a leader and a node are lost",
        packs: &[PackOf { due: true, ..TWO }],
        flights: 3,
        faults: (1, 1, 0),
        cancels: &[(1, 1)],
        size: (144_838, 29),
        ..BASE
    },
    Config {
        name: "cancel running",
        about: "one of two is cancelled while reports come in parts, runs are handed back and nodes are lost",
        nodes: 1,
        flights: 3,
        partial: true,
        faults: (0, 1, 1),
        cancels: &[(1, 1)],
        size: (618_069, 35),
        ..BASE
    },
    Config {
        name: "cancel both",
        about: "both of two are cancelled while they fail and a node is lost",
        nodes: 1,
        flights: 2,
        failures: 2,
        faults: (0, 1, 0),
        cancels: &[(1, 1), (1, 2)],
        size: (81_096, 31),
        ..BASE
    },
    Config {
        name: "revive",
        about: "dead letters of a pack of two: one revived, both cancelled",
        nodes: 1,
        flights: 3,
        failures: 1,
        cancels: &[(1, 1), (1, 2)],
        revive: Some((1, 1)),
        collects: true,
        size: (173_271, 30),
        ..BASE
    },
    Config {
        name: "collect",
        about: "a pack of two ends in parts and is collected; late copies of its submit",
        nodes: 1,
        partial: true,
        flights: 3,
        faults: (1, 1, 0),
        collects: true,
        size: (333_397, 32),
        ..BASE
    },
    Config {
        name: "twins",
        about: "one request submitted under two pack ids with one idempotency key, and collected",
        packs: &[KEYED, KEYED],
        nodes: 1,
        flights: 4,
        collects: true,
        size: (7_539, 29),
        ..BASE
    },
    Config {
        name: "no key",
        about: "one request without an idempotency key: its second pack id stays unused",
        packs: &[ONE, ONE],
        nodes: 1,
        flights: 3,
        collects: true,
        size: (574, 27),
        ..BASE
    },
    Config {
        name: "room",
        about: "two packs and nodes with room for one task; a leader is lost",
        packs: &[ONE, PackOf { request: 2, ..ONE }],
        room: 1,
        flights: 3,
        faults: (1, 0, 0),
        size: (28_871, 21),
        ..BASE
    },
    Config {
        name: "permits",
        about: "two tasks that need the one permit there is; a leader and a node are lost",
        packs: &[
            PERMIT,
            PackOf {
                request: 2,
                ..PERMIT
            },
        ],
        nodes: 1,
        flights: 3,
        faults: (1, 1, 0),
        limit: 1,
        size: (258_171, 33),
        ..BASE
    },
    Config {
        name: "limit",
        about: "a pack of two, each with one of two permits, which are lowered to one; a node is lost",
        packs: &[PackOf { tasks: 2, ..PERMIT }],
        nodes: 1,
        flights: 3,
        faults: (0, 1, 0),
        limit: 2,
        lowered: Some(1),
        size: (38_933, 30),
        ..BASE
    },
    Config {
        name: "weights",
        about: "a task of two permits and one of one, of three which are lowered to two; a node is lost",
        packs: &[
            PackOf { weight: 2, ..ONE },
            PackOf {
                request: 2,
                ..PERMIT
            },
        ],
        nodes: 1,
        flights: 3,
        faults: (0, 1, 0),
        limit: 3,
        lowered: Some(2),
        size: (189_742, 37),
        ..BASE
    },
    Config {
        name: "lock",
        about: "a pack of two and one of one whose tasks need the lock; a leader and a node are lost",
        packs: &[
            PackOf { tasks: 2, ..LOCKED },
            PackOf {
                request: 2,
                ..LOCKED
            },
        ],
        nodes: 1,
        flights: 2,
        faults: (1, 1, 0),
        size: (119_262, 33),
        ..BASE
    },
    Config {
        name: "lock in a pack",
        about: "a pack of two whose tasks need the lock, on two nodes; a leader and a node are lost",
        packs: &[PackOf { tasks: 2, ..LOCKED }],
        flights: 2,
        faults: (1, 1, 0),
        size: (14_049, 25),
        ..BASE
    },
    Config {
        name: "outside",
        about: "a task and somebody outside share two permits, which are lowered to one; a lease and a leader are lost",
        packs: &[PERMIT],
        nodes: 1,
        flights: 3,
        faults: (1, 0, 0),
        limit: 2,
        lowered: Some(1),
        outside: &[Outside::Permits(1)],
        leases: 1,
        size: (54_207, 31),
        ..BASE
    },
    Config {
        name: "outside lock",
        about: "a task and two outside need the lock; a lease and a node are lost",
        packs: &[LOCKED],
        nodes: 1,
        flights: 3,
        faults: (0, 1, 0),
        outside: &[Outside::Lock, Outside::Lock],
        leases: 1,
        size: (103_388, 33),
        ..BASE
    },
];
