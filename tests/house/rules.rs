//! The rules, each a function from sources to what breaks it, as `file:line: what`.

use crate::source::{Source, climbs, is_word, lex, paths, places};
use crate::{FILE_LINES_MAX, IMPORTS, KEYS, PRINTERS, READERS, TEST_LINES_MAX, TOOLS, TXNS};

/// Whether a source is below one of these.
fn of(dirs: &[&str], source: &Source) -> bool {
    dirs.iter().any(|dir| source.path.starts_with(dir))
}

/// Arrows the other way.
pub(crate) fn imports(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources
        .iter()
        .filter(|source| !source.is_test() && !of(&TOOLS, source))
    {
        let ours = source.path.starts_with("src/");
        if ours && source.room() == "lib" {
            continue;
        }
        if ours && !is_room(source.room()) {
            wrong.push(source.at(1, "is in no room of the import table"));
            continue;
        }
        let may = may(IMPORTS, source.room());
        for (line, path) in imported(source) {
            let allowed =
                begins(&path, source.room()) || may.iter().any(|prefix| begins(&path, prefix));
            if !allowed {
                wrong.push(source.at(line, &format!("{} may not import {path}", source.room())));
            }
        }
    }
    wrong
}

/// Rows of the import table that allow what nobody does.
pub(crate) fn unused_grants(sources: &[Source], table: &[(&str, &str)]) -> Vec<String> {
    let of_room = |room: &str| -> Vec<String> {
        let files = sources
            .iter()
            .filter(|source| source.path.starts_with("src/") && source.room() == room);
        let paths = files.flat_map(imported).map(|(_, path)| path);
        paths.collect()
    };
    let mut wrong = Vec::new();
    for (room, may) in table {
        let used = of_room(room);
        for grant in may.split_whitespace() {
            if !used.iter().any(|path| begins(path, grant)) {
                wrong.push(format!("{room} may import {grant} and does not"));
            }
        }
    }
    wrong
}

/// What the product code of a file imports from rooms of ours and from the crates beside it, with the lines.
fn imported(source: &Source) -> Vec<(usize, String)> {
    let code = lex(source.product()).code;
    let ours = source.path.starts_with("src/");
    let mut found = Vec::new();
    for root in ["tenure_cluster::", "tenure_embedded::", "tenure_testkit::"] {
        let of_crate = paths(&code, root).into_iter();
        found.extend(of_crate.map(|(line, path)| (line, format!("{root}{path}"))));
    }
    for root in ["crate::", "tenure::"] {
        if ours || root == "tenure::" {
            found.extend(paths(&code, root));
        }
    }
    if ours {
        let climbs = climbs(source, &code).into_iter();
        found.extend(climbs.filter(|(_, path)| is_room(path)));
    }
    found
}

fn is_room(path: &str) -> bool {
    IMPORTS.iter().any(|(room, _)| begins(path, room))
}

fn begins(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What a room may import: nothing where it is not in the table.
fn may<'a>(table: &[(&str, &'a str)], room: &str) -> Vec<&'a str> {
    let rows = table.iter().filter(|(name, _)| *name == room);
    rows.flat_map(|(_, may)| may.split_whitespace()).collect()
}

/// Rooms that may import themselves over others: the table has to go one way.
pub(crate) fn cycles(table: &[(&str, &str)]) -> Vec<String> {
    let next = |room: &str| -> Vec<&str> {
        let may = may(table, room);
        may.iter()
            .filter_map(|path| path.split("::").next())
            .collect()
    };
    let mut wrong = Vec::new();
    for (room, _) in table {
        let (mut seen, mut open) = (Vec::new(), next(room));
        while let Some(reached) = open.pop() {
            if reached == *room {
                wrong.push(format!("{room} reaches itself"));
                break;
            }
            if !seen.contains(&reached) {
                seen.push(reached);
                open.extend(next(reached));
            }
        }
    }
    wrong
}

/// The rooms under a cluster's prefix; the later ones are ordinary words of paths and count only where a key would begin.
const SURE: [&str; 11] = [
    "live",
    "pack",
    "ready",
    "result",
    "idem",
    "gc",
    "elect",
    "lane",
    "sched",
    "schedstate",
    "ledger",
];
const LIKELY: [&str; 11] = [
    "due", "dead", "run", "stop", "node", "term", "breaker", "reset", "tick", "death", "failover",
];

/// String literals that spell keys outside of the one file of keys.
pub(crate) fn spelled_keys(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources
        .iter()
        .filter(|source| source.path != KEYS && !of(&TOOLS, source))
    {
        for (line, literal) in lex(source.product()).literals {
            if spells_a_key(&literal) {
                wrong.push(source.at(line, &format!("\"{literal}\" spells a key")));
            }
        }
    }
    wrong
}

