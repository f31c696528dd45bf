//! Two servers side by side: the first difference between their answers, and the shortest sequence found that still shows one.

use std::fmt;

use serde_json::Value;

use crate::answer::{Step, Text};
use crate::client::Wire;
use crate::ops::{Op, line};
use crate::run::{Trace, run};

/// 600 runs of a sequence: a minute or so, after which what is left is printed as it is.
const SHRINKS_MAX: usize = 600;

/// Changes what a server answered, to see that it is noticed.
pub(crate) type Fault = fn(&mut Step);

/// What is judged, and by what.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) etcd: Wire,
    pub(crate) other: Wire,
    /// Spoils the answers of `other`.
    pub(crate) fault: Option<Fault>,
}

/// Where two servers first part.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    pub(crate) at: usize,
    pub(crate) etcd: String,
    pub(crate) other: String,
}

/// A sequence and the difference it shows.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) ops: Vec<Op>,
    pub(crate) difference: Difference,
}

impl Pair {
    /// Runs a sequence on both.
    pub(crate) async fn differ(&self, ops: &[Op]) -> Option<Difference> {
        self.run(ops).await.1
    }

    /// Runs a sequence on both; what etcd answered, and the first difference.
    pub(crate) async fn run(&self, ops: &[Op]) -> (Trace, Option<Difference>) {
        let (etcd, mut other) = tokio::join!(run(&self.etcd, ops), run(&self.other, ops));
        if let Some(fault) = self.fault {
            other.steps.iter_mut().for_each(fault);
        }
        let difference = first_difference(&etcd, &other);
        (etcd, difference)
    }

    /// Looks for the shortest sequence that still shows a difference.
    pub(crate) async fn shrink(&self, mut found: Found) -> Found {
        found.ops.truncate(found.difference.at + 1);
        let mut runs = 0;
        loop {
            let before = found.ops.len();
            self.remove(&mut found, &mut runs).await;
            let simpler = self.simplify(&mut found, &mut runs).await;
            if runs >= SHRINKS_MAX || (!simpler && found.ops.len() == before) {
                return found;
            }
        }
    }

    /// Removes operations, first in large pieces.
    async fn remove(&self, found: &mut Found, runs: &mut usize) {
        let mut size = found.ops.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            while from < found.ops.len() {
                let mut ops = found.ops.clone();
                ops.drain(from..(from + size).min(ops.len()));
                if !self.try_instead(found, ops, runs).await {
                    from += size;
                }
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    /// Removes fields and inner operations, one at a time; whether anything was.
    async fn simplify(&self, found: &mut Found, runs: &mut usize) -> bool {
        let mut any = false;
        for index in (0..found.ops.len()).rev() {
            while let Some(op) = found.ops.get(index) {
                let mut less = false;
                for op in simpler(op) {
                    let mut ops = found.ops.clone();
                    ops[index] = op;
                    if self.try_instead(found, ops, runs).await {
                        less = true;
                        break;
                    }
                }
                any |= less;
                if !less {
                    break;
                }
            }
        }
        any
    }

    async fn try_instead(&self, found: &mut Found, ops: Vec<Op>, runs: &mut usize) -> bool {
        *runs += 1;
        if ops.is_empty() || *runs > SHRINKS_MAX {
            return false;
        }
        let Some(difference) = self.differ(&ops).await else {
            return false;
        };
        *found = Found { ops, difference };
        true
    }
}

fn first_difference(etcd: &Trace, other: &Trace) -> Option<Difference> {
    let text = |trace: &Trace, at: usize| {
        let text = Text { base: trace.base };
        let step = trace.steps.get(at);
        step.map_or("no answer any more".to_owned(), |step| text.step(step))
    };
    (0..etcd.steps.len().max(other.steps.len())).find_map(|at| {
        let (etcd, other) = (text(etcd, at), text(other, at));
        (etcd != other).then_some(Difference { at, etcd, other })
    })
}

/// The operation with one thing less, in all ways there are.
fn simpler(op: &Op) -> Vec<Op> {
    let brief: Value = serde_json::from_str(&op.to_string()).expect("it was just written");
    without_one(&brief)
        .into_iter()
        .filter_map(|value| serde_json::from_value(value).ok())
        .filter(|simpler| simpler != op)
        .collect()
}

fn without_one(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(fields) => {
            let mut all = Vec::new();
            for (name, field) in fields {
                if !name.starts_with(char::is_uppercase) {
                    let mut less = fields.clone();
                    less.remove(name);
                    all.push(Value::Object(less));
                }
                for field in without_one(field) {
                    let mut less = fields.clone();
                    less.insert(name.clone(), field);
                    all.push(Value::Object(less));
                }
            }
            all
        }
        Value::Array(items) => {
            let half = items.len() / 2;
            let mut all = Vec::new();
            if half > 1 {
                all.push(Value::Array(items[..half].to_vec()));
                all.push(Value::Array(items[half..].to_vec()));
            }
            for (index, item) in items.iter().enumerate() {
                let mut less = items.clone();
                less.remove(index);
                all.push(Value::Array(less));
                for item in without_one(item) {
                    let mut less = items.clone();
                    less[index] = item;
                    all.push(Value::Array(less));
                }
            }
            all
        }
        Value::Number(number) => {
            let less = number.as_i64().filter(|n| *n > 1);
            let less = less.into_iter().flat_map(|n| [n / 2, n - 1]);
            less.map(Value::from).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => Vec::new(),
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "shrunk to {} operations:", self.ops.len())?;
        for (index, op) in self.ops.iter().enumerate() {
            writeln!(f, "  {index}: {op}")?;
        }
        let Difference { at, etcd, other } = &self.difference;
        if *at < self.ops.len() {
            writeln!(f, "they differ at {at}")?;
        } else {
            writeln!(f, "they differ in what was still to come on the streams")?;
        }
        writeln!(f, "etcd:  {etcd}\nother: {other}")?;
        write!(
            f,
            "again: TENURE_DIFF_REPLAY='{}' cargo nextest run -p tenure-embedded --test differential not_differ",
            line(&self.ops)
        )
    }
}
