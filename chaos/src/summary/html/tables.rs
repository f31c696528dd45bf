//! The tables of the page.

use super::super::words::{self, duration, number};
use super::super::xml::escape;
use super::super::{Judged, Promised, Ruling, Summary};
use super::{badge, section};

/// A table with these heads; those that begin with `#` are of numbers.
fn table(class: &str, heads: &[&str], rows: &str) -> String {
    let heads = heads.iter().map(|head| match head.strip_prefix('#') {
        Some(head) => format!("<th class=\"n\">{head}</th>"),
        None => format!("<th>{head}</th>"),
    });
    format!(
        "<div class=\"wide\"><table class=\"{class}\">\n<thead><tr>{}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n",
        heads.collect::<String>()
    )
}

fn n(value: &str) -> String {
    format!("<td class=\"n\">{value}</td>")
}

pub(super) fn promises(summary: &Summary) -> String {
    let rows: String = summary.promises.iter().map(promise).collect();
    let heads = ["", "promise", "verdict", "#put to the test", "#properties"];
    section("promises", "Promises", &table("promises", &heads, &rows))
}

fn promise(promise: &Promised) -> String {
    let tested = promise.properties.iter().filter(|one| one.exercised > 0);
    format!(
        "<tr><td class=\"name\">{}</td><td class=\"what\"><strong>{}</strong><br><span class=\"soft\">{}</span></td><td class=\"said\">{}</td>\
         <td class=\"n times\">{}</td><td class=\"n of\">{} of {}</td></tr>\n",
        escape(&promise.name),
        escape(&promise.title),
        escape(&promise.sentence),
        badge(promise.ruling),
        number(promise.exercised),
        tested.count(),
        promise.properties.len()
    )
}

pub(super) fn times(summary: &Summary) -> String {
    let mut rows = Vec::new();
    for timing in &summary.times {
        let cells = match &timing.measured {
            Some(all) => [all.p50_ms, all.p90_ms, all.p99_ms, all.max_ms].map(duration),
            None => ["", "", "", ""].map(|_| "–".to_owned()),
        };
        let count = timing.measured.map_or(0, |all| all.n);
        rows.push(format!(
            "<tr><td><strong>{}</strong><br><span class=\"soft\">{}</span></td>{}{}{}</tr>\n",
            escape(&timing.name),
            escape(&timing.about),
            n(&number(count)),
            cells.map(|cell| n(&cell)).concat(),
            n(&duration(timing.bound_ms))
        ));
    }
    let heads = [
        "",
        "#times",
        "#p50",
        "#p90",
        "#p99",
        "#longest",
        "#promised",
    ];
    let led = &summary.leadership;
    let note = format!(
        "<p class=\"soft\">All times are told here, whatever stood in the way. What is promised counts only while nothing does, so a longer \
         time is no violation by itself. In {} terms somebody led for {}, and nobody did for {}, {} at most at a time.</p>\n",
        number(led.terms),
        duration(led.led_ms),
        duration(led.nobody_ms),
        duration(led.longest_ms)
    );
    section(
        "times",
        "How long it took",
        &(table("timings", &heads, &rows.concat()) + &note),
    )
}

pub(super) fn faults(summary: &Summary) -> String {
    let mut rows = Vec::new();
    for (kind, counts) in &summary.faults {
        let lasted = if counts.installed + counts.indeterminate > 0 {
            duration(counts.lasted_ms)
        } else {
            "–".to_owned()
        };
        let mut why = words::reasons(counts);
        if counts.unhealed > 0 {
            let more = format!("{} never healed", number(counts.unhealed));
            why = if why.is_empty() {
                more
            } else {
                format!("{why}; {more}")
            };
        }
        let numbers = [counts.installed, counts.skipped, counts.indeterminate];
        rows.push(format!(
            "<tr><td><code>{}</code></td>{}{}<td class=\"soft why\">{}</td></tr>\n",
            escape(kind),
            numbers.map(|count| n(&number(count))).concat(),
            n(&lasted),
            escape(&why)
        ));
    }
    if rows.is_empty() {
        return section(
            "faults",
            "Faults",
            "<p class=\"soft\">No fault was asked for.</p>\n",
        );
    }
    let heads = [
        "kind",
        "#made",
        "#skipped",
        "#indeterminate",
        "#lasted",
        "why not",
    ];
    section("faults", "Faults", &table("", &heads, &rows.concat()))
}

pub(super) fn work(summary: &Summary) -> String {
    let work = words::work(&summary.counts);
    let work: Vec<String> = work
        .iter()
        .map(|(name, count)| format!("<tr><td>{name}</td>{}</tr>\n", n(count)))
        .collect();
    let calls = summary.counts.calls.iter().map(|(op, calls)| {
        let numbers = [calls.ok, calls.failed, calls.unknown];
        let numbers = numbers.map(|count| n(&number(count))).concat();
        format!("<tr><td><code>{}</code></td>{numbers}</tr>\n", escape(op))
    });
    let calls = table(
        "",
        &["call", "#done", "#refused", "#unknown"],
        &calls.collect::<String>(),
    );
    let inside = format!(
        "<div class=\"pair\">\n{}{calls}</div>\n",
        table("", &["work", "#count"], &work.concat())
    );
    section("work", "Work", &inside)
}

pub(super) fn properties(summary: &Summary) -> String {
    let rows: String = summary.properties().map(property).collect();
    let heads = ["property", "verdict", "#put to the test", "measured"];
    section(
        "properties",
        "Properties",
        &table("properties", &heads, &rows),
    )
}

fn property(judged: &Judged) -> String {
    let measured = judged.measured.iter();
    let measured: Vec<String> = measured
        .map(|(name, value)| format!("{} {}", escape(&name.replace('_', " ")), number(*value)))
        .collect();
    let mut row = format!(
        "<tr><td><code>{}</code><br><span class=\"soft\">{}</span></td><td>{}</td>{}<td class=\"soft\">{}</td></tr>\n",
        judged.property.name(),
        escape(&judged.sentence),
        badge(judged.ruling),
        n(&number(judged.exercised)),
        measured.join(", ")
    );
    if judged.ruling == Ruling::Violated {
        let told = judged.evidence.iter().map(|one| {
            let what = escape(&one.violation.to_string());
            format!("<li>chapter {}: {what}</li>", one.chapter)
        });
        let evidence = format!(
            "<tr><td colspan=\"4\" class=\"evidence\">{}, the first:<ul>{}</ul></td></tr>\n",
            words::of(judged.violated, "violation"),
            told.collect::<String>()
        );
        row.push_str(&evidence);
    }
    row
}
