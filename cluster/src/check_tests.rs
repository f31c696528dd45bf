//! What the check refuses, one row per rule.

use super::*;
use crate::txn::Guard;

fn overlap(key: &str) -> Result<(), Violation> {
    Err(Violation::Overlap { key: key.into() })
}

fn guarded(key: &str) -> Result<(), Violation> {
    Err(Violation::GuardOfWritten { key: key.into() })
}

fn puts(count: usize) -> Txn {
    (0..count).fold(Txn::new(), |txn, n| txn.put(format!("/k/{n:04}"), "v"))
}

#[test]
fn a_key_is_written_once_at_all_levels_together() {
    let put = |key: &str| Txn::new().put(key, "v");
    let delete = |key: &str| Txn::new().delete(key);
    let table = [
        ("two puts", put("/a").put("/a", "w"), overlap("/a")),
        ("put and delete", put("/a").delete("/a"), overlap("/a")),
        ("delete and put", delete("/a").put("/a", "w"), overlap("/a")),
        (
            "put under a deleted prefix",
            put("/a/1").delete_prefix("/a/"),
            overlap("/a/1"),
        ),
        ("two deletes", delete("/a").delete("/a"), Ok(())),
        (
            "delete under a deleted prefix",
            delete("/a/1").delete_prefix("/a/"),
            Ok(()),
        ),
        (
            "neighbours put it",
            Txn::new().nest(put("/a")).nest(put("/a")),
            overlap("/a"),
        ),
        (
            "neighbours contend",
            Txn::new().nest(put("/a")).nest(delete("/a")),
            overlap("/a"),
        ),
        (
            "a neighbour deletes its prefix",
            Txn::new()
                .nest(put("/a/1"))
                .nest(Txn::new().delete_prefix("/a/")),
            overlap("/a/1"),
        ),
        (
            "outer and inner",
            put("/a").nest(delete("/a")),
            overlap("/a"),
        ),
        (
            "two levels down",
            Txn::new().nest(Txn::new().nest(put("/a"))).nest(put("/a")),
            overlap("/a"),
        ),
        (
            "both branches of one",
            put("/a").or_else(Op::Put {
                key: "/a".into(),
                value: "w".into(),
                lease: 0,
            }),
            Ok(()),
        ),
        (
            "a similar name",
            Txn::new().nest(put("/a/1")).nest(delete("/a/10")),
            Ok(()),
        ),
    ];

    for (name, txn, expected) in table {
        assert_eq!(txn.check(), expected, "{name}");
    }
}

#[test]
fn a_nested_guard_tests_nothing_that_a_neighbour_writes() {
    let absent = |key: &str| Txn::new().guard(Guard::absent("g", key));
    let table = [
        ("own write", absent("/a").put("/a", "v"), Ok(())),
        (
            "neighbour puts",
            Txn::new().nest(absent("/a")).put("/a", "v"),
            guarded("/a"),
        ),
        (
            "neighbour deletes",
            Txn::new().delete("/a").nest(absent("/a")),
            guarded("/a"),
        ),
        (
            "neighbour deletes the prefix",
            Txn::new().nest(absent("/a/1")).delete_prefix("/a/"),
            guarded("/a/1"),
        ),
        (
            "range guard",
            Txn::new()
                .nest(Txn::new().guard(Guard::oldest_in("g", "/a/", 3)))
                .nest(Txn::new().put("/a/1", "v")),
            guarded("/a/"),
        ),
        (
            "both only guard",
            Txn::new().nest(absent("/a")).nest(absent("/a")),
            Ok(()),
        ),
        (
            "the outer guards what an inner writes",
            absent("/a").nest(puts(1)),
            Ok(()),
        ),
    ];

    for (name, txn, expected) in table {
        assert_eq!(txn.check(), expected, "{name}");
    }
}

#[test]
fn lists_are_bounded_by_what_the_levels_above_leave() {
    let many = |list, len, bound| Err(Violation::TooMany { list, len, bound });
    let guards = |count: usize| {
        (0..count).fold(Txn::new(), |txn, n| {
            txn.guard(Guard::absent("g", format!("/g/{n}")))
        })
    };
    let nested = |outer: usize, inner: usize| {
        (0..outer).fold(Txn::new(), |txn, n| {
            txn.nest((0..inner).fold(Txn::new(), |txn, m| txn.put(format!("/{n}/{m}"), "v")))
        })
    };
    let table = [
        ("full", puts(128), Ok(())),
        ("one more", puts(129), many(List::Then, 129, 128)),
        ("guards and their reads", guards(128), Ok(())),
        ("guards one more", guards(129), many(List::Guards, 129, 128)),
        (
            "a read beside them",
            guards(128).or_get("/x"),
            many(List::Otherwise, 129, 128),
        ),
        ("two levels full", nested(64, 64), Ok(())),
        ("inner one more", nested(64, 65), many(List::Then, 65, 64)),
        ("outer one more", nested(65, 64), many(List::Then, 64, 63)),
    ];

    for (name, txn, expected) in table {
        assert_eq!(txn.check(), expected, "{name}");
    }
}

#[test]
fn an_empty_key_is_refused_wherever_it_stands() {
    let table = [
        Txn::new().put("", "v"),
        Txn::new().delete(""),
        Txn::new().delete_prefix(""),
        Txn::new().get(""),
        Txn::new().or_get_prefix("", 1),
        Txn::new().guard(Guard::absent("g", "")),
        Txn::new().nest(Txn::new().delete_prefix("")),
    ];

    for txn in table {
        assert_eq!(txn.check(), Err(Violation::EmptyKey), "{txn:?}");
    }
}

#[test]
fn a_batch_grows_by_disjoint_footprints_only() {
    let (one, two) = (
        puts(3),
        Txn::new()
            .guard(Guard::absent("g", "/k/0001"))
            .put("/z", "v"),
    );
    let mut batch = Footprint::of(&one).unwrap();

    assert_eq!(
        batch.merge(Footprint::of(&two).unwrap()),
        guarded("/k/0001")
    );
    let three = Txn::new().delete("/z");
    assert_eq!(batch.merge(Footprint::of(&three).unwrap()), Ok(()));
    let four = Txn::new().put("/z", "v");
    assert_eq!(batch.merge(Footprint::of(&four).unwrap()), overlap("/z"));
}