fn spells_a_key(literal: &str) -> bool {
    let rooted = literal.match_indices("/tenure/").any(|(at, _)| {
        // Not `/etc/tenure/`.
        !literal[..at].ends_with(is_word)
    });
    let within = |room: &str, before: &[char]| {
        literal.match_indices(&format!("{room}/")).any(|(at, _)| {
            literal[..at]
                .chars()
                .next_back()
                .is_none_or(|c| before.contains(&c))
        })
    };
    rooted
        || SURE.iter().any(|room| within(room, &['/', '}']))
        || LIKELY.iter().any(|room| within(room, &['}']))
}

/// Transactions outside of their file: anything that builds one, but for the readers, who may build what does not write.
pub(crate) fn stray_transactions(sources: &[Source]) -> Vec<String> {
    let built = ["Txn::new(", "Txn::default(", "Txn {"];
    let writes = ["Op::Put", "Op::Delete", "Op::Nested"];
    let builders = [
        ".put(",
        ".put_leased(",
        ".delete(",
        ".delete_prefix(",
        ".op(",
        ".nest(",
    ];
    let mut wrong = Vec::new();
    for source in sources {
        if !source.path.starts_with("src/") || TXNS.contains(&&*source.path) {
            continue;
        }
        let code = lex(source.product()).code;
        let reader = READERS.contains(&&*source.path);
        let banned = if reader { &builders[..] } else { &built[..] };
        for word in writes.iter().chain(banned) {
            let at = code.match_indices(word);
            wrong.extend(at.map(|(at, _)| {
                let line = 1 + code[..at].matches('\n').count();
                source.at(line, &format!("`{word}` belongs into {}", TXNS[0]))
            }));
        }
    }
    wrong
}

pub(crate) fn long_files(sources: &[Source], longer: &[(&str, usize, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        let usual = if source.is_test() {
            TEST_LINES_MAX
        } else {
            FILE_LINES_MAX
        };
        let own = longer.iter().find(|(path, _, _)| *path == source.path);
        if own.is_some() && lines <= usual {
            wrong.push(source.at(lines, "is short enough to leave the list of longer files"));
        }
        let max = own.map_or(usual, |(_, max, _)| *max);
        if lines > max {
            wrong.push(source.at(lines, &format!("is longer than {max} lines")));
        }
    }
    wrong
}

/// What would write to standard output past the one place that may.
pub(crate) fn prints(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !of(&PRINTERS, source)) {
        let code = lex(source.product()).code;
        for word in ["println!", "print!"] {
            wrong.extend(places(&code, word).map(|(_, line)| source.at(line, word)));
        }
    }
    wrong
}

/// Public constants of a number or duration whose doc comment has no digit in it.
pub(crate) fn silent_bounds(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources
        .iter()
        .filter(|source| source.path.starts_with("src/"))
    {
        let mut doc = String::new();
        for (line, text) in (1..).zip(source.product().lines().map(str::trim)) {
            if let Some(more) = text.strip_prefix("///") {
                doc += more;
                continue;
            }
            if is_bound(text) && !doc.contains(|c: char| c.is_ascii_digit()) {
                wrong.push(source.at(line, &format!("`{text}` does not say its number")));
            }
            if !text.starts_with("#[") {
                doc.clear();
            }
        }
    }
    wrong
}

fn is_bound(line: &str) -> bool {
    let public = line
        .strip_prefix("pub")
        .and_then(|rest| rest.split_once("const "));
    let Some((_, (_, rest))) =
        public.and_then(|(before, rest)| Some((before, rest.split_once(": ")?)))
    else {
        return false;
    };
    let kind = rest.split([' ', ';', '=']).next().unwrap_or_default();
    let numbers = [
        "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
        "f32", "f64", "Duration",
    ];
    numbers.contains(&kind)
}

/// What could put planted bugs into a release: a manifest that asks for them, or a build of a release that asks for more than its
/// packages.
pub(crate) fn asks_for_bugs(files: &[Source], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        for (line, text) in file.text.lines().enumerate() {
            let text = text.trim();
            let known = allowed.contains(&(file.path.as_str(), text)) || text.starts_with('#');
            if text.contains("planted") && !known {
                wrong.push(file.at(line + 1, "asks for planted bugs"));
            }
            let more = ["--workspace", "--all", "--features", "-F", "tenure-sim"];
            if text.contains("--release") && text.split(' ').any(|word| more.contains(&word)) {
                wrong.push(file.at(line + 1, "builds a release of more than its packages"));
            }
        }
    }
    wrong
}
