//! Planted bugs: each has a seed that finds it, on record; a bug that is not found any more is a hole in the checks.

use std::process::ExitCode;

use anyhow::ensure;
use tenure::planted::Bug;

use crate::many::alone;

/// 200 seeds: a bug that they do not find counts as not found.
const WITHIN: u64 = 200;

/// The bugs and the seeds that find them.
const FOUND_BY: &[(Bug, u64)] = &[];

/// Runs recorded seeds, or looks for them anew.
pub(crate) fn run(find: bool, only: Option<Bug>) -> anyhow::Result<ExitCode> {
    let bugs: Vec<Bug> = Bug::ALL
        .into_iter()
        .filter(|bug| only.is_none_or(|only| only == *bug))
        .collect();
    for bug in bugs {
        let recorded = FOUND_BY
            .iter()
            .find(|(known, _)| *known == bug)
            .map(|(_, seed)| *seed);
        let seeds = match (find, recorded) {
            (true, _) | (false, None) => 0..WITHIN,
            (false, Some(seed)) => seed..seed + 1,
        };
        let mut found = None;
        for seed in seeds {
            let ran = alone(seed, Some(bug))?;
            if ran.failed() {
                found = Some((seed, ran.by()));
                break;
            }
        }
        ensure!(found.is_some(), "{bug} is not found");
        if let Some((seed, by)) = found {
            println!("{bug:28} seed {seed:>4} {by}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
