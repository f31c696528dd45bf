//! Where a node listens, and where it tells others that its API is.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Listens there, without waiting for anything.
///
/// # Errors
/// The address is taken, or none of this machine's.
pub(super) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The address others are told: as configured; where its port is 0, with the port that the listener got.
pub(super) fn advertised(advertise: &str, bound: SocketAddr) -> String {
    match reqwest::Url::parse(advertise) {
        Ok(mut url) if url.port() == Some(0) => {
            // It fails only where a URL has no host, and then it has no port.
            let _ = url.set_port(Some(bound.port()));
            url.as_str().trim_end_matches('/').to_owned()
        }
        Ok(_) | Err(_) => advertise.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_port_of_0_is_replaced_by_the_one_that_was_bound() {
        let table = [
            ("http://127.0.0.1:0", "http://127.0.0.1:8701"),
            ("http://[::1]:0", "http://[::1]:8701"),
            ("http://[fd00:0:0:1::2]:0", "http://[fd00:0:0:1::2]:8701"),
            ("http://[fd00::1:0:2]:9000", "http://[fd00::1:0:2]:9000"),
            ("http://[fe80:0:1:2:3:4:5:6]", "http://[fe80:0:1:2:3:4:5:6]"),
            ("http://node-1:0", "http://node-1:8701"),
            ("http://node-1:0443", "http://node-1:0443"),
            (
                "https://node-1.example/tenure",
                "https://node-1.example/tenure",
            ),
            ("https://node-1:0/tenure", "https://node-1:8701/tenure"),
        ];
        let bound = "[::1]:8701".parse().unwrap();
        for (given, told) in table {
            assert_eq!(advertised(given, bound), told, "{given}");
        }
    }
}
