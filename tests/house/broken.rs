//! A text that breaks each rule, and its neighbour that does not: a rule that cannot fail is no rule.

use crate::rules::{
    asks_for_bugs, cycles, imports, long_files, prints, silent_bounds, spelled_keys,
    stray_transactions, unused_grants,
};
use crate::source::{Source, lex};

fn at(path: &str, text: &str) -> [Source; 1] {
    [Source::new(path, text)]
}

const FINE: &[String] = &[];

#[test]
fn an_arrow_the_other_way_is_named_with_its_line() {
    let text = "//! Text of crate::api.\nuse crate::task::Name;\nuse crate::{metrics, store::{\n    Store, keys},\n};\n";
    assert_eq!(imports(&at("src/leader/mod.rs", text)), FINE);
    assert_eq!(
        imports(&at("src/plan/view.rs", text)),
        ["src/plan/view.rs:3: plan may not import metrics"]
    );
    assert_eq!(
        imports(&at("src/task/id.rs", text)),
        [
            "src/task/id.rs:3: task may not import metrics",
            "src/task/id.rs:3: task may not import store::Store",
            "src/task/id.rs:3: task may not import store::keys",
        ]
    );
}

#[test]
fn an_arrow_in_the_middle_of_code_or_over_super_counts() {
    let code = "fn f() -> crate::leader::Post {}\n";
    assert_eq!(
        imports(&at("src/worker/held.rs", code)),
        ["src/worker/held.rs:1: worker may not import leader::Post"]
    );
    let climbs = "use super::super::api::Door;\nuse super::super::view;\n";
    assert_eq!(
        imports(&at("src/plan/view.rs", climbs)),
        ["src/plan/view.rs:1: plan may not import api::Door"]
    );
    assert_eq!(imports(&at("src/plan/deep/view.rs", climbs)), FINE);
}

#[test]
fn a_part_of_a_room_may_be_open_where_the_room_is_not() {
    let check = "use crate::worker::kinds::Kinds;\n";
    assert_eq!(imports(&at("src/api/tasks.rs", check)), FINE);
    assert_eq!(
        imports(&at("src/api/tasks.rs", "use crate::worker::Hands;\n")),
        ["src/api/tasks.rs:1: api may not import worker::Hands"]
    );
    let events = "use tenure_cluster::{Event, KeyValue};\n";
    assert_eq!(imports(&at("src/plan/view.rs", events)), FINE);
    assert_eq!(
        imports(&at(
            "src/plan/view.rs",
            "use tenure_cluster::{Event, Txn};\n"
        )),
        ["src/plan/view.rs:1: plan may not import tenure_cluster::Txn"]
    );
}

#[test]
fn chaos_and_cluster_import_nothing_of_ours_and_every_room_is_in_the_table() {
    assert_eq!(
        imports(&at("chaos/src/main.rs", "use tenure_cluster::Txn;\n")),
        ["chaos/src/main.rs:1: chaos may not import tenure_cluster::Txn"]
    );
    assert_eq!(
        imports(&at("chaos/src/main.rs", "use crate::http;\n")),
        FINE
    );
    assert_eq!(
        imports(&at("cluster/src/txn.rs", "use tenure::task::Name;\n")).len(),
        1
    );
    assert_eq!(
        imports(&at("src/attic/mod.rs", "")),
        ["src/attic/mod.rs:1: is in no room of the import table"]
    );
}

#[test]
fn a_table_that_goes_round_is_seen() {
    assert_eq!(cycles(&[("a", "b::c d"), ("b", "d"), ("d", "")]), FINE);
    let round = cycles(&[("a", "b::c"), ("b", "d"), ("d", ""), ("d", "a")]);
    assert_eq!(round.len(), 4, "{round:?}");
}

#[test]
fn a_grant_that_nobody_uses_is_named() {
    let text = "use crate::{clock, store::Store};\nuse tenure_cluster::Txn;\n#[cfg(test)]\nmod tests {\n    use crate::task::Name;\n}\n";
    let sources = at("src/leader/mod.rs", text);
    let table = [
        ("leader", "store clock"),
        ("leader", "tenure_cluster"),
        ("clock", ""),
    ];
    assert_eq!(unused_grants(&sources, &table), FINE);
    let broken = [
        ("leader", "store::Store store::Keys clock task"),
        ("leader", "tenure_cluster::Guard"),
        ("api", "store"),
    ];
    assert_eq!(
        unused_grants(&sources, &broken),
        [
            "leader may import store::Keys and does not",
            "leader may import task and does not",
            "leader may import tenure_cluster::Guard and does not",
            "api may import store and does not",
        ]
    );
}

#[test]
fn a_key_spelled_elsewhere_is_named() {
    for literal in [
        "/tenure/{}/rules",
        "live/node/",
        "{root}pack/{pack}",
        "/idem/{key}",
        "{}run/a",
    ] {
        let text = format!("// \"live/\"\nfn f() {{\n    format!(\"{literal}\");\n}}\n");
        let wrong = spelled_keys(&at("src/leader/load.rs", &text));
        assert_eq!(
            wrong,
            [format!("src/leader/load.rs:3: \"{literal}\" spells a key")]
        );
        assert_eq!(spelled_keys(&at("src/store/keys.rs", &text)), FINE);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{text}}}\n");
        assert_eq!(spelled_keys(&at("src/leader/load.rs", &tests)), FINE);
        assert_eq!(spelled_keys(&at("src/leader/tests.rs", &text)), FINE);
    }
    for literal in [
        "/etc/tenure/tenure.toml",
        "/v1/dead/{id}",
        "deliver/",
        "/livez",
        "due",
        "unpack/",
    ] {
        let text = format!("const A: &str = \"{literal}\";\n");
        assert_eq!(
            spelled_keys(&at("src/api/mod.rs", &text)),
            FINE,
            "{literal}"
        );
    }
}

