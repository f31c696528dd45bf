//! What a scenario file may say, and what is refused by which words.

use super::*;

const LEAST: &str = "name = \"x\"\n[faults]\nkinds = [\"all\"]\n[work]\n[[work.task]]\ntask = { kind = \"noop\" }\n";

#[test]
fn what_comes_with_the_program_is_right_and_names_differ() {
    let all = Scenario::built_in().unwrap();
    let mut names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
    assert!(all.iter().all(|one| !one.about.is_empty()));
}

#[test]
fn a_file_with_little_in_it_has_the_usual_rest_and_comes_back_as_it_is() {
    let scenario = Scenario::parse(LEAST).unwrap();
    assert_eq!(
        (scenario.nodes, scenario.members, scenario.work.clients),
        (3, 3, 4)
    );
    assert_eq!(scenario.duration.millis(), 90_000);
    let text = toml::to_string(&scenario).unwrap();
    assert_eq!(Scenario::parse(&text).unwrap(), scenario);
}

#[test]
fn what_is_wrong_is_refused_by_its_field() {
    let cases = [
        ("nodes = 10\n", "nodes: 10 is not between 1 and 9"),
        ("members = 2\n", "members: 2 is not 1, 3 or 5"),
        ("duration = \"soon\"\n", "duration"),
        ("speed = 1\n", "unknown field `speed`"),
    ];
    for (line, expected) in cases {
        let said = format!(
            "{:#}",
            Scenario::parse(&format!("{line}{LEAST}")).unwrap_err()
        );
        assert!(said.contains(expected), "{line}: {said}");
    }
    let cases = [
        ("batch = [5, 1]", "work.task[0].batch: it is from 5 to 1"),
        ("batch = [1, 1001]", "work.task[0].batch: 1001 is not"),
        ("priority = [0, 9]", "work.task[0].priority: 0 is not"),
        ("cancelled = 101", "work.task[0].cancelled: 101 is not"),
        ("fails = 1", "work.task[0].fails: only witnessed"),
        ("witness = \"http\"", "work.task[0].task: kind and payload"),
    ];
    for (line, expected) in cases {
        let said = format!(
            "{:#}",
            Scenario::parse(&format!("{LEAST}{line}\n")).unwrap_err()
        );
        assert!(said.contains(expected), "{line}: {said}");
    }
}

#[test]
fn a_name_has_a_number_for_each_pair_of_braces() {
    let mut dice = SplitMix(1);
    let name = named("door-{4}-{1}", &mut dice);
    assert!(name.starts_with("door-") && name.ends_with("-0"), "{name}");
    assert_eq!(named("plain", &mut dice), "plain");
    assert_eq!(named("a{x}b", &mut dice), "a{x}b");
    assert_eq!(named("a{0}", &mut dice), "a{0}");
}

#[test]
fn a_file_has_the_work_of_another_where_it_says_so() {
    let long = Scenario::find("long").unwrap();
    let default = Scenario::find("default").unwrap();
    assert_eq!(long.work, default.work);
    assert_ne!(long.faults, default.faults);

    let of_nobody = "name = \"x\"\nlike = \"nobody\"\n[faults]\nkinds = [\"all\"]\n";
    let said = format!("{:#}", Scenario::parse(of_nobody).unwrap_err());
    assert!(
        said.contains("like") && said.contains("none of default"),
        "{said}"
    );
}
