//! Holds the embedded server to a real etcd: the same random sequences on both, every answer and every watch's stream compared.
//!
//! `TENURE_DIFF_OPS` and `TENURE_DIFF_SEED` ask for longer runs and others, `TENURE_DIFF_REPLAY` for one sequence as a difference
//! prints it.

mod answer;
mod broken;
mod client;
mod compare;
mod generate;
mod ops;
mod random;
mod run;
mod seen;
mod settled;
mod wire;

use client::Wire;
use compare::{Found, Pair};
use etcd_client::Channel;
use ops::Op;
use seen::Seen;
use tenure_embedded::{Embedded, Options};
use tenure_testkit::Etcd;

/// 20,000 operations: about a minute, most of it etcd's 100 ms until watches have caught up.
const OPS: usize = 20_000;
/// 5,000 operations between two real ones: that the harness itself makes no difference.
const OPS_BETWEEN_REAL_ONES: usize = 5_000;
const SEED: u64 = 1;

/// A connection to a real etcd.
pub(crate) fn connect(etcd: &Etcd) -> Wire {
    let endpoint = tonic::transport::Endpoint::from_shared(etcd.endpoints()[0].clone())
        .expect("the kit's endpoints are well formed");
    Wire(Channel::Tonic(endpoint.connect_lazy()))
}

fn from_env<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

/// Runs sequences until so many operations have been compared; what was seen, or the first difference.
pub(crate) async fn search(pair: &Pair, seed: u64, ops: usize) -> Result<Seen, Box<Found>> {
    let mut met = Seen::default();
    for number in 0.. {
        if met.ops >= ops {
            break;
        }
        let ops = generate::sequence(seed, number);
        let (trace, difference) = pair.run(&ops).await;
        if let Some(difference) = difference {
            return Err(Box::new(Found { ops, difference }));
        }
        met.take(&ops, &trace);
    }
    Ok(met)
}

/// Runs what the environment asks for.
async fn hold(pair: &Pair, ops: usize) {
    if let Ok(line) = std::env::var("TENURE_DIFF_REPLAY") {
        replay(pair, "replay", ops::parse(&line)).await;
        return;
    }
    let seed = from_env("TENURE_DIFF_SEED", SEED);
    let ops = from_env("TENURE_DIFF_OPS", ops);
    let started = std::time::Instant::now();
    match search(pair, seed, ops).await {
        Ok(met) => {
            eprintln!("seed {seed}, {:?}: {met}", started.elapsed());
            met.expect_all();
        }
        Err(found) => panic!("seed {seed}: {}", pair.shrink(*found).await),
    }
}

async fn replay(pair: &Pair, name: &str, ops: Vec<Op>) {
    if let Some(difference) = pair.differ(&ops).await {
        let found = pair.shrink(Found { ops, difference }).await;
        panic!("{name}: {found}");
    }
}

#[tokio::test]
async fn the_embedded_server_does_not_differ_from_etcd() {
    let etcd = Etcd::single();
    let embedded = Embedded::in_memory(&Options::default());
    let pair = Pair {
        etcd: connect(&etcd),
        other: Wire(embedded.channel()),
        fault: None,
    };
    for (name, line) in settled::SETTLED {
        replay(&pair, name, ops::parse(line)).await;
    }
    hold(&pair, OPS).await;
    embedded.shutdown().await;
}

#[tokio::test]
async fn two_real_ones_do_not_differ() {
    let (one, two) = (Etcd::single(), Etcd::single());
    let pair = Pair {
        etcd: connect(&one),
        other: connect(&two),
        fault: None,
    };
    hold(&pair, OPS_BETWEEN_REAL_ONES).await;
}
