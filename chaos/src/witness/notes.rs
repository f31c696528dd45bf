//! What the witness wrote down, as records of a history: each note where its instant puts it, each run on the node whose process
//! was above it, or, where it came over a connection, on the node that its claim was made for.

use super::{Note, Run as Noted};
use std::collections::{BTreeMap, HashMap};
use tenure_chaos::check::ids::{PackId, TaskId};
use tenure_chaos::check::keyspace::{self, Key, Value};
use tenure_chaos::history::{Effect, Entry, History, NodeEvent, Record, Run, StoreEvent};

/// Whose process had which id: a node's name, and its how manieth.
pub(crate) type Processes = BTreeMap<u32, (String, u64)>;

/// The history with the notes in it.
pub(crate) fn with_notes(
    history: &History,
    epoch_ms: u64,
    notes: &[Note],
    processes: &Processes,
) -> History {
    let owners = Owners::of(history, processes);
    let mut named: HashMap<&Noted, Run> = HashMap::new();
    let mut records: Vec<Record> = history.records().to_vec();
    for note in notes {
        let (of, written_us) = match note {
            Note::Started { run, at_us, .. }
            | Note::Ended { run, at_us, .. }
            | Note::Acted { run, at_us, .. } => (run, *at_us),
        };
        let at_ms = (written_us / 1_000).saturating_sub(epoch_ms);
        if let Note::Started { parent, .. } = note {
            named.insert(of, owners.run(of, *parent, at_ms));
        }
        let Some(run) = named.get(of).cloned() else {
            continue;
        };
        let entry = match note {
            Note::Started { .. } => Entry::RunStarted(run),
            Note::Ended { exit, .. } => Entry::RunEnded {
                run,
                well: *exit == 0,
            },
            Note::Acted { gate, done, .. } => Entry::Effect(Effect {
                run,
                gate: gate.clone(),
                done: *done,
            }),
        };
        records.push(Record { at_ms, entry });
    }
    // Stable: what etcd and the witness told stays in the order in which each of them told it.
    records.sort_by_key(|record| record.at_ms);
    records.into_iter().collect()
}

/// Who may have run something.
struct Owners<'a> {
    processes: &'a Processes,
    /// The nodes that claims were made for, with the packs, by their create revision: a leader makes several at once.
    claims: HashMap<i64, Vec<(String, Option<PackId>)>>,
    /// When processes of nodes began: the node, the instant in milliseconds, and the how manieth.
    begun: Vec<(String, u64, u64)>,
}

impl<'a> Owners<'a> {
    fn of(history: &History, processes: &'a Processes) -> Self {
        let root = history.setup().map_or("", |setup| setup.root.as_str());
        let mut owners = Self {
            processes,
            claims: HashMap::new(),
            begun: Vec::new(),
        };
        for record in history.records() {
            if let Entry::Store(event) = &record.entry
                && let Some(key) = keyspace::key(root, &event.key)
                && let Key::Run { node, .. } = key.clone()
            {
                let claims = owners.claims.entry(event.create_revision).or_default();
                claims.push((node, pack_of(&key, event)));
            } else if let Entry::Node(NodeEvent::Started { node, incarnation }) = &record.entry {
                owners
                    .begun
                    .push((node.clone(), record.at_ms, *incarnation));
            }
        }
        owners
    }

    /// The node of the claim that a run was made of.
    fn claimed_for(&self, noted: &Noted) -> Option<String> {
        let claims = self.claims.get(&noted.fence)?;
        let task: Option<TaskId> = noted.task.parse().ok();
        let pack = task.map(TaskId::pack);
        let of_pack = claims.iter().find(|one| pack.is_some() && one.1 == pack);
        let alone = claims.first().filter(|_| claims.len() == 1);
        of_pack.or(alone).map(|one| one.0.clone())
    }

    fn run(&self, noted: &Noted, parent: u32, at_ms: u64) -> Run {
        // Its node was gone before it could look: then it is the one that the claim was made for.
        let claimed = || {
            let node = self.claimed_for(noted).unwrap_or_default();
            let mut begun = self.begun.iter().rev();
            let last = begun.find(|one| one.0 == node && one.1 <= at_ms);
            (node, last.map_or(0, |one| one.2))
        };
        let owner = self.processes.get(&parent).cloned();
        let (node, incarnation) = owner.unwrap_or_else(claimed);
        Run {
            task: noted.task.clone(),
            attempt: noted.attempt,
            fence: noted.fence,
            node,
            incarnation,
        }
    }
}

