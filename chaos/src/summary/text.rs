//! The report for a terminal: 100 columns at most, the verdict first.

use super::words::{self, duration, number, of};
use super::{Explained, Summary};

/// 100 columns: what a terminal shows at its side of an editor.
const COLUMNS: usize = 100;
/// 4 columns before what goes on from the line above.
const INDENT: usize = 4;

/// All of it, lines with their ends.
pub fn text(summary: &Summary) -> String {
    let mut lines = Lines::default();
    verdict(&mut lines, summary);
    promises(&mut lines, summary);
    faults(&mut lines, summary);
    times(&mut lines, summary);
    work(&mut lines, summary);
    if let Some(first) = &summary.first_violation {
        violation(&mut lines, first);
    }
    again(&mut lines, summary);
    lines.text
}

/// What is written so far.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    /// One line, cut where it is too long.
    fn cut(&mut self, line: &str) {
        let line = line.trim_end();
        if line.chars().count() > COLUMNS {
            let head: String = line.chars().take(COLUMNS - 1).collect();
            self.push(&format!("{head}…"));
        } else {
            self.push(line);
        }
    }

    /// A text over as many lines as it needs, the first begun by these words. A word that is too long has a line of its own, whole.
    fn wrap(&mut self, first: &str, indent: usize, text: &str) {
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split_whitespace() {
            let wide = line.chars().count() + 1 + word.chars().count();
            if wide > COLUMNS && !empty {
                self.push(&line);
                line = " ".repeat(indent);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.push(&line);
    }

    /// A line as it is, but for what a terminal would obey.
    fn push(&mut self, line: &str) {
        let plain = line.trim_end().chars();
        let plain = plain.map(|one| if one.is_control() { ' ' } else { one });
        self.text.extend(plain);
        self.text.push('\n');
    }

    fn heading(&mut self, text: &str) {
        self.text.push('\n');
        self.cut(text);
    }
}

fn verdict(lines: &mut Lines, summary: &Summary) {
    let said = words::verdict(summary.overall);
    lines.cut(&format!("{said}  {}", words::meaning(summary.overall)));
    for why in &summary.because {
        lines.wrap("  - ", INDENT, why);
    }
    let run = &summary.run;
    let what = format!(
        "{}, seed {}: {}",
        run.scenario,
        run.seed,
        words::run(summary)
    );
    lines.wrap("", 0, &what);
}

fn promises(lines: &mut Lines, summary: &Summary) {
    lines.heading(&format!(
        "{:<30} {:<14} {:>15}  properties",
        "promises", "verdict", "put to the test"
    ));
    for promise in &summary.promises {
        let tested = promise.properties.iter().filter(|one| one.exercised > 0);
        lines.cut(&format!(
            "{:<4} {:<25} {:<14} {:>15}  {} of {}",
            promise.name,
            promise.title,
            words::ruling(promise.ruling),
            number(promise.exercised),
            tested.count(),
            promise.properties.len()
        ));
    }
}

fn faults(lines: &mut Lines, summary: &Summary) {
    if summary.faults.is_empty() {
        return;
    }
    lines.heading(&format!(
        "{:<24} {:>6} {:>8} {:>14} {:>12}",
        "faults", "made", "skipped", "indeterminate", "lasted"
    ));
    for (kind, counts) in &summary.faults {
        lines.cut(&format!(
            "{kind:<24} {:>6} {:>8} {:>14} {:>12}",
            counts.installed,
            counts.skipped,
            counts.indeterminate,
            duration(counts.lasted_ms)
        ));
        let why = words::reasons(counts);
        if !why.is_empty() {
            lines.wrap("    ", INDENT, &why);
        }
        if counts.unhealed > 0 {
            lines.cut(&format!("    {} never healed", counts.unhealed));
        }
    }
}

fn times(lines: &mut Lines, summary: &Summary) {
    lines.heading(&format!(
        "{:<22} {:>7} {:>10} {:>10} {:>10} {:>10}  promised",
        "times", "n", "p50", "p90", "p99", "longest"
    ));
    for timing in &summary.times {
        let cells = match &timing.measured {
            Some(all) => [all.p50_ms, all.p90_ms, all.p99_ms, all.max_ms].map(duration),
            None => ["-", "-", "-", "-"].map(str::to_owned),
        };
        lines.cut(&format!(
            "{:<22} {:>7} {:>10} {:>10} {:>10} {:>10}  {}",
            timing.name,
            timing.measured.map_or(0, |all| all.n),
            cells[0],
            cells[1],
            cells[2],
            cells[3],
            duration(timing.bound_ms)
        ));
    }
    lines.cut("all times are told; what is promised counts only while nothing stands in the way");
    let led = &summary.leadership;
    lines.cut(&format!(
        "{}; nobody led for {}, {} at most at a time",
        of(led.terms, "term"),
        duration(led.nobody_ms),
        duration(led.longest_ms)
    ));
}

fn work(lines: &mut Lines, summary: &Summary) {
    lines.text.push('\n');
    let counts = &summary.counts;
    let ended = |how: &str| number(counts.ended.get(how).copied().unwrap_or(0));
    lines.cut(&format!(
        "tasks    {} accepted, {} succeeded, {} cancelled, {} dead, {} open in the end",
        number(counts.accepted),
        ended("succeeded"),
        ended("cancelled"),
        ended("dead"),
        number(counts.open())
    ));
    lines.cut(&format!(
        "runs     {} witnessed, {} ended well, {} badly, {} never",
        number(counts.runs.begun),
        number(counts.runs.well),
        number(counts.runs.badly),
        number(counts.runs.unended())
    ));
    lines.cut(&format!(
        "effects  {} accepted, {} refused by their fence",
        number(counts.effects_accepted),
        number(counts.effects_refused)
    ));
    let calls = counts
        .calls
        .iter()
        .map(|(op, calls)| format!("{op} {}/{}/{}", calls.ok, calls.failed, calls.unknown));
    let calls: Vec<String> = calls.collect();
    if !calls.is_empty() {
        let told = format!("{} (done/refused/unknown)", calls.join(", "));
        lines.wrap("calls    ", 9, &told);
    }
}

fn violation(lines: &mut Lines, first: &Explained) {
    lines.heading(&format!(
        "first violation: {} ({}), chapter {}",
        first.property.name(),
        first.promise,
        first.chapter
    ));
    lines.wrap("  promised  ", 12, &first.promised);
    lines.wrap("  seen      ", 12, &first.seen);
    if !first.revisions.is_empty() {
        let revisions: Vec<String> = first.revisions.iter().map(i64::to_string).collect();
        lines.wrap("  revision  ", 12, &revisions.join(", "));
    }
    if !first.ids.is_empty() {
        lines.wrap("  ids       ", 12, &first.ids.join(", "));
    }
    for moment in &first.lines {
        let mark = if moment.cited { '>' } else { ' ' };
        let revision = moment
            .revision
            .map_or(String::new(), |one| format!("r{one}"));
        let (secs, ms) = (moment.at_ms / 1_000, moment.at_ms % 1_000);
        lines.cut(&format!(
            "{mark} {secs:>5}.{ms:03} s {revision:>8}  {}",
            moment.what
        ));
    }
}

fn again(lines: &mut Lines, summary: &Summary) {
    let run = &summary.run;
    lines.heading("again");
    lines.wrap("  ", INDENT, &run.command);
    if !run.directory.is_empty() {
        lines.heading("files");
        let reports = "report.html report.json report.txt junit.xml plot.svg plot.png";
        lines.wrap(&format!("  {}: ", run.directory), INDENT, reports);
        for history in &run.histories {
            lines.wrap("  ", INDENT, history);
        }
    }
}
