//! One connection through a proxy: what comes in at one end waits its time and goes out at the other.

use super::Way;
use super::link::{Broken, Link};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// 16 KiB at a time.
const CHUNK_BYTES: usize = 16 << 10;
/// 64 of them are under way in one direction, 1 MiB; beyond that the sender has to wait.
const CHUNKS_MAX: usize = 64;
/// 1,460 bytes, what a packet of Ethernet carries: so finely is a narrow way shared.
const PACKET_BYTES: usize = 1460;
/// 5 s for the server's machine to say something.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// 64 KiB are taken from a client whom nobody hears, as a kernel would; beyond that it has to wait.
const UNHEARD_BYTES_MAX: usize = 64 << 10;

/// What goes one way.
enum Piece {
    Bytes(Vec<u8>),
    /// The sender has no more to say.
    End,
    /// The sender is gone.
    Gone,
}

/// The sockets. Unless both ends said good-bye, they are told that the connection is gone.
struct Ends {
    client: TcpStream,
    server: Option<TcpStream>,
    parted: bool,
}

impl Drop for Ends {
    fn drop(&mut self) {
        if !self.parted {
            let ends = std::iter::once(&self.client).chain(&self.server);
            for end in ends {
                let _best = end.set_zero_linger();
            }
        }
    }
}

/// Carries until both ends have said good-bye, or one is gone, or it is reset.
pub(super) async fn carry(client: TcpStream, to: SocketAddr, link: Arc<Link>) {
    let number = link.number();
    let mut ends = Ends {
        client,
        server: None,
        parted: false,
    };
    let parted = tokio::select! {
        () = link.resets(number) => false,
        carried = ends.carry(to, &link, number) => carried.is_ok(),
    };
    ends.parted = parted;
}

impl Ends {
    async fn carry(&mut self, to: SocketAddr, link: &Link, number: u64) -> Result<(), Broken> {
        // In this order: what is heard is not to be lost.
        tokio::select! {
            biased;
            silent = link.was_silent() => if silent { return Err(Broken) },
            () = unheard(&mut self.client) => return Err(Broken),
        }
        let Ok(Ok(server)) = timeout(CONNECTED_WITHIN, TcpStream::connect(to)).await else {
            // That it was refused is an answer to a request: it comes through when both do.
            let _both = tokio::join!(
                link.passes(Way::Requests, number),
                link.passes(Way::Answers, number)
            );
            return Err(Broken);
        };
        let server = self.server.insert(server);
        let _best = (self.client.set_nodelay(true), server.set_nodelay(true));
        let (asks, hears) = self.client.split();
        let (answers, takes) = server.split();
        tokio::try_join!(
            pump(asks, takes, link, (Way::Requests, number)),
            pump(answers, hears, link, (Way::Answers, number)),
        )?;
        Ok(())
    }
}

/// Comes back when a client is gone whom nobody heard.
async fn unheard(client: &mut TcpStream) {
    let mut lost = [0; 4096];
    let mut bytes = 0;
    while bytes < UNHEARD_BYTES_MAX {
        match client.read(&mut lost).await {
            Ok(0) | Err(_) => return,
            Ok(more) => bytes += more,
        }
    }
    std::future::pending::<()>().await;
}

async fn pump(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    link: &Link,
    (way, number): (Way, u64),
) -> Result<(), Broken> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::try_join!(
        take_in(from, sender, link, way),
        give_out(to, receiver, link, (way, number))
    )?;
    Ok(())
}

/// Ends with its source, or when nobody takes anything out any more.
async fn take_in(
    mut from: ReadHalf<'_>,
    sender: mpsc::Sender<(Instant, Piece)>,
    link: &Link,
    way: Way,
) -> Result<(), Broken> {
    let mut due = Instant::now();
    loop {
        let mut bytes = vec![0; CHUNK_BYTES];
        let piece = match from.read(&mut bytes).await {
            Ok(0) => Piece::End,
            Ok(count) => {
                bytes.truncate(count);
                Piece::Bytes(bytes)
            }
            Err(_) => Piece::Gone,
        };
        // Nothing overtakes what came before it.
        due = due.max(link.due(way));
        let last = !matches!(piece, Piece::Bytes(_));
        sender.send((due, piece)).await.map_err(|_| Broken)?;
        if last {
            return Ok(());
        }
    }
}

async fn give_out(
    mut to: WriteHalf<'_>,
    mut receiver: mpsc::Receiver<(Instant, Piece)>,
    link: &Link,
    (way, number): (Way, u64),
) -> Result<(), Broken> {
    while let Some((due, piece)) = receiver.recv().await {
        sleep_until(due).await;
        link.passes(way, number).await?;
        match piece {
            Piece::Gone => return Err(Broken),
            Piece::End => return to.shutdown().await.map_err(|_| Broken),
            Piece::Bytes(bytes) => {
                let at_once = if link.is_narrow(way) {
                    PACKET_BYTES
                } else {
                    CHUNK_BYTES
                };
                for packet in bytes.chunks(at_once) {
                    sleep_until(link.room(way, packet.len())).await;
                    link.passes(way, number).await?;
                    to.write_all(packet).await.map_err(|_| Broken)?;
                }
            }
        }
    }
    Err(Broken)
}
