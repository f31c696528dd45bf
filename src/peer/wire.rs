//! What goes over a link: lines of JSON, bounded; never trusts their length.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf,
};

/// 2 KiB to a line: a hello with [`super::secret::SECRETS_MAX`] proofs has half of that.
const LINE_BYTES_MAX: usize = 2 << 10;

/// 512 B read at once: a link idles with words of 8.
const BUFFER_BYTES: usize = 512;

/// What a link runs over: TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Both ways of a link.
pub(super) struct Talk {
    from: BufReader<ReadHalf<Box<dyn Stream>>>,
    to: WriteHalf<Box<dyn Stream>>,
    /// The line that has begun.
    line: Vec<u8>,
}

/// What is said on a link after its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    /// I am here.
    Beat,
    /// I leave in order: do not look for me.
    Goodbye,
}

impl Talk {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        let (from, to) = tokio::io::split(stream);
        Self {
            from: BufReader::with_capacity(BUFFER_BYTES, from),
            to,
            line: Vec::new(),
        }
    }

    /// The next line; none where the other side has closed. May be dropped and called again without losing anything.
    ///
    /// # Errors
    /// The connection broke, or the line is too long.
    pub(super) async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let read = self.from.fill_buf().await?;
            if read.is_empty() {
                return Ok(None);
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            self.line
                .extend_from_slice(&read[..end.unwrap_or(read.len())]);
            let used = end.map_or(read.len(), |end| end + 1);
            self.from.consume(used);
            if self.line.len() > LINE_BYTES_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a line is too long",
                ));
            }
            if end.is_some() {
                return Ok(Some(std::mem::take(&mut self.line)));
            }
        }
    }

    /// The next line, read.
    ///
    /// # Errors
    /// As [`line`](Self::line); the other side has closed, or said something else.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let line = self.line().await?;
        let line = line.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// The next word; one that this version does not know is none.
    ///
    /// # Errors
    /// The connection broke or was closed.
    pub(super) async fn word(&mut self) -> io::Result<Option<Word>> {
        let line = self.line().await?;
        let line = line.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_slice(&line).ok())
    }

    /// Says something, as a line of its own.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn say<T: Serialize>(&mut self, what: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        self.to.write_all(&line).await?;
        self.to.flush().await
    }

    /// Closes this side.
    pub(super) async fn close(&mut self) {
        // Where it is broken, it is closed.
        let _ = self.to.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_as_they_were_said_and_one_too_long_breaks_the_link() {
        let (mut other, ours) = tokio::io::duplex(4096);
        let mut talk = Talk::new(Box::new(ours));
        other
            .write_all(b"\"beat\"\n\"what\"\n\"good")
            .await
            .unwrap();
        assert_eq!(talk.word().await.unwrap(), Some(Word::Beat));
        assert_eq!(talk.word().await.unwrap(), None);
        // Dropped in the middle of a word, and asked again.
        let early = tokio::time::timeout(std::time::Duration::ZERO, talk.word()).await;
        assert!(early.is_err());
        other.write_all(b"bye\"\n").await.unwrap();
        assert_eq!(talk.word().await.unwrap(), Some(Word::Goodbye));

        other.write_all(&[b'x'; LINE_BYTES_MAX + 1]).await.unwrap();
        let long = talk.word().await.unwrap_err();
        assert_eq!(long.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_closed_link_is_an_end_and_no_word() {
        let (other, ours) = tokio::io::duplex(64);
        let mut talk = Talk::new(Box::new(ours));
        drop(other);
        let end = talk.word().await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
}
