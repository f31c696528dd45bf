//! Measures an embedded server: puts one after another in memory, and durable ones by 1 and 64 writers.
//!
//! `cargo run --release -p tenure-embedded --example figures`

use std::time::Instant;

use etcd_client::{Client, Txn, TxnOp};
use futures::future::join_all;
use tenure_embedded::{Embedded, Options};

async fn puts(client: &Client, writers: usize, each: usize) -> f64 {
    let started = Instant::now();
    let all = (0..writers).map(|writer| {
        let mut kv = client.kv_client();
        async move {
            for n in 0..each {
                let op = TxnOp::put(format!("{writer}/{n}"), vec![b'x'; 256], None);
                kv.txn(Txn::new().and_then([op])).await.expect("a put");
            }
        }
    });
    join_all(all).await;
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let count = (writers * each) as f64;
    count / started.elapsed().as_secs_f64()
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it is what this is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::default();
    let memory = Embedded::in_memory(&options);
    let client = Client::from_channel(memory.channel(), None).await?;
    println!(
        "in memory, 1 writer: {:.0} puts/s",
        puts(&client, 1, 50_000).await
    );
    let at = memory.listen(([127, 0, 0, 1], 0).into()).await?;
    let remote = Client::connect([at.to_string()], None).await?;
    println!(
        "in memory by TCP, 1 writer: {:.0} puts/s",
        puts(&remote, 1, 10_000).await
    );
    let dir = tempfile::tempdir()?;
    let durable = Embedded::open(dir.path(), &options)?;
    let client = Client::from_channel(durable.channel(), None).await?;
    println!(
        "durable, 1 writer: {:.0} puts/s",
        puts(&client, 1, 500).await
    );
    println!(
        "durable, 64 writers: {:.0} puts/s",
        puts(&client, 64, 200).await
    );
    durable.shutdown().await;
    let started = Instant::now();
    let again = Embedded::open(dir.path(), &options)?;
    println!(
        "opened {} revisions in {:?}",
        again.revision(),
        started.elapsed()
    );
    Ok(())
}
