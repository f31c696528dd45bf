//! Attempts are bounded: what records and claims say of failures, deaths and attempts is what the outcomes add up to, stays
//! within the budgets, and fences and attempt numbers grow. Exercised by each failure and each death.

use super::Facts;
use super::ids::TaskId;
use super::keyspace::{Outcome, Said};
use super::tasks::{Life, Place, Spot};
use super::verdict::{Case, Property, Verdict};

/// What a task has been through, by its outcomes alone.
#[derive(Default)]
struct Count {
    attempts: u32,
    failures: u32,
    losses: u32,
    deaths: u32,
    fence: i64,
}

struct Budget {
    failures: u32,
    deaths: u32,
}

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = Case::new(Property::AttemptsBounded);
    for (task, life) in &facts.lives.tasks {
        let Some(pack) = facts.lives.packs.get(&task.pack()) else {
            continue;
        };
        let budget = Budget {
            failures: pack.pack.max_attempts,
            deaths: facts.setup.limits.death_budget,
        };
        whole(&mut case, *task, life, &budget);
    }
    numbers(&mut case, facts);
    case.close()
}

fn whole(case: &mut Case, task: TaskId, life: &Life, budget: &Budget) {
    let mut count = Count::default();
    for one in &life.moves {
        for told in &one.said {
            let bad = matches!(
                told.outcome,
                Outcome::Failed | Outcome::Timeout | Outcome::Lost
            );
            case.exercised(u64::from(bad));
            if let Err(what) = count.told(told) {
                case.violated(what, &[one.revision], &[task]);
            }
        }
        for spot in &one.entered {
            if let Err(what) = count.entered(spot, budget) {
                case.violated(
                    what,
                    &[one.revision],
                    &[task.to_string(), spot.key.to_string()],
                );
            }
        }
        case.most("attempts", count.attempts.into());
    }
}

impl Count {
    fn told(&mut self, said: &Said) -> Result<(), String> {
        if said.outcome == Outcome::Revived {
            (self.failures, self.losses, self.deaths) = (0, 0, 0);
        }
        if !said.outcome.is_attempt() || said.fence == 0 {
            return Ok(());
        }
        self.attempts += 1;
        self.failures += u32::from(matches!(said.outcome, Outcome::Failed | Outcome::Timeout));
        self.losses += u32::from(said.outcome == Outcome::Lost);
        let before = std::mem::replace(&mut self.fence, said.fence);
        if said.fence <= before {
            return Err(format!("fence {} follows fence {before}", said.fence));
        }
        if said.number != self.attempts {
            return Err(format!(
                "attempt {} is on record as number {}",
                self.attempts, said.number
            ));
        }
        Ok(())
    }

    fn entered(&mut self, spot: &Spot, budget: &Budget) -> Result<(), String> {
        let tally = spot.tally;
        if tally.attempts != self.attempts || tally.failures != self.failures {
            return Err(format!(
                "goes on with {} attempts and {} failures, after {} and {}",
                tally.attempts, tally.failures, self.attempts, self.failures
            ));
        }
        if tally.deaths > self.losses || tally.deaths < self.deaths {
            return Err(format!(
                "goes on with {} deaths, after {} charged and {} lost runs",
                tally.deaths, self.deaths, self.losses
            ));
        }
        self.deaths = tally.deaths;
        if spot.place == Place::Dead {
            return Ok(());
        }
        if tally.failures >= budget.failures {
            return Err(format!("goes on after {} failures", tally.failures));
        }
        if tally.deaths >= budget.deaths {
            return Err(format!("goes on after {} deaths", tally.deaths));
        }
        Ok(())
    }
}

/// A run is told the number that its claim stands for.
fn numbers(case: &mut Case, facts: &Facts<'_>) {
    for ran in &facts.runs {
        let Some(life) = ran.task.and_then(|task| facts.lives.tasks.get(&task)) else {
            continue;
        };
        let spots = life.moves.iter().flat_map(|one| &one.entered);
        let mut own =
            spots.filter(|spot| matches!(&spot.place, Place::Run(of) if of.fence == ran.run.fence));
        if let Some(spot) = own.next()
            && spot.tally.attempts + 1 != ran.run.attempt
        {
            let what = format!(
                "a run was told to be attempt {} after {} attempts",
                ran.run.attempt, spot.tally.attempts
            );
            case.violated(what, &[ran.run.fence], &[&ran.run.task]);
        }
    }
}
