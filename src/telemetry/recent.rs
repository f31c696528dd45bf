//! The last lines of this process's log, so many and so long, for who looks into a node; never more than that is kept.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// 512 lines are kept: minutes of a busy node, days of an idle one.
const LINES_MAX: usize = 512;

/// 1 KiB of each line, so that all of them take half a MiB at most.
const LINE_BYTES_MAX: usize = 1 << 10;

/// The lines of this process.
static LINES: Lines = Lines(Mutex::new(VecDeque::new()));

struct Lines(Mutex<VecDeque<Box<str>>>);

/// The last lines of the log, oldest first; none where the process has no log, or not ours.
pub fn recent() -> Vec<String> {
    let lines = LINES.lines();
    lines.iter().map(ToString::to_string).collect()
}

impl Lines {
    /// Held for one line, or for a copy of all.
    fn lines(&self) -> MutexGuard<'_, VecDeque<Box<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, line: &[u8]) {
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
        let line = plain(&String::from_utf8_lossy(line));
        let mut lines = self.lines();
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.trim_end().into());
    }
}

/// A text without the escapes that colour it on a terminal.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

/// Writes lines to stderr, and keeps them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept;

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Kept {
    /// One line: the log hands each over whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.keep(line);
        io::stderr().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_each_cut_and_without_colours() {
        let lines = Lines(Mutex::default());
        for nth in 0..LINES_MAX + 2 {
            lines
                .keep(format!("\u{1b}[2m{nth}\u{1b}[0m \u{1b}[32mINFO\u{1b}[0m said\n").as_bytes());
        }
        lines.keep("x".repeat(LINE_BYTES_MAX * 2).as_bytes());
        let kept = lines.lines();
        assert_eq!(kept.len(), LINES_MAX);
        assert_eq!(&*kept[0], "3 INFO said");
        assert_eq!(kept[LINES_MAX - 1].len(), LINE_BYTES_MAX);
    }
}
