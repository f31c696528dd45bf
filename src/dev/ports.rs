//! A port for each node, the next free one where one is taken. Never takes a port from anybody.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::TcpListener;

/// 100 ports are tried for each node, far more than programs that sit side by side.
const TRIES: u16 = 100;

/// Listens `count` times, the first at `from` or the next free port, the others at free ports after it; any free ones for port 0.
/// Says which port it did not get.
///
/// # Errors
/// The address is not this machine's, or no port is free or allowed.
pub(super) async fn bind(
    from: SocketAddr,
    count: u8,
    say: impl Fn(&str),
) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut next = from;
    for _ in 0..count {
        let listener = bind_one(next, &say).await?;
        if from.port() != 0 {
            let port = listener.local_addr()?.port();
            next.set_port(port.checked_add(1).unwrap_or(from.port()));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

async fn bind_one(from: SocketAddr, say: &impl Fn(&str)) -> anyhow::Result<TcpListener> {
    let last = from.port().saturating_add(TRIES - 1);
    for port in from.port()..=last {
        match TcpListener::bind((from.ip(), port)).await {
            Ok(listener) => {
                if port != from.port() {
                    say(&format!("port {} is taken, using {port}", from.port()));
                }
                return Ok(listener);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("listen: {}:{port} cannot be bound", from.ip()));
            }
        }
    }
    anyhow::bail!("listen: ports {} to {last} are all taken", from.port())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_passed_over_and_that_is_said() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let from = taken.local_addr().unwrap();
        let said = RefCell::new(Vec::new());

        let got = bind(from, 2, |line| said.borrow_mut().push(line.to_owned()))
            .await
            .unwrap();

        let ports: Vec<u16> = got.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert!(
            from.port() < ports[0] && ports[0] < ports[1],
            "{from} {ports:?}"
        );
        let first = format!("port {} is taken, using {}", from.port(), ports[0]);
        assert_eq!(said.borrow()[0], first);
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused() {
        let from = "192.0.2.1:8700".parse().unwrap();
        let refused = bind(from, 1, |_| {}).await.unwrap_err().to_string();
        assert!(refused.contains("listen: 192.0.2.1:8700"), "{refused}");
    }

    #[tokio::test]
    async fn port_0_is_any_free_one_for_each() {
        let got = bind("127.0.0.1:0".parse().unwrap(), 3, |_| {})
            .await
            .unwrap();
        assert_eq!(got.len(), 3);
    }
}
