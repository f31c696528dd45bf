//! Which shows are tried, how often, and in what order. Pure.

use anyhow::Context as _;
use std::collections::BTreeMap;
use tenure_chaos::history::Show;

/// One in 10: so often shows that take long are tried.
const SELDOM: u64 = 10;

/// The shows that these words name; all for none.
pub(super) fn chosen(only: &[String]) -> anyhow::Result<Vec<Show>> {
    if only.is_empty() {
        return Ok(Show::ALL.into());
    }
    let mut chosen = Vec::new();
    for word in only {
        let fits = |show: &Show| show.name() == word || show.group().to_string() == *word;
        let found: Vec<Show> = Show::ALL.into_iter().filter(fits).collect();
        found.first().with_context(|| {
            let names = Show::ALL.map(Show::name).join(", ");
            format!("{word:?} is no show; there are the groups a to g, and {names}")
        })?;
        chosen.extend(found);
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// How often a show is tried.
pub(super) fn wanted(show: Show, repeat: u64) -> u64 {
    match show.group() {
        'a' | 'b' | 'c' => repeat,
        _ => (repeat / SELDOM).max(1),
    }
}

/// The trials that are not done, with their numbers: one of each show, then the next of each.
pub(super) fn missing(shows: &[Show], repeat: u64, done: &BTreeMap<Show, u64>) -> Vec<(Show, u64)> {
    let mut missing: Vec<(u64, Show, u64)> = Vec::new();
    for show in shows {
        let done = done.get(show).copied().unwrap_or_default();
        let numbers = done + 1..=wanted(*show, repeat);
        missing.extend(
            numbers
                .zip(0..)
                .map(|(number, round)| (round, *show, number)),
        );
    }
    missing.sort_unstable();
    missing
        .into_iter()
        .map(|(_, show, number)| (show, number))
        .collect()
}

/// The trials of each cluster, so many at most. Links are cut in clusters of their own, where proxies stand between the nodes, behind
/// which no crash is noticed by a link.
pub(super) fn chapters(trials: &[(Show, u64)], size: usize) -> Vec<Vec<(Show, u64)>> {
    let cuts_link = |trial: &(Show, u64)| trial.0 == Show::LinkCut;
    let (links, others): (Vec<_>, Vec<_>) = trials.iter().copied().partition(cuts_link);
    let all = others.chunks(size).chain(links.chunks(size));
    all.map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_cut_in_clusters_of_their_own() {
        let (kill, cut) = (Show::NodeKill, Show::LinkCut);
        let trials = [(kill, 1), (cut, 1), (kill, 2), (kill, 3)];
        let expected = [vec![(kill, 1), (kill, 2)], vec![(kill, 3)], vec![(cut, 1)]];
        assert_eq!(chapters(&trials, 2), expected);
    }

    #[test]
    fn words_are_groups_and_names_and_nothing_else() {
        let words = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|word| (*word).to_owned()).collect();
            chosen(&only)
        };
        assert_eq!(words(&[]).unwrap(), Show::ALL);
        let some = [Show::BothLeaders, Show::Poison];
        assert_eq!(words(&["poison", "c", "poison"]).unwrap(), some);
        assert_eq!(words(&["a"]).unwrap().len(), 4);
        assert!(words(&["h"]).unwrap_err().to_string().contains("no show"));
    }

    #[test]
    fn what_is_done_is_not_planned_again_and_each_show_has_its_turn() {
        let shows = [Show::LeaderKill, Show::NodeKill, Show::Rolling];
        let done = BTreeMap::from([(Show::LeaderKill, 1)]);

        let planned = missing(&shows, 3, &done);

        let expected = [
            (Show::LeaderKill, 2),
            (Show::NodeKill, 1),
            (Show::Rolling, 1),
            (Show::LeaderKill, 3),
            (Show::NodeKill, 2),
            (Show::NodeKill, 3),
        ];
        assert_eq!(planned, expected);
        assert_eq!(wanted(Show::Rolling, 50), 5);
    }
}
