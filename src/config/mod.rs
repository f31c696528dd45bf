//! What a node is told before it starts: one table of settings, from which the flags, the variables
//! of the environment, the keys of the file, the example and the docs derive. It never acts on them.
//!
//! A setting `lease-ttl` is the flag `--lease-ttl`, the variable `TENURE_LEASE_TTL` and the key
//! `lease-ttl` of the TOML file. Flags win over the environment, that over the file, that over the
//! defaults; an empty variable counts as unset. A secret has no flag, but `TENURE_…_FILE` names a
//! file that holds it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::worker::kinds::Cidr;
pub use example::{Origins, example};
pub use flags::Flags;
pub use load::{Error, Loaded, Origin, Sources};
pub use peers::{PeerListen, PeerPem};
pub use slots::Slots;
pub use table::Setting;
pub use token::{Role, Token};
pub use validate::{Fault, Invalid};
pub use value::{Bytes, Embedded, Every, LogFormat, Secret, Shape, Value};

pub mod bounds;
mod etcd;
mod example;
mod file;
mod flags;
mod load;
mod peers;
mod slots;
mod table;
mod token;
mod validate;
mod value;

table::settings! {
    "etcd" {
        /// etcd's members, tried in this order: 1 to 16 of http://host:port, https://host:port or
        /// host:port.
        etcd_endpoints: Vec<String> = "http://127.0.0.1:2379";
        /// Whether this node brings its own etcd, for one machine, in place of `etcd-endpoints`: `true`
        /// keeps it in `etcd` below `data-dir`, `memory` keeps nothing.
        embedded: Embedded = "false";
        /// Address and port on which the node's own etcd is served to other nodes and to etcdctl.
        /// Everyone who reaches it may do everything, so only loopback is taken.
        embedded_listen: Option<SocketAddr> = "";
        /// Whether `embedded-listen` may be an address that is not loopback after all.
        embedded_public: bool = "false";
        /// The user that etcd knows this cluster by; none where etcd asks for none.
        etcd_user: Option<String> = "";
        /// The password of `etcd-user`.
        etcd_password: Option<Secret> = "";
        /// PEM file of the authority that signed etcd's certificates; needed for https endpoints.
        etcd_ca: Option<PathBuf> = "";
        /// PEM file of the certificate to show to etcd, with `etcd-key`.
        etcd_cert: Option<PathBuf> = "";
        /// PEM file of the private key of `etcd-cert`.
        etcd_key: Option<PathBuf> = "";
        /// The size at which etcd refuses writes, where etcd does not tell it (before 3.6).
        /// The default is etcd's own. The node's own etcd holds so much in memory at most.
        etcd_quota: Bytes = "2GiB", within "16MiB" "64GiB";
        /// The part of the quota from which on new work is refused, so that running work can end.
        quota_refuse: f64 = "0.8", within "0.1" "0.95";
        /// The part of the quota from which on submits to queues of low importance are refused.
        etcd_reduced: f64 = "0.7", within "0.1" "0.95";
        /// The part of the quota from which on those to queues of normal importance are refused too.
        etcd_minimal: f64 = "0.75", within "0.1" "0.95";
        /// How often the leader compacts etcd's history; `off` where other programs share the etcd.
        compaction: Every = "5m", within "10s" "24h";
    }
    "node" {
        /// The cluster's name: everything of it is in etcd under `/tenure/<cluster>/`.
        cluster: String = "default";
        /// This node's name, unique in its cluster; empty for the machine's hostname.
        node_name: String = "";
        /// Runs at once on this node: a number, or a range such as `2..32` to adapt within it to the work
        /// that waits and to what the machine has left; 0 for 4 for each core.
        slots: Slots = "0", within "1" "4096";
        /// How long adaptive slots must have been spare before they go.
        slots_idle: Duration = "30s", within "1s" "1h";
        /// The part of the processors' time in use, of the machine or of the node's cgroup, at which
        /// adaptive slots become fewer if work also has to wait for a processor. They become more only
        /// while it is 0.1 lower.
        slots_cpu: f64 = "0.9", within "0.2" "1";
        /// The part of the memory in use, of the machine or of the node's cgroup, at which adaptive slots
        /// become fewer. They become more only while it is 0.1 lower.
        slots_memory: f64 = "0.9", within "0.2" "1";
        /// How long a silent node keeps its lease, in whole seconds. Longer tolerates longer
        /// silence, shorter notices death sooner.
        lease_ttl: Duration = "5s", within "2s" "60s";
        /// Words to tell nodes apart, as `key=value`; at most 32, a key of 1 to 64 bytes, a value of up to 256.
        labels: BTreeMap<String, String> = "";
        /// A directory for what this node keeps: its own etcd, where it is `embedded`. Other nodes keep
        /// nothing.
        data_dir: Option<PathBuf> = "";
        /// How long runs may go on after SIGTERM before they are handed back.
        shutdown_grace: Duration = "30s", within "0s" "1h";
    }
    "api" {
        /// Address and port of the admin API. Any that is not loopback needs a token.
        listen: SocketAddr = "127.0.0.1:8700";
        /// URL under which other nodes and users reach the admin API; empty for the address of
        /// `listen`, or the node's name where that is every address.
        advertise: String = "";
        /// Address and port for links between nodes, by which a crash is noticed at once: `auto` for the
        /// address of `listen`, 1000 ports further up (any free one where that is taken), `off` for no
        /// links. Any that is not loopback needs a token or `peer-ca`.
        peer_listen: PeerListen = "auto";
        /// Where other nodes reach `peer-listen`, as host:port; empty for its address, or the host of
        /// `advertise` where that is every address.
        peer_advertise: Option<String> = "";
        /// PEM file of the authority that signed the nodes' certificates for links: with it links are TLS,
        /// both sides show theirs, and each names the host that others are told.
        peer_ca: Option<PathBuf> = "";
        /// PEM file of this node's certificate for links, with `peer-ca` and `peer-key`.
        peer_cert: Option<PathBuf> = "";
        /// PEM file of the private key of `peer-cert`.
        peer_key: Option<PathBuf> = "";
        /// Address and port of the debug listener: state, runtime numbers and profiles of this node, for tokens
        /// with the role admin; none where nobody may look. Any that is not loopback needs a token.
        debug_listen: Option<SocketAddr> = "";
        /// One token with the role admin.
        token: Option<Secret> = "";
        /// File of tokens, a line each: `role token`, the role one of read, submit, admin; a token
        /// alone is admin. Lines that start with # are comments.
        token_file: Option<PathBuf> = "";
        /// The largest payload of a task, as JSON.
        payload_limit: Bytes = "256KiB", within "1KiB" "1MiB";
        /// The part of the submits that this node takes at once from which on those to queues of low
        /// importance are refused.
        load_reduced: f64 = "0.5", within "0.05" "1";
        /// The same for queues of normal importance.
        load_minimal: f64 = "0.9", within "0.05" "1";
        /// The part of its `backlog_max` that is pending in the fullest bounded queue from which on submits
        /// to queues of low importance are refused, to whichever queue.
        backlog_reduced: f64 = "0.9", within "0.1" "100";
        /// The same for queues of normal importance. A full queue takes no submits, so that beyond 1 there
        /// is only what became due, was tried again, or was submitted elsewhere at the same time.
        backlog_minimal: f64 = "1.5", within "0.1" "100";
        /// The part of the memory in use, of the machine or of the node's cgroup, from which on submits to
        /// queues of low importance are refused, once it has been for 15 s; above 1 is never.
        memory_reduced: f64 = "0.95", within "0.2" "2";
        /// The same for queues of normal importance.
        memory_minimal: f64 = "0.98", within "0.2" "2";
        /// The part of the time in which the processors were in use and work waited for one, from which on
        /// submits to queues of low importance are refused, once it has been for 15 s; above 1 is never.
        /// The default is never: a node that works for all it is worth is not overloaded.
        cpu_reduced: f64 = "2", within "0.2" "2";
        /// The same for queues of normal importance.
        cpu_minimal: f64 = "2", within "0.2" "2";
    }
    "work" {
        /// Whether this node runs `command` tasks of any program.
        allow_command: bool = "false";
        /// Programs that `command` tasks may run, as absolute paths; enables `command` for these.
        allow_command_path: Vec<PathBuf> = "";
        /// Networks that `http` tasks may reach although they are loopback, private or metadata
        /// addresses, as CIDR.
        http_allow: Vec<Cidr> = "";
        /// How long a stopped command has between TERM and KILL.
        command_grace: Duration = "10s", within "0s" "5m";
        /// How much of the end of a command's output is kept, for stdout and stderr each.
        output_tail: Bytes = "4KiB", within "0B" "64KiB";
        /// How long ended tasks stay readable.
        retention: Duration = "24h", within "1m" "8760h";
        /// Nodes that may die while they run a task before it is dead.
        death_budget: u32 = "3", within "1" "100";
        /// Records that the leader holds of each lane (a queue, a kind, a priority, a semaphore or other gate,
        /// and a set of required labels); the rest waits in etcd.
        window: u32 = "1024", within "16" "65536";
    }
    "breaker" {
        /// Whether `http` tasks to a host that keeps failing on this node (no connection, no answer in
        /// time, 5xx, 429) are deferred for a while, without using up attempts, instead of run.
        breaker_http: bool = "true";
        /// Kinds whose tasks are deferred as a whole where they keep failing on this node, as `command`
        /// or a kind of your own. None by default: what fails then may be the tasks themselves.
        breaker_kinds: Vec<String> = "";
        /// How many of the last runs, of one host or kind, a breaker looks at.
        breaker_window: u32 = "20", within "1" "1000";
        /// With fewer runs than this a breaker does not open; at most `breaker-window`.
        breaker_runs: u32 = "10", within "1" "1000";
        /// The share of these runs that has to fail for a breaker to open.
        breaker_share: f64 = "0.5", within "0.01" "1";
        /// How long a breaker is open before a probe; twice as long after each probe that fails.
        breaker_open: Duration = "10s", within "1s" "1h";
        /// The longest that a breaker is open before another probe; at least `breaker-open`.
        breaker_open_max: Duration = "5m", within "1s" "1h";
        /// How many probes a half-open breaker lets run at once.
        breaker_probes: u32 = "1", within "1" "100";
    }
    "log" {
        /// `text`, `json`, or `auto`: text on a terminal, else JSON.
        log_format: LogFormat = "auto";
        /// What to log: a level, or directives such as `info,tenure=debug`.
        log: String = "info";
    }
}

#[cfg(test)]
mod tests;
