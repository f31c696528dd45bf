//! What a person sees while it runs: a bar on a terminal, plain lines elsewhere. It knows nothing of what is counted.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};

/// A bar on a terminal; a line for every tenth elsewhere.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    count: usize,
    tenths: Cell<usize>,
}

impl Progress {
    pub(crate) fn new(count: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files  {elapsed}")
                .expect("a fixed template");
            let length = u64::try_from(count).expect("usize is at most 64 bits");
            ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr())
                .with_style(style)
        });
        Self {
            bar,
            count,
            tenths: Cell::new(0),
        }
    }

    /// So many are done.
    pub(crate) fn at(&self, done: usize) -> anyhow::Result<()> {
        if let Some(bar) = &self.bar {
            bar.set_position(u64::try_from(done)?);
            return Ok(());
        }
        let tenths = 10 * done / self.count;
        if tenths > self.tenths.replace(tenths) {
            say(&format!("{done} of {} files", self.count))?;
        }
        Ok(())
    }

    /// A line between the others.
    pub(crate) fn tell(&self, text: &str) -> anyhow::Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

/// One line, or several, to stdout.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
