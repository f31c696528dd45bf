//! Attempts are bounded: what records and claims say of failures, deaths and attempts is what the outcomes add up to, stays
//! within the budgets, and fences and attempt numbers grow; a task that was alone in its claim is charged with the death of its
//! node. Exercised by each failure and each death.

use std::collections::{HashMap, HashSet};

use super::Facts;
use super::calm::crashes;
use super::fold::Step;
use super::ids::TaskId;
use super::keyspace::{Held, Key, Node, Outcome, Said, Value};
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
    let mut case = facts.case(Property::AttemptsBounded);
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
    charges(&mut case, facts);
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

/// A single task that was lost with its node's process is charged: nobody else can have killed it.
fn charges(case: &mut Case, facts: &Facts<'_>) {
    let (mut nodes, mut leaving): (HashMap<&str, &Node>, HashSet<i64>) = Default::default();
    for step in &facts.steps {
        for change in &step.changes {
            match (&change.key, change.was.as_deref(), change.is.as_deref()) {
                (Key::Run { node, .. }, Some(Value::Run(held)), None) => {
                    let there = nodes.get(node.as_str());
                    let back = there.is_some_and(|there| there.instance == held.instance);
                    let blameless = back || leaving.contains(&held.session);
                    let after = goes_on(step, held).filter(|_| !blameless);
                    let Some((key, deaths)) = after.filter(|_| died(facts, node, held)) else {
                        continue;
                    };
                    case.add("charges", 1);
                    if deaths != held.tally.deaths + 1 {
                        let what = "it was alone when its node died, and was not charged";
                        case.violated(what, &[step.revision], &[key, node]);
                    }
                }
                (Key::Node(node), _, Some(Value::Node(one))) => {
                    nodes.insert(node, one);
                    leaving.extend(one.draining.then_some(change.created));
                }
                (Key::Node(node), _, None) => {
                    nodes.remove(node.as_str());
                }
                _ => {}
            }
        }
    }
}

/// Whether the process that held it died while its session lived.
fn died(facts: &Facts<'_>, node: &str, held: &Held) -> bool {
    let session = facts.sessions.get(&held.session);
    let Some((from_ms, gone)) = session.map(|one| (one.created_ms, one.gone)) else {
        return false;
    };
    let until_ms = gone.map_or(0, |gone| gone.1);
    crashes(facts.history).any(|(of, at_ms)| of == node && from_ms < at_ms && at_ms < until_ms)
}

/// Where the one task of a claim goes on that was lost, and how many deaths it is charged with then.
fn goes_on<'s>(step: &'s Step, held: &Held) -> Option<(&'s str, u32)> {
    let single = held.which.iter().nth(1).is_none();
    let lost = |said: &Said| said.outcome == Outcome::Lost && said.which == held.which;
    let told = step.changes.iter().any(|change| {
        let of = matches!(&change.key, Key::Result { pack, .. } if *pack == held.pack);
        of && matches!(change.is.as_deref(), Some(Value::Outcomes(all)) if all.iter().any(lost))
    });
    let mut records = step.changes.iter().filter_map(|change| {
        let (Key::Ready { name, .. } | Key::Dead(name)) = &change.key else {
            return None;
        };
        match change.is.as_deref() {
            Some(Value::Record(record)) if record.which == held.which => {
                (name.pack == held.pack).then_some((&*change.text, record.tally.deaths))
            }
            _ => None,
        }
    });
    records.next().filter(|_| single && told)
}
