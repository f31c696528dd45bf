//! The report as one page for people: nothing is loaded and no script runs. The verdict comes first, then its evidence.

mod tables;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::times::{FROM_CRASH, FROM_KEY};
use super::words::{self, duration, number, of};
use super::xml::escape;
use super::{Explained, Moment, Ruling, Summary, plot, png};
use crate::check::Overall;

const STYLE: &str = include_str!("html/page.css");

/// The words of the page, and what they mean.
const GLOSSARY: [(&str, &str); 9] = [
    (
        "held",
        "The promise was put to the test and was kept each time.",
    ),
    (
        "not exercised",
        "Nothing that happened put the promise to the test, so this run says nothing of it.",
    ),
    (
        "unknown",
        "The record has a gap. What is missing may have broken the promise, or explain what seems to.",
    ),
    (
        "put to the test",
        "How often something happened that a broken promise would have shown itself in.",
    ),
    (
        "chapter",
        "The life of one cluster, from its start to its end. A long run has several, each judged by itself.",
    ),
    (
        "history",
        "All that was asked, written to etcd and run, in one order. It can be judged again.",
    ),
    (
        "revision",
        "The number that etcd gives to each transaction. Revisions order everything that was written.",
    ),
    (
        "skipped",
        "The fault could not be made on this target. Nothing was changed, and it proves nothing.",
    ),
    (
        "indeterminate",
        "Something went wrong while the fault was made, so it may have been there in part. It was healed in any case.",
    ),
];

/// The whole page.
pub fn html(summary: &Summary) -> String {
    let run = &summary.run;
    let picture = plot(summary);
    let verdict = words::verdict(summary.overall);
    let parts = [
        header(summary),
        tiles(summary),
        explained(summary),
        tables::promises(summary),
        figure(&picture, &run.scenario, run.seed),
        tables::times(summary),
        tables::faults(summary),
        tables::work(summary),
        tables::properties(summary),
        again(summary),
        glossary(),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{verdict} · {} · seed {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        escape(&run.scenario),
        run.seed,
        parts.concat()
    )
}

/// The class of a verdict's colour.
fn class(overall: Overall) -> &'static str {
    match overall {
        Overall::Pass => "held",
        Overall::Fail => "violated",
        Overall::NotExercised => "idle",
        Overall::Unknown => "unknown",
    }
}

/// A ruling as a badge: its word tells it, the colour only helps.
fn badge(ruling: Ruling) -> String {
    let class = match ruling {
        Ruling::Held => "held",
        Ruling::Violated => "violated",
        Ruling::NotExercised => "idle",
        Ruling::Unknown => "unknown",
    };
    format!(
        "<span class=\"badge {class}\">{}</span>",
        words::ruling(ruling)
    )
}

fn section(id: &str, title: &str, inside: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{inside}</section>\n")
}

fn header(summary: &Summary) -> String {
    let run = &summary.run;
    let because: Vec<String> = summary
        .because
        .iter()
        .map(|why| format!("<li>{}</li>", escape(why)))
        .collect();
    let because = if because.is_empty() {
        String::new()
    } else {
        format!("<ul>{}</ul>\n", because.concat())
    };
    let about = if run.about.is_empty() {
        String::new()
    } else {
        format!("<p class=\"soft\">{}</p>\n", escape(&run.about))
    };
    format!(
        "<header class=\"{}\">\n<p class=\"verdict\">{}</p>\n<p class=\"meaning\">{}</p>\n{because}</header>\n\
         <h1>{} <span class=\"soft\">seed {}</span></h1>\n<p>{}, {}.</p>\n{about}",
        class(summary.overall),
        words::verdict(summary.overall),
        words::meaning(summary.overall),
        escape(&run.scenario),
        run.seed,
        escape(&run.target),
        words::run(summary),
    )
}

fn tiles(summary: &Summary) -> String {
    let made: u64 = summary.faults.values().map(|one| one.installed).sum();
    let kinds = summary
        .faults
        .values()
        .filter(|one| one.installed > 0)
        .count();
    let kinds = of(u64::try_from(kinds).unwrap_or(u64::MAX), "kind");
    let (name, p99, of_all) = failover(summary);
    let done = summary.counts.ended.get("succeeded").copied().unwrap_or(0);
    let nobody = &summary.leadership;
    let tiles = [
        ("faults made", number(made), format!("of {kinds}")),
        (
            "tasks accepted",
            number(summary.counts.accepted),
            format!("{} succeeded", number(done)),
        ),
        (name, p99, of_all),
        (
            "nobody led for",
            duration(nobody.nobody_ms),
            format!("{} at most at a time", duration(nobody.longest_ms)),
        ),
    ];
    let tiles = tiles.map(|(name, value, besides)| {
        format!("<div><dt>{name}</dt><dd>{value}</dd><dd class=\"soft\">{besides}</dd></div>\n")
    });
    format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.concat())
}

