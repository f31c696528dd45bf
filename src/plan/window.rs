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
}

impl<T> Window<T> {
    /// An empty window of a range known to be empty.
    pub fn new(max: usize) -> Self {
        Self {
            items: BTreeMap::new(),
            edge: None,
            max: max.max(1),
            span_ms: None,
        }
    }

    /// An empty window of a range of which nothing is known yet: everything at or above `from` must be read.
    pub fn unread(max: usize, from: String) -> Self {
        Self {
            edge: Some(from),
            ..Self::new(max)
        }
    }

    /// Folds a write. A key behind the edge is left to a later [`Self::extend`].
    pub fn put(&mut self, key: String, item: T) {
        if self.edge.as_ref().is_some_and(|edge| key >= *edge) {
            return;
        }
        self.items.insert(key, item);
        if self.items.len() > self.max {
            let last = self.items.pop_last().map(|(key, _)| key);
            self.edge = last.filter(|_| !planted::is(Bug::WindowForgets));
        }
    }

    /// Folds a deletion.
    pub fn delete(&mut self, key: &str) {
        self.items.remove(key);
    }

    /// Where to read on, when less than a quarter is left and there is more behind the edge.
    pub fn wants(&self) -> Option<&str> {
        let low = self.items.len() <= self.max / 4;
        self.edge.as_deref().filter(|_| low)
    }

    /// How many more fit.
    pub fn room(&self) -> usize {
        self.max - self.items.len()
    }

    /// Adds what was read from the edge on, and moves the edge: none when the range ended.
    pub fn extend(&mut self, read: impl IntoIterator<Item = (String, T)>, edge: Option<String>) {
        self.edge = edge;
        for (key, item) in read {
            self.put(key, item);
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
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8),
        Delete(u8),
        Refill,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u8>().prop_map(Step::Put),
            any::<u8>().prop_map(Step::Delete),
            Just(Step::Refill),
        ]
    }

    fn key(n: u8) -> String {
        format!("{n:03}")
    }

    proptest! {
        /// Whatever happens, the window is the head of the true set, and never more than its bound.
        #[test]
        fn a_window_is_the_head_of_the_range(steps in proptest::collection::vec(step(), 0..400)) {
            let mut all: BTreeSet<String> = BTreeSet::new();
            let mut window = Window::new(8);
            for step in steps {
                match step {
                    Step::Put(n) => {
                        all.insert(key(n));
                        window.put(key(n), ());
                    }
                    Step::Delete(n) => {
                        all.remove(&key(n));
                        window.delete(&key(n));
                    }
                    Step::Refill => if let Some(edge) = window.wants().map(str::to_owned) {
                        let mut rest = all.range(edge..).cloned();
                        let read: Vec<_> = rest.by_ref().take(window.room()).map(|key| (key, ())).collect();
                        window.extend(read, rest.next());
                    },
                }
                prop_assert!(window.len() <= 8);
                let held: Vec<_> = window.iter().map(|(key, ())| key.clone()).collect();
                let head: Vec<_> = all.iter().take(held.len()).cloned().collect();
                prop_assert_eq!(&held, &head);
                prop_assert!(!window.is_complete() || held.len() == all.len());
            }
        }
    }
}
