//! Source files, and enough of Rust's grammar to read them: comments and literals apart, paths out of groups.

use std::fs;
use std::path::Path;

/// A source file: its path from the workspace's root, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A text without comments and literals, line by line as before, and its string literals with their lines.
pub(crate) struct Lexed {
    pub(crate) code: String,
    pub(crate) literals: Vec<(usize, String)>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        name.ends_with("/tests") || name.ends_with("_tests") || name.contains("/tests/")
    }

    /// The text before its inline tests, which stand last; nothing of a file of tests.
    pub(crate) fn product(&self) -> &str {
        if self.is_test() {
            return "";
        }
        let inline = self.text.find("#[cfg(test)]\nmod tests {");
        &self.text[..inline.unwrap_or(self.text.len())]
    }

    pub(crate) fn room(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inner.split(['/', '.']).next().unwrap_or(inner)
    }

    pub(crate) fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// Takes comments and literals out of a Rust text.
pub(crate) fn lex(text: &str) -> Lexed {
    let chars: Vec<char> = text.chars().collect();
    let mut lexed = Lexed {
        code: String::new(),
        literals: Vec::new(),
    };
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let end = match (chars[i], chars.get(i + 1)) {
            ('/', Some('/')) => until(&chars, i, |at| chars[at] == '\n'),
            ('/', Some('*')) => 2 + until(&chars, i + 2, |at| chars[at..].starts_with(&['*', '/'])),
            ('r', Some('"' | '#')) if !before_is_word(&chars, i) => raw_end(&chars, i),
            ('"', _) => string_end(&chars, i),
            ('\'', Some('\\')) => 1 + until(&chars, i + 3, |at| chars[at] == '\''),
            ('\'', _) if chars.get(i + 2) == Some(&'\'') => i + 3,
            (_, _) => i,
        };
        let end = end.min(chars.len());
        if end == i {
            lexed.code.push(chars[i]);
            line += usize::from(chars[i] == '\n');
            i += 1;
            continue;
        }
        let token: String = chars[i..end].iter().collect();
        if token.starts_with(['"', 'r']) {
            let inner = token.trim_start_matches(['r', '#']).trim_end_matches('#');
            lexed
                .literals
                .push((line, inner.trim_matches('"').to_owned()));
        }
        let lines = token.matches('\n').count();
        lexed.code.push(' ');
        lexed.code.push_str(&"\n".repeat(lines));
        line += lines;
        i = end;
    }
    lexed
}

fn until(chars: &[char], from: usize, found: impl Fn(usize) -> bool) -> usize {
    (from..chars.len())
        .find(|at| found(*at))
        .unwrap_or(chars.len())
}

fn before_is_word(chars: &[char], at: usize) -> bool {
    at > 0 && is_word(chars[at - 1])
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The end of a raw string; where there is none (`r#type`), the place itself.
fn raw_end(chars: &[char], from: usize) -> usize {
    let hashes = until(chars, from + 1, |at| chars[at] != '#') - from - 1;
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let mut close = vec!['"'];
    close.extend(std::iter::repeat_n('#', hashes));
    until(chars, from + hashes + 2, |at| {
        chars[at..].starts_with(&close)
    }) + close.len()
}

/// Where a word or path begins in the code, not as the end of a longer word.
pub(crate) fn places<'a>(
    code: &'a str,
    word: &'a str,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    code.match_indices(word).filter_map(move |(at, _)| {
        let alone = !code[..at].chars().next_back().is_some_and(is_word);
        alone.then(|| (at, 1 + code[..at].matches('\n').count()))
    })
}

/// The paths that begin with `root` in the code (`crate::`, `tenure::`), groups in braces taken apart, with their lines.
pub(crate) fn paths(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (at, line) in places(code, root) {
        for path in branches(&code[at + root.len()..]) {
            all.push((line, path));
        }
    }
    all
}

/// Paths that climb with `super::` to the root of the crate, with their lines.
pub(crate) fn climbs(source: &Source, code: &str) -> Vec<(usize, String)> {
    let inner = source.path.strip_prefix("src/").unwrap_or(&source.path);
    let stem = inner.strip_suffix(".rs").unwrap_or(inner);
    let depth = stem.split('/').filter(|part| *part != "mod").count();
    let mut all = Vec::new();
    for (at, line) in places(code, "super::") {
        let from = &code[at..];
        let rest = from.trim_start_matches("super::");
        let steps = (from.len() - rest.len()) / "super::".len();
        // The second `super` of a chain is found too; it climbs less.
        if steps >= depth && !code[..at].ends_with("super::") {
            all.extend(branches(rest).into_iter().map(|path| (line, path)));
        }
    }
    all
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn branches(text: &str) -> Vec<String> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !is_word(c) && c != ':')
        .unwrap_or(text.len());
    let (stem, rest) = text.split_at(end);
    if !rest.starts_with('{') {
        return vec![stem.to_owned()];
    }
    let (mut depth, mut items, mut item) = (0, Vec::new(), String::new());
    for c in rest.chars() {
        match c {
            '{' if depth == 0 => depth = 1,
            ',' | '}' if depth == 1 => {
                items.push(std::mem::take(&mut item));
                if c == '}' {
                    break;
                }
            }
            c => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                item.push(c);
            }
        }
    }
    let items = items.iter().filter(|item| !item.trim().is_empty());
    items
        .flat_map(|item| branches(item))
        .map(|branch| format!("{stem}{branch}"))
        .collect()
}

/// The sources of the three crates.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for room in ["src", "cluster/src", "chaos/src"] {
        collect(&root.join(room), root, &mut all);
    }
    assert!(all.len() > 80, "only {} files were found", all.len());
    all
}

fn collect(dir: &Path, root: &Path, all: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .expect("the sources are there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, root, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let name = path.strip_prefix(root).expect("under the root");
            all.push(Source::new(&name.to_string_lossy(), &text));
        }
    }
}

/// The manifests of the workspace, and what builds its releases.
pub(crate) fn manifests() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let members = [
        "Cargo.toml",
        "bench/Cargo.toml",
        "chaos/Cargo.toml",
        "cluster/Cargo.toml",
        "cluster/embedded/Cargo.toml",
        "tests/kit/Cargo.toml",
        "tests/model/Cargo.toml",
        "tests/sim/Cargo.toml",
        "scripts/release",
        "scripts/bench",
        "Dockerfile",
    ];
    let read = |name| fs::read_to_string(root.join(name)).expect("it is there");
    members.map(|name| Source::new(name, &read(name))).into()
}
