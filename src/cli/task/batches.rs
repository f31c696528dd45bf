//! Cuts the lines of a file into batches, always in the same places, so that a second run of the
//! same file sends the same batches under the same keys.

use std::io::BufRead;

use super::lines::ENVELOPE;
use crate::api::wire::{BATCH_BYTES_MAX, BATCH_TASKS_MAX};

/// Lines that go together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// From 0.
    pub(super) number: usize,
    /// The lines of the file that it holds, from 1.
    pub(super) first_line: usize,
    pub(super) last_line: usize,
    pub(super) tasks: usize,
    /// The tasks, separated by commas.
    joined: Vec<u8>,
}

impl Batch {
    /// The request.
    pub(super) fn body(&self) -> Vec<u8> {
        [b"{\"tasks\":[".as_slice(), &self.joined, b"]}"].concat()
    }

    fn fits(&self, line: &[u8]) -> bool {
        let bytes = self.joined.len() + 1 + line.len() + ENVELOPE;
        self.tasks < BATCH_TASKS_MAX && bytes <= BATCH_BYTES_MAX
    }

    fn push(&mut self, number: usize, line: &[u8]) {
        if self.tasks == 0 {
            self.first_line = number;
        } else {
            self.joined.push(b',');
        }
        self.joined.extend_from_slice(line);
        self.last_line = number;
        self.tasks += 1;
    }
}

/// The batches of a file, read as they are asked for.
pub(super) struct Batches<R> {
    lines: Lines<R>,
    number: usize,
    held: Option<(usize, Vec<u8>)>,
}

impl<R: BufRead> Batches<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            lines: Lines::new(from),
            number: 0,
            held: None,
        }
    }

    /// The next batch; none at the end.
    pub(super) fn next(&mut self) -> std::io::Result<Option<Batch>> {
        let mut batch = Batch {
            number: self.number,
            ..Batch::default()
        };
        loop {
            let next = match self.held.take() {
                Some(held) => Some(held),
                None => self.lines.next()?,
            };
            let Some((number, line)) = next else { break };
            if batch.tasks > 0 && !batch.fits(&line) {
                self.held = Some((number, line));
                break;
            }
            batch.push(number, &line);
        }
        self.number += 1;
        Ok((batch.tasks > 0).then_some(batch))
    }
}

/// The lines of a file that are not blank, trimmed, with their numbers from 1.
pub(super) struct Lines<R> {
    from: R,
    number: usize,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, number: 0 }
    }

    pub(super) fn next(&mut self) -> std::io::Result<Option<(usize, Vec<u8>)>> {
        loop {
            let mut line = Vec::new();
            if self.from.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let trimmed = line.trim_ascii();
            if !trimmed.is_empty() {
                return Ok(Some((self.number, trimmed.to_vec())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Batch> {
        let mut batches = Batches::new(text.as_bytes());
        std::iter::from_fn(|| batches.next().unwrap()).collect()
    }

    #[test]
    fn a_batch_holds_a_thousand_tasks_at_most() {
        let text = "{\"kind\":\"noop\"}\n\n".repeat(2_001);

        let batches = all(&text);

        let shape: Vec<_> = batches
            .iter()
            .map(|b| (b.number, b.tasks, b.first_line))
            .collect();
        assert_eq!(shape, [(0, 1_000, 1), (1, 1_000, 2_001), (2, 1, 4_001)]);
        let body: serde_json::Value = serde_json::from_slice(&batches[2].body()).unwrap();
        assert_eq!(body, serde_json::json!({"tasks": [{"kind": "noop"}]}));
    }

    #[test]
    fn a_batch_stays_below_a_mebibyte() {
        let line = format!(
            "{{\"kind\":\"noop\",\"payload\":\"{}\"}}\n",
            "x".repeat(300_000)
        );

        let batches = all(&line.repeat(7));

        assert_eq!(
            batches.iter().map(|b| b.tasks).collect::<Vec<_>>(),
            [3, 3, 1]
        );
        assert!(batches.iter().all(|b| b.body().len() <= BATCH_BYTES_MAX));
    }
}
