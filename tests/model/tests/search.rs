//! The whole protocol keeps its promises, and each weakening breaks the one it should, in as few steps as the table says.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use tenure_model::config::{self, Config};
use tenure_model::table::{ROWS, Row};
use tenure_model::{Found, page, search};

/// 2 searches at a time: what a small machine has cores.
const THREADS: usize = 2;

/// Searches all, and collects what is wrong.
fn wrong<T: Sync>(all: &[T], one: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let some = || {
        let mine = std::iter::from_fn(|| all.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.filter_map(&one).collect::<Vec<String>>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(some)).collect();
        let found = threads
            .into_iter()
            .map(|thread| thread.join().expect("a search does not panic"));
        found.flatten().collect()
    })
}

fn trace(found: &Found) -> String {
    let Some((promise, steps)) = &found.broken else {
        return "no promise breaks".to_owned();
    };
    let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
    format!(
        "\"{promise}\" breaks in {} steps:\n{}",
        steps.len(),
        steps.join("\n")
    )
}

fn whole(config: &Config) -> Option<String> {
    let found = search(config, None);
    let size = (found.states, found.depth);
    (found.broken.is_some() || size != config.size).then(|| {
        format!(
            "{}: {size:?} instead of {:?}, {}",
            config.name,
            config.size,
            trace(&found)
        )
    })
}

fn weakened(row: &Row) -> Option<String> {
    let found = search(row.config(), Some(row.without));
    let breaks = found
        .broken
        .as_ref()
        .map(|(promise, steps)| (*promise, steps.len()));
    (breaks != row.breaks).then(|| {
        format!(
            "{} was to break {:?}: {}",
            row.name(),
            row.breaks,
            trace(&found)
        )
    })
}

#[test]
fn the_protocol_keeps_its_promises_in_every_state() {
    let wrong = wrong(config::ALL, whole);

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_guard_that_is_taken_away_is_missed() {
    let wrong = wrong(ROWS, weakened);

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/model.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (by_hand, _) = page.split_once(page::MARK).expect("the page has its mark");
    let expected = format!("{by_hand}{}", page::tables());
    if std::env::var_os("TENURE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }

    assert!(
        page == expected,
        "docs/model.md differs from the tables: TENURE_UPDATE_DOCS=1 rewrites it"
    );
}
