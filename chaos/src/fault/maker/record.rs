//! What the maker writes down.

use super::{Maker, Open};
use crate::target::Hands;
use tenure_chaos::history::{Entry, Fault, FaultKind, Injection, NodeEvent, Stage};

/// What a fault hits, as a history names it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hit<'a> {
    /// A node.
    Node(&'a str),
    /// A way: where it begins, and what it leads to.
    Way(&'a str, &'a str),
    /// etcd, and so everybody.
    Store,
}

impl<T: Hands> Maker<'_, T> {
    /// A stage of an injection.
    pub(super) fn tell(&self, open: &Open, stage: Stage, why: Option<String>) {
        self.chronicle.saw(Injection {
            number: open.number,
            kind: open.kind.name.to_owned(),
            stage,
            targets: open.targets.clone(),
            why,
        });
    }

    /// It is there from now on, and takes its time.
    pub(super) fn installed(&self, open: &mut Open) {
        open.told = true;
        self.tell(open, Stage::Installed, None);
    }

    /// A fault begins; written down before it is made.
    pub(super) fn begins(&mut self, open: &mut Open, kind: FaultKind, hit: Hit<'_>) {
        self.faults += 1;
        let (target, from, to) = match hit {
            Hit::Node(node) => (Some(node.to_owned()), None, None),
            Hit::Way(from, to) => (None, Some(from.to_owned()), Some(to.to_owned())),
            Hit::Store => (None, None, None),
        };
        self.chronicle.saw(Fault {
            id: self.faults,
            kind,
            target,
            from,
            to,
        });
        open.faults.push(self.faults);
    }

    /// All its faults are over.
    pub(super) fn faults_over(&self, open: &Open) {
        for id in &open.faults {
            self.chronicle.saw(Entry::Healed { id: *id });
        }
    }

    /// A process of a node was started.
    pub(super) fn started(&mut self, node: &str) {
        let counted = self.incarnations.entry(node.to_owned()).or_default();
        *counted += 1;
        let incarnation = *counted;
        if let Some(pid) = self.hands.pid_of(node) {
            self.processes.insert(pid, (node.to_owned(), incarnation));
        }
        self.away.remove(node);
        self.chronicle.saw(NodeEvent::Started {
            node: node.to_owned(),
            incarnation,
        });
    }

    pub(super) fn crashed(&mut self, node: &str) {
        self.away.insert(node.to_owned());
        self.chronicle.saw(NodeEvent::Crashed {
            node: node.to_owned(),
            incarnation: self.incarnation(node),
        });
    }

    pub(super) fn stopped(&mut self, node: &str) {
        self.away.insert(node.to_owned());
        self.chronicle.saw(NodeEvent::Stopped {
            node: node.to_owned(),
            incarnation: self.incarnation(node),
        });
    }

    fn incarnation(&self, node: &str) -> u64 {
        self.incarnations.get(node).copied().unwrap_or_default()
    }
}
