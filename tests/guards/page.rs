//! The table of transactions in `docs/transactions.md`: made of the doc comments of `src/store/txns.rs` and the names of the
//! tests beside this file, so that a transaction without a row, or a guard without a test, fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tenure::store::GuardName;

/// A transaction as its doc comment tells it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    /// Its word: the change's, or else the function's name.
    word: String,
    /// `Guards`, `Writes` and `Refused`, in this order.
    says: [String; 3],
}

const HEADINGS: [&str; 3] = ["Guards", "Writes", "Refused"];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref())
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// The transactions of a source text, in its order: what has a `Guards` line in its doc comment.
fn told(source: &str) -> Vec<Told> {
    let words = words(source);
    let mut all = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text);
            continue;
        }
        let function = line.trim_start_matches("pub ").strip_prefix("fn ");
        if let Some(name) = function.and_then(|rest| rest.split('(').next())
            && let Some(says) = sections(&doc)
        {
            let word = words.get(name).cloned().unwrap_or_else(|| name.to_owned());
            all.push(Told { word, says });
        }
        doc.clear();
    }
    all
}

/// The three sections of a doc comment; none where it has no `Guards`.
fn sections(doc: &[&str]) -> Option<[String; 3]> {
    let mut says: [String; 3] = Default::default();
    let mut at = None;
    for line in doc {
        let text = line.trim();
        let heading = HEADINGS.iter().position(|word| {
            text.strip_prefix(word)
                .is_some_and(|rest| rest.starts_with("  "))
        });
        let more = match heading {
            Some(nth) => {
                at = Some(nth);
                text[HEADINGS[nth].len()..].trim()
            }
            None => text,
        };
        if let Some(nth) = at {
            let gap = if says[nth].is_empty() { "" } else { " " };
            says[nth].push_str(gap);
            says[nth].push_str(more);
        }
    }
    at.map(|_| says)
}

/// By function, the word of the change that it is the transaction of: `Change::Submit(submit) => accept(` makes `accept` submit.
fn words(source: &str) -> BTreeMap<String, String> {
    let arm = |line: &str| {
        let (variant, call) = line.trim().strip_prefix("Change::")?.split_once(" => ")?;
        let variant = variant.split('(').next()?;
        let function = call.split('(').next()?.trim_start_matches("self::");
        Some((function.to_owned(), word(variant)))
    };
    source.lines().filter_map(arm).collect()
}

/// The word of a variant: `DropLane` is `drop_lane`.
fn word(variant: &str) -> String {
    let mut word = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The tests of a source text: every `async fn` under a test attribute.
fn tests(source: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("#[tokio::test") {
            let name = lines
                .next()
                .and_then(|line| line.strip_prefix("async fn "))
                .and_then(|rest| rest.split('(').next());
            all.push(
                name.expect("a test function follows its attribute")
                    .to_owned(),
            );
        }
    }
    all
}

fn all_tests() -> Vec<String> {
    let files = fs::read_dir(here("tests/guards")).expect("the tests are there");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("readable").path()).collect();
    paths.sort();
    let own = Path::new("page.rs").file_name();
    paths
        .iter()
        .filter(|path| path.file_name() != own)
        .flat_map(|path| tests(&read(path)))
        .collect()
}

/// The tests of a transaction: those whose names begin with its word.
fn of<'a>(word: &str, tests: &'a [String]) -> Vec<&'a str> {
    let begins = format!("{word}_");
    let mine = tests.iter().filter(|name| name.starts_with(&begins));
    mine.map(String::as_str).collect()
}

