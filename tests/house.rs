//! The rules of the house, read from the source text: who may import whom, where keys and transactions are written, how long a
//! file may be, what may not be printed, and that a bound says its number. Each rule is shown to fail on a text that breaks it.

#[path = "house/broken.rs"]
mod broken;
#[path = "house/rules.rs"]
mod rules;
#[path = "house/source.rs"]
mod source;

use rules::{
    asks_for_bugs, cycles, imports, long_files, prints, silent_bounds, spelled_keys,
    stray_transactions, unused_grants,
};
use source::{manifests, sources};

/// Who may import what: a room of `src/`, then path prefixes, each a room (or a part of it) or `tenure_cluster` (or an item of
/// it). What is not listed is an arrow the other way; what is listed and not used has to leave. A room may always import itself.
const IMPORTS: &[(&str, &str)] = &[
    ("main", "cli dev guard node"),
    (
        "cli",
        "config api::wire guard telemetry planted store task clock tenure_cluster",
    ),
    (
        "node",
        "config api leader worker peer store telemetry metrics vitals task clock tenure_cluster tenure_embedded",
    ),
    // Its nodes share an etcd, and what it prints goes through the one place.
    ("dev", "cli config node store tenure_cluster"),
    ("config", "worker::kinds task tenure_cluster"),
    // It shows the configuration, knows the roles of its tokens, and checks payloads before they are accepted.
    (
        "api",
        "config worker::kinds store telemetry metrics vitals task",
    ),
    // It reads and waits; its writes go through the store.
    (
        "api",
        "tenure_cluster::Failure tenure_cluster::ReadError tenure_cluster::Room",
    ),
    (
        "leader",
        "plan store metrics vitals task clock planted tenure_cluster",
    ),
    (
        "worker",
        "plan store guard metrics vitals task planted tenure_cluster",
    ),
    // It ends leases through the store.
    ("peer", "store metrics vitals task clock tenure_cluster"),
    ("plan", "store task planted"),
    // The view is folded from events; plan sends nothing.
    (
        "plan",
        "tenure_cluster::Event tenure_cluster::EventKind tenure_cluster::KeyValue",
    ),
    ("store", "metrics vitals task clock planted tenure_cluster"),
    // A node looks at itself: what it sees is told by those who see it.
    ("vitals", "metrics"),
    // Switches in the places where a bug would be; the simulation turns them.
    ("planted", "tenure_cluster"),
    ("guard", "metrics"),
    ("telemetry", "config metrics"),
    // Counted where it happens, in any room above; knows the nouns of its labels.
    ("metrics", "task"),
    ("task", ""),
    ("clock", ""),
];

/// 400 lines to a file, tests at its end included.
const FILE_LINES_MAX: usize = 400;

/// 500 lines to a file of tests.
const TEST_LINES_MAX: usize = 500;

/// Files that are longer, with a bound of their own and why. One that has become short enough has to leave this list.
const LONGER: &[(&str, usize, &str)] = &[
    (
        "src/store/txns.rs",
        1_040,
        "one file of transactions; half of it is what they guard, write and mean",
    ),
    ("src/store/keys.rs", 810, "one file of keys"),
    (
        "tests/model/src/plan.rs",
        430,
        "one function for each thing that may be sent, and what they look at; apart, two files would share every helper",
    ),
];

/// Tools that put the product together from its parts, so that no row would say anything: their imports are theirs. They look at
/// its keys as an operator does, who spells them himself. The other members import nothing of ours, as whoever judges or measures
/// must not.
const TOOLS: [&str; 2] = ["tests/kit/src/", "tests/sim/src/"];

/// Programs beside the product that print their results.
const PRINTERS: [&str; 1] = ["tests/sim/src/"];

/// All that manifests say of the feature with which bugs can be planted: who has it, and that only the simulation asks for it.
const PLANTED: [(&str, &str); 3] = [
    ("Cargo.toml", "planted = [\"tenure-cluster/planted\"]"),
    ("cluster/Cargo.toml", "planted = []"),
    (
        "tests/sim/Cargo.toml",
        "tenure = { path = \"../..\", features = [\"planted\"] }",
    ),
];

/// Where keys are spelled.
const KEYS: &str = "src/store/keys.rs";

/// Where transactions are built.
const TXNS: [&str; 2] = ["src/store/txns.rs", "src/store/commit.rs"];

/// Where transactions are built that read only, several keys at one revision: `Txn::new(` is allowed there, anything that
/// writes is not.
const READERS: [&str; 1] = ["src/store/locate.rs"];

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_go_one_way() {
    none(&imports(&sources()));
    none(&cycles(IMPORTS));
    none(&unused_grants(&sources(), IMPORTS));
}

#[test]
fn keys_are_spelled_in_one_file() {
    none(&spelled_keys(&sources()));
}

#[test]
fn transactions_are_built_in_one_file() {
    none(&stray_transactions(&sources()));
}

#[test]
fn files_stay_short() {
    none(&long_files(&sources(), LONGER));
}

#[test]
fn nothing_prints_past_the_one_place() {
    none(&prints(&sources()));
}

#[test]
fn every_bound_says_its_number() {
    none(&silent_bounds(&sources()));
}

#[test]
fn no_release_has_planted_bugs() {
    none(&asks_for_bugs(&manifests(), &PLANTED));
}
