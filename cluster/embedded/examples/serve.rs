//! Serves etcd's API on a port until interrupted: `serve 127.0.0.1:2379 [directory]`.

use tenure_embedded::{Embedded, Options};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "says where it listens")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let at = words.next().ok_or("serve ADDRESS [DIRECTORY]")?.parse()?;
    let server = match words.next() {
        Some(dir) => Embedded::open(dir, &Options::default())?,
        None => Embedded::in_memory(&Options::default()),
    };
    println!("listening on {}", server.listen(at).await?);
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
