//! Each check accepts a history in which its property held, names what is wrong in ones where it did not, and counts
//! nothing where nothing put it to the test.

mod acts;
mod build;
mod clients;
mod figures;
mod leaders;
mod limits;
mod locks;
mod log;
mod missed;
mod nodes;
mod others;
mod reads;
mod scarce;
mod scheduled;
mod schedules;
mod shows;
mod tasks;

use build::Story;

use super::{Finding, Limits, Property, check};

/// The property held in this story, and was put to the test.
#[track_caller]
fn accepts(property: Property, story: &Story) {
    let verdict = check(&story.history, property).unwrap();
    assert_eq!(verdict.finding, Finding::Ok, "{verdict:#?}");
}

/// The property was violated in this story, and these words are in the evidence.
#[track_caller]
fn rejects(property: Property, story: &Story, words: &str) {
    let verdict = check(&story.history, property).unwrap();
    let Finding::Violated { evidence, .. } = &verdict.finding else {
        panic!("`{words}` was not found: {verdict:#?}");
    };
    let found = evidence.iter().any(|one| one.to_string().contains(words));
    assert!(found, "`{words}` is not in {evidence:#?}");
}

#[test]
fn a_bound_that_is_none_is_refused_by_its_name() {
    let read = |text| serde_json::from_str::<Limits>(text).map_err(|problem| problem.to_string());
    assert_eq!(read(r#"{"drain_ms": 7}"#).unwrap().drain_ms, 7);
    let problem = read(r#"{"drain_m": 7}"#).unwrap_err();
    assert!(problem.contains("`drain_m`"), "{problem}");
}

/// A sentence is said to people by the method, and to who reads the code by the comment.
#[test]
fn what_a_property_says_is_what_it_is_documented_to_be() {
    let code = include_str!("../verdict.rs");
    for property in Property::ALL {
        let documented = format!("    /// {}\n    {property:?},\n", property.sentence());
        assert!(code.contains(&documented), "{property}");
    }
}

#[test]
fn a_cluster_that_does_nothing_exercises_nothing() {
    let mut story = Story::led();
    story.sealed();
    for property in Property::ALL {
        let verdict = check(&story.history, property).unwrap();
        assert_eq!(verdict.exercised, 0, "{property}");
        assert_eq!(verdict.finding, Finding::NotExercised, "{property}");
    }
}
