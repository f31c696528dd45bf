//! The figures of a run and how they are shown: a table for people, JSON for programs, the ground beside each. It judges none.

use crate::measure::{Bench, Measure};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What was measured, in words.
    pub(crate) what: String,
    /// The figure, in words, with its unit.
    pub(crate) measured: String,
    /// The least it should be.
    pub(crate) ground: &'static str,
    /// The same as numbers, and what belongs to it.
    pub(crate) values: Value,
}

struct Row {
    measure: Measure,
    members: usize,
    command: String,
    figure: Figure,
}

/// All figures of a run.
pub(crate) struct Report {
    machine: Value,
    rows: Vec<Row>,
    faults: Vec<String>,
}

impl Report {
    pub(crate) fn new(machine: Value) -> Self {
        Self {
            machine,
            rows: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Adds a figure, and says it at once: a run takes long.
    pub(crate) fn add(&mut self, measure: Measure, bench: &Bench, figure: Figure) {
        eprintln!("   {}: {}", figure.what, figure.measured);
        self.rows.push(Row {
            measure,
            members: bench.members,
            command: bench.command(measure),
            figure,
        });
    }

    /// Something that did not go as it should, which makes the run fail.
    pub(crate) fn fault(&mut self, fault: String) {
        eprintln!("   FAULT {fault}");
        self.faults.push(fault);
    }

    pub(crate) fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// The machine in a line.
    pub(crate) fn machine(&self) -> String {
        let machine = &self.machine;
        let word = |name: &str| machine[name].as_str().unwrap_or("?").to_owned();
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let sync = &machine["fdatasync_ms"];
        format!(
            "{} cores shared by etcd, nodes and load generator, {:.1} GB memory; fdatasync of {} B: p50 {:.2} ms, p99 {:.2} ms; \
             {}; {}; scale {}; {}",
            machine["cores"],
            number(&machine["memory_mb"]) / 1e3,
            sync["bytes"],
            number(&sync["p50"]),
            number(&sync["p99"]),
            word("tenure"),
            word("etcd"),
            word("scale"),
            word("at"),
        )
    }

    /// Everything, as JSON.
    pub(crate) fn json(&self) -> String {
        let row = |row: &Row| {
            json!({
                "measure": row.measure.letter(), "members": row.members, "what": row.figure.what,
                "measured": row.figure.measured, "ground": row.figure.ground, "values": row.figure.values,
                "command": row.command,
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        let all = json!({ "machine": self.machine, "rows": rows, "faults": self.faults });
        format!("{all:#}\n")
    }

    /// The tables, as markdown, on stdout: one for each number of members.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        Ok(std::io::stdout().write_all(self.markdown().as_bytes())?)
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.machine());
        let mut members: Vec<usize> = self.rows.iter().map(|row| row.members).collect();
        members.dedup();
        for members in members {
            let _ = write!(
                text,
                "\n### {members} member(s) of etcd, {members} node(s)\n\n| | what | measured | ground | command |\n|---|---|---|---|---|\n"
            );
            for row in self.rows.iter().filter(|row| row.members == members) {
                let figure = &row.figure;
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | `{}` |",
                    row.measure.letter(),
                    figure.what,
                    figure.measured,
                    figure.ground,
                    row.command
                );
            }
        }
        for fault in &self.faults {
            let _ = write!(text, "\nFAULT: {fault}\n");
        }
        text
    }
}