#[test]
fn a_raw_literal_and_one_after_a_quote_are_literals_too() {
    let text = "let a = '\"'; let b = r#\"live/\"x\"#;\nlet c = \"\\\"pack/\"; // \"idem/\"\n/* \"gc/\" */ let d: &'a str = \"e\";";
    let found: Vec<(usize, String)> = lex(text).literals;
    let expected = [(1, "live/\"x"), (2, "\\\"pack/"), (3, "e")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    assert_eq!(lex(text).code.lines().count(), 3);
}

#[test]
fn a_transaction_built_elsewhere_is_named() {
    let read = "fn f() {\n    Txn::new().get(a).get_prefix(b, 0)\n}\n";
    assert_eq!(
        stray_transactions(&at("src/leader/load.rs", read)),
        ["src/leader/load.rs:2: `Txn::new(` belongs into src/store/txns.rs"]
    );
    assert_eq!(stray_transactions(&at("src/store/locate.rs", read)), FINE);

    let write = "fn f() {\n    Txn::new()\n        .put(a, b)\n}\n";
    assert_eq!(
        stray_transactions(&at("src/store/locate.rs", write)),
        ["src/store/locate.rs:3: `.put(` belongs into src/store/txns.rs"]
    );
    assert_eq!(stray_transactions(&at("src/store/txns.rs", write)), FINE);
    let op = "fn f() -> Op { Op::Delete { key } }\n";
    assert_eq!(stray_transactions(&at("src/node/mod.rs", op)).len(), 1);
    assert_eq!(stray_transactions(&at("src/store/locate.rs", op)).len(), 1);
}

#[test]
fn a_long_file_is_named_and_a_list_of_them_only_shrinks() {
    let lines = |count: usize| "//\n".repeat(count);
    assert_eq!(long_files(&at("src/a.rs", &lines(400)), &[]), FINE);
    assert_eq!(
        long_files(&at("src/a.rs", &lines(401)), &[]),
        ["src/a.rs:401: is longer than 400 lines"]
    );
    assert_eq!(long_files(&at("src/a/tests.rs", &lines(500)), &[]), FINE);
    assert_eq!(long_files(&at("src/a/tests.rs", &lines(501)), &[]).len(), 1);
    let longer = [("src/a.rs", 450, "why")];
    assert_eq!(long_files(&at("src/a.rs", &lines(450)), &longer), FINE);
    assert_eq!(long_files(&at("src/a.rs", &lines(451)), &longer).len(), 1);
    assert_eq!(
        long_files(&at("src/a.rs", &lines(400)), &longer),
        ["src/a.rs:400: is short enough to leave the list of longer files"]
    );
}

#[test]
fn a_print_is_named() {
    let text = "/// println!(1)\nfn f() {\n    eprintln!(\"println!\");\n    println!(\"a\");\n    print!(\"a\");\n}\n";
    assert_eq!(
        prints(&at("src/cli/out.rs", text)),
        ["src/cli/out.rs:4: println!", "src/cli/out.rs:5: print!"]
    );
}

#[test]
fn a_bound_that_does_not_say_its_number_is_named() {
    let says = "/// 4 looks: why.\npub const LOOKS_MAX: usize = 4;\n";
    assert_eq!(silent_bounds(&at("src/a.rs", says)), FINE);
    let silent =
        "/// 4 looks.\nfn f() {}\n/// Some looks.\npub(crate) const LOOKS_MAX: usize = 4;\n";
    assert_eq!(
        silent_bounds(&at("src/a.rs", silent)),
        ["src/a.rs:4: `pub(crate) const LOOKS_MAX: usize = 4;` does not say its number"]
    );
    let wait = "/// A while.\npub const WAIT: Duration = Duration::from_secs(4);\n";
    assert_eq!(silent_bounds(&at("src/a.rs", wait)).len(), 1);
    let word = "/// A name.\npub const NAME: &str = \"n1\";\n";
    assert_eq!(silent_bounds(&at("src/a.rs", word)), FINE);
}

#[test]
fn what_asks_for_planted_bugs_is_named() {
    let allowed = [("tests/sim/Cargo.toml", "planted = []")];
    let asks = "# planted\nplanted = []\ndefault = [\"planted\"]\n";
    assert_eq!(
        asks_for_bugs(&at("tests/sim/Cargo.toml", asks), &allowed),
        ["tests/sim/Cargo.toml:3: asks for planted bugs"]
    );
    assert_eq!(asks_for_bugs(&at("Cargo.toml", asks), &allowed).len(), 2);
    let one = "cargo build --release -p tenure\n";
    assert_eq!(asks_for_bugs(&at("Dockerfile", one), &[]), FINE);
    let all = "cargo build --release --workspace\n";
    assert_eq!(
        asks_for_bugs(&at("Dockerfile", all), &[]),
        ["Dockerfile:1: builds a release of more than its packages"]
    );
}