/// The 99th percentile of failovers: from the crash of leaders, where some crashed, as that is what is waited for.
fn failover(summary: &Summary) -> (&'static str, String, String) {
    let measured = |name: &str| {
        let timing = summary.times.iter().find(|timing| timing.name == name);
        timing.and_then(|timing| timing.measured)
    };
    let (name, all) = match (measured(FROM_CRASH), measured(FROM_KEY)) {
        (Some(crash), _) => ("failover from crash, p99", crash),
        (None, Some(key)) => ("failover, p99", key),
        (None, None) => {
            return (
                "failover, p99",
                "–".to_owned(),
                "no leader was lost".to_owned(),
            );
        }
    };
    (
        name,
        duration(all.p99_ms),
        format!("of {}", of(all.n, "failover")),
    )
}

fn explained(summary: &Summary) -> String {
    let Some(first) = &summary.first_violation else {
        return String::new();
    };
    let lines: Vec<String> = first.lines.iter().map(moment).collect();
    let inside = format!(
        "<dl class=\"facts\">\n<dt>promised</dt><dd>{} ({}, <code>{}</code>)</dd>\n<dt>seen</dt><dd><strong>{}</strong></dd>\n\
         <dt>where</dt><dd>{}</dd>\n</dl>\n<p class=\"soft\">What was written, run and broken around it. Marked lines show the violation.</p>\n\
         <div class=\"wide\"><table class=\"log\">\n<thead><tr><th class=\"n\">time</th><th class=\"n\">revision</th><th>what</th></tr></thead>\n\
         <tbody>\n{}</tbody></table></div>\n",
        escape(&first.promised),
        escape(&first.promise),
        first.property.name(),
        escape(&first.seen),
        escape(&place(first)),
        lines.concat()
    );
    section("violation", "First violation", &inside)
}

/// Where a violation was seen.
fn place(first: &Explained) -> String {
    let mut parts = vec![format!("chapter {}", first.chapter)];
    if !first.revisions.is_empty() {
        let revisions: Vec<String> = first.revisions.iter().map(i64::to_string).collect();
        parts.push(format!("revision {}", revisions.join(", ")));
    }
    parts.extend(first.ids.iter().cloned());
    format!(
        "{}. Seen {} there.",
        parts.join(", "),
        of(first.times, "time")
    )
}

fn moment(moment: &Moment) -> String {
    let revision = moment
        .revision
        .map_or(String::new(), |revision| revision.to_string());
    let class = if moment.cited { " class=\"cited\"" } else { "" };
    format!(
        "<tr{class}><td class=\"n\">{}.{:03} s</td><td class=\"n\">{revision}</td><td><code>{}</code></td></tr>\n",
        moment.at_ms / 1_000,
        moment.at_ms % 1_000,
        escape(&moment.what)
    )
}

fn figure(picture: &str, scenario: &str, seed: u64) -> String {
    let download = png(picture).map_or(String::new(), |pixels| {
        format!(
            "<a download=\"{}-{seed}.png\" href=\"data:image/png;base64,{}\">Download as PNG</a>",
            escape(scenario),
            STANDARD.encode(pixels)
        )
    });
    let inside = format!(
        "<figure>\n<div class=\"wide plot\">\n{picture}</div>\n\
         <figcaption>Rest the pointer on a bar or a dot to see what it is. {download}</figcaption>\n</figure>\n"
    );
    section("course", "What happened", &inside)
}

fn again(summary: &Summary) -> String {
    let run = &summary.run;
    let row = |name: &str, value: &str| {
        if value.is_empty() {
            return String::new();
        }
        format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value))
    };
    let histories = run
        .histories
        .iter()
        .map(|name| format!("<code>{}</code>", escape(name)));
    let histories: Vec<String> = histories.collect();
    let kept = if histories.is_empty() {
        String::new()
    } else {
        format!("<dt>histories</dt><dd>{}</dd>\n", histories.join("<br>"))
    };
    let inside = format!(
        "<pre>{}</pre>\n<p class=\"soft\">The seed draws the same faults and the same work again. Real machines keep their own time, so \
         what comes of them may differ; each history can be judged again as it is.</p>\n<dl class=\"facts\">\n{}{}{}{}{}{}{}{kept}</dl>\n",
        escape(&run.command),
        row("scenario", &run.scenario),
        row("seed", &run.seed.to_string()),
        row("target", &run.target),
        row("version", &run.version),
        row("started", &run.started),
        row("faults for", &duration(run.duration_ms)),
        row("files", &run.directory),
    );
    section("again", "Run it again", &inside)
}

fn glossary() -> String {
    let words = GLOSSARY.map(|(word, meaning)| format!("<dt>{word}</dt><dd>{meaning}</dd>\n"));
    let inside = format!("<dl class=\"facts\">\n{}</dl>\n", words.concat());
    section("words", "What the words mean", &inside)
}
