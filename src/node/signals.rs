//! SIGTERM and SIGINT: the first asks to stop, the second to end at once. A node that is the whole process runs under them.

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Node;
use crate::config::Config;

/// 130, what a process that a second signal ends at once exits with: 128 + SIGINT, as shells count.
pub const INTERRUPTED: i32 = 130;

/// Asks to stop at the first signal and returns at the second; never where signals cannot be received.
pub async fn until_second(stop: &CancellationToken) {
    let (term, int) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut term), Ok(mut int)) = (term, int) else {
        error!("signals cannot be received: only SIGKILL ends this process");
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if stop.is_cancelled() {
            warn!("second signal: ending at once");
            return;
        }
        info!("asked to stop: handing over; a second signal ends at once");
        stop.cancel();
    }
}

/// Runs a node until SIGTERM or SIGINT; a second signal ends the process at once with status 130.
///
/// # Errors
/// As [`Node::run`].
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut signals = JoinSet::new();
    let (told, at_once) = (stop.clone(), || std::process::exit(INTERRUPTED));
    signals.spawn(async move {
        until_second(&told).await;
        at_once()
    });
    let ended = Node::new(config)?.run(stop).await;
    signals.shutdown().await;
    ended
}
