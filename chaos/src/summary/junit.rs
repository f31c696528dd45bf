//! The report for programs that show test results: a test case for each property.

use std::fmt::Write as _;

use super::xml::escape;
use super::{Judged, Ruling, Summary};

/// `JUnit` XML: one suite, a case for each property.
///
/// # Panics
/// Never: it writes to a string.
pub fn junit(summary: &Summary) -> String {
    let all: Vec<&Judged> = summary.properties().collect();
    let count = |ruling| all.iter().filter(|judged| judged.ruling == ruling).count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let written = writeln!(
        xml,
        r#"<testsuite name="tenure-chaos {}" tests="{}" failures="{}" errors="{}" skipped="{}" time="{}">"#,
        escape(&summary.run.scenario),
        all.len(),
        count(Ruling::Violated),
        count(Ruling::Unknown),
        count(Ruling::NotExercised),
        seconds(summary.length_ms),
    );
    written.expect("writing to a string does not fail");
    for judged in all {
        xml.push_str(&case(judged, summary));
    }
    xml.push_str("</testsuite>\n");
    xml
}

fn case(judged: &Judged, summary: &Summary) -> String {
    let name = judged.property.name();
    let class = escape(&format!("tenure-chaos.{}", summary.run.scenario));
    let inside = match judged.ruling {
        Ruling::Held => String::new(),
        Ruling::Violated => failure(judged, &summary.run.command),
        Ruling::NotExercised => r#"<skipped message="nothing put it to the test"/>"#.to_owned(),
        Ruling::Unknown => {
            let why = summary.because.join("; ");
            format!(r#"<error message="{}"/>"#, escape(&why))
        }
    };
    let said = format!("put to the test {} times", judged.exercised);
    format!(
        "  <testcase classname=\"{class}\" name=\"{name}\">{inside}<system-out>{said}</system-out></testcase>\n"
    )
}

fn failure(judged: &Judged, command: &str) -> String {
    let lines = judged.evidence.iter();
    let lines = lines.map(|one| format!("chapter {}: {}", one.chapter, one.violation));
    let lines: Vec<String> = lines.collect();
    let message = format!("violated {} times: {}", judged.violated, judged.sentence);
    format!(
        r#"<failure message="{}" type="violated">{}</failure>"#,
        escape(&message),
        escape(&format!("{}\nagain: {command}", lines.join("\n")))
    )
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}