/// The guards in which no test of their transaction loses, as `<word>: <guard>`; and the words without a test at all.
fn untried(told: &[Told], tests: &[String]) -> Vec<String> {
    let mut missing = Vec::new();
    for Told { word, says } in told {
        let mine = of(word, tests);
        if mine.is_empty() {
            missing.push(word.clone());
        }
        for guard in quoted(&says[0]) {
            let name = format!("{word}_loses_by_{guard}");
            let tried = |test: &&str| {
                test.strip_prefix(&*name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
            };
            if !mine.iter().any(tried) {
                missing.push(format!("{word}: {guard}"));
            }
        }
    }
    missing
}

/// The table as it should stand on the page.
fn table(told: &[Told], tests: &[String]) -> String {
    let mut rows = vec![
        "| transaction | guards | writes | refused by → meaning | tests |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for Told { word, says } in told {
        let mine = of(word, tests);
        let mine: Vec<String> = mine.iter().map(|name| format!("`{name}`")).collect();
        let [guards, writes, refused] = says;
        rows.push(format!(
            "| **{word}** | {guards} | {writes} | {refused} | {} |",
            mine.join("<br>")
        ));
    }
    rows.join("\n") + "\n"
}

/// The lines of a page that are its table.
fn table_of(page: &str) -> String {
    page.split_inclusive('\n')
        .filter(|line| line.starts_with('|'))
        .collect()
}

#[test]
fn every_guard_of_every_transaction_loses_in_a_test() {
    let told = told(&read(here("src/store/txns.rs")));
    assert_eq!(untried(&told, &all_tests()), Vec::<String>::new());
}

#[test]
fn every_change_is_a_transaction_that_tells_its_guards() {
    let source = read(here("src/store/txns.rs"));
    let told = told(&source);
    let words = words(&source);
    assert!(words.len() >= 13, "changes were not found: {words:?}");
    for word in words.values().map(String::as_str) {
        assert!(told.iter().any(|told| told.word == word), "{word}");
    }
    for Told { word, says } in &told {
        assert!(says.iter().all(|text| !text.is_empty()), "{word}: {says:?}");
    }
}

/// What a refusal can name is what is documented, and the other way round.
#[test]
fn every_guard_that_is_told_has_its_name() {
    let told = told(&read(here("src/store/txns.rs")));
    let words: BTreeSet<&str> = told.iter().flat_map(|told| quoted(&told.says[0])).collect();
    let names = GuardName::ALL.into_iter().map(GuardName::name);
    assert_eq!(words, names.collect());
}

/// `TENURE_REWRITE=1` writes the table that should be there instead.
#[test]
fn the_page_has_the_table_that_code_and_tests_tell() {
    let path = here("docs/transactions.md");
    let expected = table(&told(&read(here("src/store/txns.rs"))), &all_tests());
    let page = read(&path);
    let found = table_of(&page);
    if std::env::var_os("TENURE_REWRITE").is_some() {
        fs::write(&path, page.replace(&found, &expected)).expect("the page is written");
        return;
    }
    assert!(
        found == expected,
        "docs/transactions.md differs; TENURE_REWRITE=1 with this test rewrites its table to:\n{expected}"
    );
}

const TEXT: &str = "\
/// Moves a thing.
///
/// Guards   `a`: as it was
///          seen; `b`: there.
/// Writes   it.
/// Refused  a: moved. b: gone.
fn shift(keys: &Keys) -> Txn {
/// Not one.
fn other() {}
        Change::MoveOn(thing) => self::shift(keys, thing),
";

#[test]
fn a_guard_without_a_test_is_named() {
    let told = told(TEXT);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].word, "move_on");
    assert_eq!(told[0].says[0], "`a`: as it was seen; `b`: there.");
    let test = |name: &str| tests(&format!("#[tokio::test]\nasync fn {name}() {{\n"));
    let half = test("move_on_loses_by_a_to_another");
    assert_eq!(untried(&told, &half), ["move_on: b"]);
    assert_eq!(
        untried(&told, &test("remove_on_loses_by_a")),
        ["move_on", "move_on: a", "move_on: b"]
    );
    let both = [half, test("move_on_loses_by_b")].concat();
    assert_eq!(untried(&told, &both), Vec::<String>::new());
}

#[test]
fn a_row_that_differs_is_a_difference() {
    let told = told(TEXT);
    let right = table(&told, &["move_on_loses_by_a".to_owned()]);
    let page = format!("# Title\n\n{right}\nText.\n");
    assert_eq!(table_of(&page), right);
    assert_ne!(table_of(&page.replace("as it was", "as it is")), right);
    assert_ne!(table_of(&page), table(&told, &[]));
}
