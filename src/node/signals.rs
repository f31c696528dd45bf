//! SIGTERM and SIGINT: the first asks the node to stop, the second ends the process.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// 128 + SIGINT, as shells count.
const INTERRUPTED: i32 = 130;

/// Waits for signals.
pub(super) async fn watch(stop: CancellationToken) {
    let (term, int) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut term), Ok(mut int)) = (term, int) else {
        return error!("signals cannot be received: only SIGKILL ends this node");
    };
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if stop.is_cancelled() {
            warn!("second signal: ending at once");
            std::process::exit(INTERRUPTED);
        }
        info!("asked to stop: handing over; a second signal ends at once");
        stop.cancel();
    }
}
