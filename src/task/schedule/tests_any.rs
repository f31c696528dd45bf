//! Random rules, looked at whenever: what has to be true of the ledger whatever they are.

use proptest::prelude::*;

use super::*;

fn overlaps() -> impl Strategy<Value = Overlap> {
    prop::sample::select(vec![
        Overlap::Allow,
        Overlap::Skip,
        Overlap::Replace,
        Overlap::QueueOne,
    ])
}

fn misfires() -> impl Strategy<Value = Misfire> {
    let all = (1..40_u32).prop_map(Misfire::FireAll);
    prop_oneof![Just(Misfire::Skip), Just(Misfire::FireOnce), all]
}

proptest! {
    /// Whatever the rules and whenever anybody looks, each due time has one line, none early, none twice, and steps end.
    #[test]
    fn each_due_time_has_one_line(
        period in 1..120_u64,
        overlap in overlaps(),
        misfire in misfires(),
        jitter_ms in prop_oneof![Just(0), 1..90_000_u64],
        catch_up_ms in 0..600_000_u64,
        deadline in prop::option::of(1_000..300_000_u64),
        looks in prop::collection::vec((0..200_000_u64, any::<bool>()), 1..12),
    ) {
        let mut world = World::new(Schedule {
            overlap, misfire, jitter_ms, catch_up_ms,
            start_deadline_ms: deadline,
            ..every(period * SECOND)
        });
        let (mut now, mut lines, mut packs) = (0, Vec::new(), BTreeSet::new());
        for (later, ends) in looks {
            now += later;
            let mut steps = 0;
            while let Some(step) = world.step(now) {
                steps += 1;
                prop_assert!(steps < 1_000);
                for (id, pack) in &step.fires {
                    let due_ms = pack.fired.as_ref().unwrap().due_ms;
                    prop_assert!(due_ms + world.schedule.jitter(&name(), due_ms) <= NOON + now);
                    prop_assert!(packs.insert(*id));
                }
                prop_assert!(step.fires.len() <= FIRES_MAX);
                lines.extend(step.lines);
            }
            if ends {
                world.ended.extend(world.progress.open.clone());
            }
        }
        let mut due = NOON;
        for line in &lines {
            let first = world.timing.after(due).unwrap();
            prop_assert_eq!(line.due_ms, first);
            due = line.until_ms.unwrap_or(first);
            let known = u64::from(line.times);
            if line.times < TIMES_MAX {
                prop_assert_eq!(world.timing.count(first - 1, due, 20_000), known);
            }
        }
        prop_assert!(due >= world.progress.done_ms || world.timing.after(due) > Some(world.progress.done_ms));
        let next = world.timing.after(world.progress.done_ms).unwrap();
        prop_assert!(next + world.schedule.jitter(&name(), next) > NOON + now);
        prop_assert_eq!(world.progress.next_ms, Some(next));
    }
}
