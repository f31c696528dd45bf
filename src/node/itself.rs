//! Looks at the node itself: its beat, its depths, what only grows; tells the metrics, the log and `/readyz?verbose`. Says nothing of its
//! own (that is [`Judge`]), and changes nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Shared;
use super::parts::Parts;
use crate::metrics::{self, Grows};
use crate::vitals::{Depth, Judge, LOOK, Of, Turned, Vitals, Word};

/// 12 looks, a minute, for the longest lateness: longer than most scrapes are apart.
const LONGEST_LOOKS: usize = 12;

/// Where the kernel lists what this process has open.
const FILES: &str = "/proc/self/fd";

/// Where it says how much memory is resident, in pages.
const MEMORY: &str = "/proc/self/statm";

impl Parts {
    /// Looks at the node from now on.
    pub(super) fn look_at(&mut self, node: &Arc<Shared>, closing: &CancellationToken) {
        let vitals = node.store.vitals().clone();
        watch_process(&vitals);
        node.breakers.watched(&vitals);
        let (pulse, stop) = (vitals.pulse().clone(), closing.clone());
        self.add("the beat of the runtime", async move {
            let outside = pulse.outside();
            if let Err(problem) = &outside {
                warn!(%problem, "no thread looks at the runtime from outside");
            }
            pulse.beat(stop).await;
        });
        let looking = look(vitals, closing.clone());
        self.add("the look at the node itself", looking);
    }
}

/// The debug listener's socket.
///
/// # Errors
/// It cannot be bound.
pub(super) fn bound(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    super::address::listen(listen)
        .with_context(|| format!("debug-listen: {listen} cannot be bound"))
}

/// Has watched what the whole process has.
fn watch_process(vitals: &Vitals) {
    let runtime = Handle::current().metrics();
    let queue = runtime.clone();
    vitals.watch(Of::RuntimeTasks, None, move || runtime.num_alive_tasks());
    vitals.watch(Of::RuntimeQueue, None, move || queue.global_queue_depth());
    let files = getrlimit(Resource::Nofile).current;
    let files = files.and_then(|files| usize::try_from(files).ok());
    vitals.watch(Of::OpenFiles, files, open_files);
    vitals.watch(Of::ResidentKib, None, resident_kib);
}

/// How many files are open; none where the kernel does not tell.
fn open_files() -> usize {
    // The directory is open itself while it is read.
    std::fs::read_dir(FILES).map_or(0, |files| files.count().saturating_sub(1))
}

/// How much memory is resident; nothing where the kernel does not tell.
fn resident_kib() -> usize {
    let text = std::fs::read_to_string(MEMORY).unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    pages.map_or(0, |pages: usize| {
        pages.saturating_mul(rustix::param::page_size()) / 1024
    })
}

/// Looks until told to stop.
async fn look(vitals: Vitals, stop: CancellationToken) {
    let (mut eye, began) = (Eye::default(), Instant::now());
    let mut ticks = interval(LOOK);
    loop {
        tokio::select! {
            _ = ticks.tick() => eye.look(&vitals, began.elapsed()),
            () = stop.cancelled() => return,
        }
    }
}

/// What is kept from one look to the next.
#[derive(Default)]
struct Eye {
    judge: Judge,
    /// How late the runtime was at most before each of the last looks.
    longest: VecDeque<Duration>,
}

impl Eye {
    fn look(&mut self, vitals: &Vitals, now: Duration) {
        let depths = vitals.read();
        for word in self.judge.look(now, &depths) {
            say(word);
        }
        vitals.note(self.judge.notes(&depths));
        tell(&self.judge, &depths);
        self.longest.push_back(vitals.pulse().longest());
        if self.longest.len() > LONGEST_LOOKS {
            self.longest.pop_front();
        }
        let longest = self.longest.iter().max();
        metrics::runtime_longest(longest.copied().unwrap_or(Duration::ZERO));
    }
}

fn tell(judge: &Judge, depths: &[Depth]) {
    for Depth { of, depth, bound } in depths {
        let row = of.row();
        metrics::depth(row.word, *depth, *bound);
        if row.sort.leaks() {
            let grows = if judge.grows(*of) {
                Grows::Only
            } else {
                Grows::AndShrinks
            };
            metrics::growing(row.word, grows);
        }
    }
}

fn say(word: Word) {
    match word {
        Word::Near(depth) => {
            warn!(of = depth.of.row().word, "nearly full: {depth}");
        }
        Word::Grows(depth, Turned::Grows { from, to, over }) => {
            let (of, over_secs) = (depth.of.row().word, over.as_secs());
            warn!(of, from, to, over_secs, "it only grows: {depth}");
        }
        Word::Grows(depth, Turned::Ended) | Word::Rests(depth) => {
            info!(of = depth.of.row().word, "it grows no longer: {depth}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_this_process_has() {
        assert!(open_files() >= 3, "stdin, stdout, stderr");
        assert!(resident_kib() > 1024);
        let before = open_files();
        let more = [(); 64].map(|()| std::fs::File::open("/dev/null").unwrap());
        assert!(
            open_files() >= before + more.len() - 16,
            "others may close theirs"
        );
    }

    #[test]
    fn what_is_nearly_full_is_in_the_notes_until_it_is_not_and_in_the_metrics() {
        let (vitals, mut eye) = (Vitals::default(), Eye::default());
        let level = vitals.level(Of::Submits, Some(10));
        let recorder = crate::telemetry::recorder();
        let handle = recorder.handle();
        let mut notes = |depth, nth: u32| {
            level.set(depth);
            ::metrics::with_local_recorder(&recorder, || eye.look(&vitals, LOOK * nth));
            vitals.notes()
        };
        assert!(notes(0, 0).is_empty());
        let told = "submits is nearly full: 9 of 10 single submits that wait for their commit";
        assert_eq!(notes(9, 1), [told]);
        let text = handle.render();
        assert!(text.contains("tenure_depth{of=\"submits\"} 9\n"), "{text}");
        assert!(
            text.contains("tenure_depth_bound{of=\"submits\"} 10\n"),
            "{text}"
        );
        assert!(notes(1, 2).is_empty());
    }
}
