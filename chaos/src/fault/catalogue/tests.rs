use super::*;
use std::collections::BTreeSet;

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn names_differ_and_times_are_from_and_to() {
    let names: BTreeSet<&str> = ALL.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), ALL.len());
    assert!(ALL.iter().all(|kind| kind.lasts_ms[0] <= kind.lasts_ms[1]));
    assert!(ALL.len() >= 20);
}

#[test]
fn words_name_kinds_take_some_out_and_are_refused_where_they_name_none() {
    assert_eq!(chosen(&words(&["all"])).unwrap().len(), ALL.len());
    let some = chosen(&words(&["node-kill", "node-kill", "drain"])).unwrap();
    assert_eq!(
        some.iter().map(|one| one.name).collect::<Vec<_>>(),
        ["node-kill", "node-kill", "drain"]
    );
    let without = chosen(&words(&["all", "-upgrade"])).unwrap();
    assert!(without.iter().all(|one| one.name != "upgrade"));
    assert!(
        chosen(&words(&["flood"]))
            .unwrap_err()
            .to_string()
            .contains("\"flood\" is none")
    );
    assert!(chosen(&words(&["drain", "-drain"])).is_err());
}

#[test]
fn the_page_has_all_of_them_and_says_the_same() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/chaos.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, table) = page.split_once("<!-- faults: begin -->\n").unwrap();
    let (table, _) = table.split_once("<!-- faults: end -->").unwrap();
    let rows = ALL
        .iter()
        .map(|kind| format!("| `{}` | {} |\n", kind.name, kind.about));
    let expected: String = ["| fault | what is done |\n|---|---|\n".to_owned()]
        .into_iter()
        .chain(rows)
        .collect();
    assert_eq!(
        table, expected,
        "the table of docs/chaos.md has to be:\n{expected}"
    );
}