fn pack_of(key: &Key, event: &StoreEvent) -> Option<PackId> {
    match keyspace::value(key, &event.value.as_ref()?.0) {
        Value::Run(held) => Some(held.pack),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_chaos::check::Limits;
    use tenure_chaos::history::Value;

    fn noted(fence: i64) -> Noted {
        Noted {
            task: "t".to_owned(),
            attempt: 1,
            fence,
        }
    }

    #[test]
    fn a_note_comes_where_its_instant_is_with_the_node_whose_process_was_above() {
        let mut history = History::new("/t/", Limits::default());
        history.push(
            1,
            NodeEvent::Started {
                node: "n2".to_owned(),
                incarnation: 3,
            },
        );
        let claim = StoreEvent {
            revision: 9,
            create_revision: 9,
            version: 1,
            key: "/t/live/run/n2/4-1".to_owned(),
            value: Some(Value(b"{}".to_vec())),
            ..StoreEvent::default()
        };
        history.push(5, claim);
        history.push(20, Entry::AllHealed);
        let notes = [
            Note::Started {
                run: noted(9),
                parent: 77,
                at_us: 1_010_000,
            },
            Note::Started {
                run: noted(8),
                parent: 78,
                at_us: 1_012_000,
            },
            Note::Acted {
                run: noted(9),
                gate: None,
                done: true,
                at_us: 1_030_000,
            },
        ];
        let processes = Processes::from([(78, ("n1".to_owned(), 2))]);

        let merged = with_notes(&history, 1_000, &notes, &processes);

        let at: Vec<u64> = merged.records().iter().map(|record| record.at_ms).collect();
        assert_eq!(at, [0, 1, 5, 10, 12, 20, 30]);
        let mut runs = Vec::new();
        for record in merged.records() {
            if let Entry::RunStarted(run) = &record.entry {
                runs.push((run.node.as_str(), run.incarnation));
            }
        }
        assert_eq!(runs, [("n2", 3), ("n1", 2)]);
    }

    #[test]
    fn of_claims_that_were_made_at_once_each_has_its_own_task() {
        let mut history = History::new("/t/", Limits::default());
        let pack = |number: u8| format!("01920000-0000-7000-8000-0000000{number:02}000");
        for (number, node) in [(1, "n1"), (2, "n2")] {
            let held = format!(
                r#"{{"pack":"{}","routing":{{"queue":"q","kind":"k","priority":4}},"which":"0","size":1,"session":3,"term":4}}"#,
                pack(number)
            );
            let claim = StoreEvent {
                revision: 9,
                create_revision: 9,
                version: 1,
                key: format!("/t/live/run/{node}/4-{number}"),
                value: Some(Value(held.into_bytes())),
                ..StoreEvent::default()
            };
            history.push(5, claim);
        }
        let started = |number| Note::Started {
            run: Noted {
                task: pack(number),
                ..noted(9)
            },
            parent: 0,
            at_us: 1_010_000,
        };

        let merged = with_notes(
            &history,
            1_000,
            &[started(2), started(1)],
            &Processes::new(),
        );

        let nodes = merged
            .records()
            .iter()
            .filter_map(|record| match &record.entry {
                Entry::RunStarted(run) => Some(run.node.as_str()),
                _ => None,
            });
        assert_eq!(nodes.collect::<Vec<_>>(), ["n2", "n1"]);
    }

    #[test]
    fn runs_that_came_over_a_connection_and_commands_are_in_one_history() {
        let mut history = History::new("/t/", Limits::default());
        history.push(
            1,
            NodeEvent::Started {
                node: "n2".to_owned(),
                incarnation: 1,
            },
        );
        let claim = StoreEvent {
            revision: 9,
            create_revision: 9,
            version: 1,
            key: "/t/live/run/n2/4-1".to_owned(),
            value: Some(Value(b"{}".to_vec())),
            ..StoreEvent::default()
        };
        history.push(5, claim);
        let started = |fence, parent| Note::Started {
            run: noted(fence),
            parent,
            at_us: 1_010_000,
        };
        let ended = |fence| Note::Ended {
            run: noted(fence),
            exit: 129,
            at_us: 1_020_000,
        };
        let notes = [started(9, 0), started(8, 78), ended(9), ended(8)];
        let processes = Processes::from([(78, ("n1".to_owned(), 2))]);

        let merged = with_notes(&history, 1_000, &notes, &processes);

        let mut runs = Vec::new();
        for record in merged.records() {
            if let Entry::RunStarted(run) = &record.entry {
                runs.push((run.node.as_str(), run.fence, true));
            } else if let Entry::RunEnded { run, well: false } = &record.entry {
                runs.push((run.node.as_str(), run.fence, false));
            }
        }
        let expected = [
            ("n2", 9, true),
            ("n1", 8, true),
            ("n2", 9, false),
            ("n1", 8, false),
        ];
        assert_eq!(runs, expected);
    }
}
