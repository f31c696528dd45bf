//! What the witness wrote down, as records of a history: each note where its instant puts it, each run on the node whose process
//! was above it, or, where it came over a connection, on the node that its claim was made for.

use super::{Note, Run as Noted};
use std::collections::{BTreeMap, HashMap};
use tenure_chaos::check::ids::TaskId;
use tenure_chaos::check::keyspace::{self, Key, Value as Stored};
use tenure_chaos::history::{Effect, Entry, History, NodeEvent, Record, Run};

/// Whose process had which id: a node's name, and its how manieth.
pub(crate) type Processes = BTreeMap<u32, (String, u64)>;

/// The history with the notes in it, that began at this instant of the clock that notes have.
pub(crate) fn with_notes(
    history: &History,
    began_us: u64,
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
        let at_ms = written_us.saturating_sub(began_us) / 1_000;
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
    /// The node that a claim was made for, by its create revision and each of its tasks: one transaction makes claims for several
    /// nodes.
    claims: HashMap<(i64, TaskId), String>,
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
                && let Key::Run { node, .. } = &key
                && let Some(value) = &event.value
                && let Stored::Run(held) = keyspace::value(&key, &value.0)
            {
                for index in held.which.iter() {
                    let of = (event.create_revision, held.pack.task(index));
                    owners.claims.insert(of, node.clone());
                }
            } else if let Entry::Node(NodeEvent::Started { node, incarnation }) = &record.entry {
                owners
                    .begun
                    .push((node.clone(), record.at_ms, *incarnation));
            }
        }
        owners
    }

    fn run(&self, noted: &Noted, parent: u32, at_ms: u64) -> Run {
        // Its node was gone before it could look: then it is the one that the claim was made for.
        let claimed = || {
            let task = noted.task.parse().ok();
            let node = task.and_then(|task| self.claims.get(&(noted.fence, task)));
            let node = node.cloned().unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_chaos::check::Limits;
    use tenure_chaos::history::{StoreEvent, Value};

    /// Tasks 0 and 1 of a pack.
    const TASKS: [&str; 2] = [
        "01a2013c-8d49-75e2-92b5-a9f945e88400",
        "01a2013c-8d49-75e2-92b5-a9f945e88401",
    ];

    fn noted(task: usize, fence: i64) -> Noted {
        Noted {
            task: TASKS[task].to_owned(),
            attempt: 1,
            fence,
        }
    }

    /// A claim of one task, made at revision 9.
    fn claim(node: &str, task: usize) -> StoreEvent {
        let pack = TASKS[0];
        let value = format!(
            r#"{{"pack":"{pack}","routing":{{"queue":"q","kind":"http","priority":5}},"which":"{task}","session":7,"term":4}}"#
        );
        StoreEvent {
            revision: 9,
            create_revision: 9,
            version: 1,
            key: format!("/t/live/run/{node}/4-{task}"),
            value: Some(Value(value.into_bytes())),
            ..StoreEvent::default()
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
        history.push(5, claim("n2", 0));
        history.push(20, Entry::AllHealed);
        let notes = [
            Note::Started {
                run: noted(0, 9),
                parent: 77,
                at_us: 1_010_000,
            },
            Note::Started {
                run: noted(0, 8),
                parent: 78,
                at_us: 1_012_000,
            },
            Note::Acted {
                run: noted(0, 9),
                gate: None,
                done: true,
                at_us: 1_030_000,
            },
        ];
        let processes = Processes::from([(78, ("n1".to_owned(), 2))]);

        let merged = with_notes(&history, 1_000_000, &notes, &processes);

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
    fn runs_that_came_over_a_connection_and_commands_are_in_one_history() {
        let mut history = History::new("/t/", Limits::default());
        history.push(
            1,
            NodeEvent::Started {
                node: "n2".to_owned(),
                incarnation: 1,
            },
        );
        // One transaction, two nodes.
        history.push(5, claim("n2", 0));
        history.push(5, claim("n3", 1));
        let started = |task, fence, parent| Note::Started {
            run: noted(task, fence),
            parent,
            at_us: 1_010_000,
        };
        let ended = |task, fence| Note::Ended {
            run: noted(task, fence),
            exit: 129,
            at_us: 1_020_000,
        };
        let notes = [
            started(0, 9, 0),
            started(1, 9, 0),
            started(0, 8, 78),
            ended(0, 9),
            ended(0, 8),
        ];
        let processes = Processes::from([(78, ("n1".to_owned(), 2))]);

        let merged = with_notes(&history, 1_000_000, &notes, &processes);

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
            ("n3", 9, true),
            ("n1", 8, true),
            ("n2", 9, false),
            ("n1", 8, false),
        ];
        assert_eq!(runs, expected);
    }
}
