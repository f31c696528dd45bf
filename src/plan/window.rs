//! The head of a backlog: its smallest keys, bounded; never grows with what waits behind it.

use std::collections::BTreeMap;

use crate::planted::{self, Bug};

/// The smallest keys of a range and what they hold. Complete up to `edge`: every key of the range below it is here, none at or
/// above it.
#[derive(Clone, Debug)]
pub struct Window<T> {
    items: BTreeMap<String, T>,
    edge: Option<String>,
    max: usize,
    /// How much time of keys to read next; none while the range behind the edge is short.
    span_ms: Option<u64>,
    /// While what is behind the edge is read: what happened there since.
    meanwhile: Option<Meanwhile<T>>,
    /// Whether the last read failed.
    failed: bool,
}

/// What happened behind the edge since a read of it began, which is of the revision of its beginning.
#[derive(Clone, Debug)]
struct Meanwhile<T> {
    /// What was written, or none for what was deleted; no more than the window holds.
    keys: BTreeMap<String, Option<T>>,
    /// What happened at or above this was not kept.
    until: Option<String>,
}

impl<T> Window<T> {
    /// An empty window of a range known to be empty.
    pub fn new(max: usize) -> Self {
        Self {
            items: BTreeMap::new(),
            edge: None,
            max: max.max(1),
            span_ms: None,
            meanwhile: None,
            failed: false,
        }
    }

    /// An empty window of a range of which nothing is known yet: everything at or above `from` must be read.
    pub fn unread(max: usize, from: String) -> Self {
        Self {
            edge: Some(from),
            ..Self::new(max)
        }
    }

    /// Folds a write. A key behind the edge is left to [`Self::extend`].
    pub fn put(&mut self, key: String, item: T) {
        if self.is_behind(&key) {
            return self.note(key, Some(item));
        }
        self.items.insert(key, item);
        self.shrink();
    }

    /// Folds a deletion.
    pub fn delete(&mut self, key: &str) {
        if self.is_behind(key) {
            return self.note(key.to_owned(), None);
        }
        self.items.remove(key);
    }

    /// Holds at most so many from now on, at least 1. What is over it is behind the edge then.
    pub fn resize(&mut self, max: usize) {
        self.max = max.max(1);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.items.len() > self.max
            && let Some((key, item)) = self.items.pop_last()
        {
            self.edge = Some(key.clone()).filter(|_| !planted::is(Bug::WindowForgets));
            self.note(key, Some(item));
        }
    }

    fn is_behind(&self, key: &str) -> bool {
        self.edge.as_deref().is_some_and(|edge| key >= edge)
    }

    /// Keeps what happened behind the edge, where that is being read.
    fn note(&mut self, key: String, item: Option<T>) {
        let Some(meanwhile) = &mut self.meanwhile else {
            return;
        };
        if meanwhile.until.as_ref().is_none_or(|until| key < *until) {
            meanwhile.keys.insert(key, item);
        }
        if meanwhile.keys.len() > self.max {
            meanwhile.until = meanwhile.keys.pop_last().map(|(key, _)| key);
        }
    }

    /// Where to read on, when less than a quarter is left, there is more behind the edge, and nobody reads it yet.
    pub fn wants(&self) -> Option<&str> {
        let low = self.items.len() <= self.max / 4 && self.meanwhile.is_none();
        self.edge.as_deref().filter(|_| low)
    }

    /// A read from the edge on begins, of the revision that the window has now. [`Self::extend`] or [`Self::abandon`] follows.
    pub fn begin(&mut self) {
        self.meanwhile = Some(Meanwhile {
            keys: BTreeMap::new(),
            until: None,
        });
    }

    /// The read failed.
    pub fn abandon(&mut self) {
        self.meanwhile = None;
        self.failed = true;
    }

    /// Whether it is not known yet what comes first, and the last read of it did not fail.
    pub fn is_awaited(&self) -> bool {
        self.items.is_empty() && self.edge.is_some() && !self.failed
    }

    /// Whether there is or may be more behind what it holds, and that is being read or can be.
    pub fn hides(&self) -> bool {
        self.edge.is_some() && !self.failed
    }

    /// How many more fit.
    pub fn room(&self) -> usize {
        self.max - self.items.len()
    }

    /// Adds what was read from the edge on, and moves the edge: none when the range ended. Where the read was begun, what happened
    /// since is newer than what it found.
    pub fn extend(&mut self, read: impl IntoIterator<Item = (String, T)>, edge: Option<String>) {
        let (newer, until) = match self.meanwhile.take() {
            Some(meanwhile) => (meanwhile.keys, meanwhile.until),
            None => (BTreeMap::new(), None),
        };
        self.failed = false;
        self.edge = [edge, until].into_iter().flatten().min();
        for (key, item) in read {
            if !newer.contains_key(&key) {
                self.put(key, item);
            }
        }
        for (key, item) in newer {
            if let Some(item) = item {
                self.put(key, item);
            }
        }
    }

    /// How much time of keys, in milliseconds, the next read is to be bounded to.
    pub fn span_ms(&self) -> Option<u64> {
        self.span_ms
    }

    /// Remembers a bound for the next read; none to read openly.
    pub fn set_span(&mut self, span_ms: Option<u64>) {
        self.span_ms = span_ms;
    }

    /// What it holds, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&String, &T)> {
        self.items.iter()
    }

    /// What it holds under a key.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.items.get(key)
    }

    /// How many it holds.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether it holds the whole range.
    pub fn is_complete(&self) -> bool {
        self.edge.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8),
        Delete(u8),
        /// A read begins, where the window wants one.
        Begin,
        /// It lands: nothing that happened since is in it.
        Land,
        Abandon,
        Resize(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u8>().prop_map(Step::Put),
            4 => any::<u8>().prop_map(Step::Delete),
            2 => Just(Step::Begin),
            2 => Just(Step::Land),
            1 => Just(Step::Abandon),
            1 => (4_u8..12).prop_map(Step::Resize),
        ]
    }

    fn key(n: u8) -> String {
        format!("{n:03}")
    }

    proptest! {
        /// Whatever happens, the window is the head of the true set with its newest values, and never more than its bound.
        #[test]
        fn a_window_is_the_head_of_the_range(steps in proptest::collection::vec(step(), 0..400)) {
            let mut all: BTreeMap<String, usize> = BTreeMap::new();
            let (mut window, mut max) = (Window::new(8), 8);
            let mut read = None;
            for (now, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Put(n) => {
                        all.insert(key(n), now);
                        window.put(key(n), now);
                    }
                    Step::Delete(n) => {
                        all.remove(&key(n));
                        window.delete(&key(n));
                    }
                    Step::Begin => if let Some(edge) = window.wants().map(str::to_owned) {
                        window.begin();
                        let mut rest = all.range(edge..).map(|(key, at)| (key.clone(), *at));
                        let page: Vec<_> = rest.by_ref().take(window.room()).collect();
                        read = Some((page, rest.next().map(|(key, _)| key)));
                    },
                    Step::Land => if let Some((page, edge)) = read.take() {
                        window.extend(page, edge);
                    },
                    Step::Abandon => {
                        read = None;
                        window.abandon();
                    }
                    Step::Resize(to) => {
                        max = usize::from(to);
                        window.resize(max);
                    }
                }
                prop_assert!(window.len() <= max);
                let held: Vec<_> = window.iter().collect();
                let head: Vec<_> = all.iter().take(held.len()).collect();
                prop_assert_eq!(&held, &head);
                prop_assert!(!window.is_complete() || held.len() == all.len());
            }
        }
    }
}
