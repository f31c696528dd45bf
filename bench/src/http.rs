//! HTTP/1.1 as cheap as it gets: requests are bytes prepared beforehand, answers are read up to their `Content-Length`, and
//! connections stay open. It knows no redirects, no chunks, no TLS; the servers measured here are our own, on loopback.

use anyhow::Context as _;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// 60 s: longer than the server lets anybody wait, so that reaching it is a fault.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// An answer, in the connection's buffer until the next request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// A connection that is kept open.
pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| address.to_string())?;
        // Without it the kernel waits to fill a segment, and every latency would be the kernel's.
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: Vec::with_capacity(16 << 10),
        })
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// When the connection breaks, or no answer comes in a minute.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        let exchanged = tokio::time::timeout(ANSWER_WITHIN, self.send_and_read(request)).await;
        let head = exchanged.context("no answer in time")??;
        Ok(Answer {
            status: head.status,
            body: &self.input[head.len..head.len + head.body],
        })
    }

    async fn send_and_read(&mut self, request: &[u8]) -> anyhow::Result<Head> {
        self.input.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            self.read_more().await?;
            if let Some(head) = Head::read(&self.input)? {
                break head;
            }
        };
        while self.input.len() < head.len + head.body {
            self.read_more().await?;
        }
        Ok(head)
    }

    async fn read_more(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.input).await?;
        anyhow::ensure!(read > 0, "the server closed the connection");
        Ok(())
    }
}

/// What matters of an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of the head.
    len: usize,
    /// Bytes of the body.
    body: usize,
}

impl Head {
    /// None where there is not all of it yet.
    fn read(input: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&input[..end]).context("a head that is no text")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.context("no status")?.parse()?;
        let length = lines.filter_map(|line| line.split_once(':'));
        let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let body = match length.next() {
            Some((_, length)) => length.trim().parse()?,
            None => anyhow::bail!("an answer without Content-Length (status {status})"),
        };
        Ok(Some(Self {
            status,
            len: end + 4,
            body,
        }))
    }
}

/// The bytes of a request; the body, if any, is JSON.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = if method == "GET" {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n");
    let head = format!("{head}{length}{kind}\r\n{body}");
    head.into_bytes()
}

impl Answer<'_> {
    /// # Errors
    /// When the status is another; the error says what the server said.
    pub(crate) fn expect(&self, status: u16) -> anyhow::Result<()> {
        let said = || String::from_utf8_lossy(&self.body[..self.body.len().min(400)]).into_owned();
        anyhow::ensure!(
            self.status == status,
            "answered {} instead of {status}: {}",
            self.status,
            said()
        );
        Ok(())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(self.body).context("an answer that is no JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole_and_refused_without_a_length() {
        let whole = b"HTTP/1.1 201 Created\r\ncontent-LENGTH:  2\r\nx: y\r\n\r\n{}";

        let head = Head::read(whole).unwrap().unwrap();

        assert_eq!((head.status, head.body), (201, 2));
        assert_eq!(&whole[head.len..], b"{}");
        assert_eq!(Head::read(&whole[..30]).unwrap(), None);
        assert!(Head::read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn what_is_not_a_read_says_how_long_its_body_is_even_where_it_has_none() {
        for (method, body, length) in [
            ("POST", "", Some("Content-Length: 0\r\n")),
            ("PUT", "{}", Some("Content-Length: 2\r\n")),
            ("GET", "", None),
        ] {
            let text = String::from_utf8(request(method, "/v1/x", "t", body)).unwrap();

            match length {
                Some(length) => assert!(text.contains(length), "{text}"),
                None => assert!(!text.contains("Content-Length"), "{text}"),
            }
            assert_eq!(text.contains("Content-Type"), !body.is_empty(), "{text}");
        }
    }
}
