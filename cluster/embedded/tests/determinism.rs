//! The same requests to two servers with one seed, in paused time: every answer and every watch stream is the
//! same to the letter. Ids, revisions, time and order come from nowhere else.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test panics with what it got"
)]

use std::fmt::{Debug, Write as _};
use std::time::Duration;

use etcd_client::{Client, GetOptions, PutOptions, Txn, TxnOp, WatchOptions, WatchStream};
use tenure_embedded::{Embedded, Options};

/// 400 requests, of each kind some 50.
const REQUESTS: usize = 400;
/// Leases that may be alive at once; an older one is left to its end.
const LEASES_MAX: usize = 4;

/// What a server was asked by turns, and everything it said.
struct Run {
    client: Client,
    stream: WatchStream,
    leases: Vec<i64>,
    said: String,
}

impl Run {
    /// A server with one seed, asked what another one draws.
    async fn of(seed: u32, mut draws: u64) -> String {
        let server = Embedded::in_memory(&Options {
            seed,
            ..Options::default()
        });
        let client = Client::from_channel(server.channel(), None).await.unwrap();
        let all = WatchOptions::new().with_all_keys().with_prev_key();
        let stream = client.watch_client().watch("", Some(all)).await.unwrap();
        let mut run = Self {
            client,
            stream,
            leases: Vec::new(),
            said: String::new(),
        };
        for _ in 0..REQUESTS {
            // Knuth's generator of 64 bits; its upper half is good enough to choose by.
            draws = draws
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            run.ask(draws >> 33).await;
            run.listen().await;
        }
        run.said
    }

    async fn ask(&mut self, draw: u64) {
        let key = format!("k/{}", draw / 8 % 5);
        let mut kv = self.client.kv_client();
        match draw % 8 {
            0 => {
                let answer = kv.get("", Some(GetOptions::new().with_all_keys())).await;
                self.say(answer.unwrap());
            }
            1 => self.commit([TxnOp::delete(key, None)]).await,
            2 => {
                let ttl = 2 + i64::try_from(draw / 8 % 5).unwrap();
                let granted = self.client.lease_client().grant(ttl, None).await.unwrap();
                self.leases.insert(0, granted.id());
                self.leases.truncate(LEASES_MAX);
                self.say(granted);
            }
            3 => {
                let leases = self.client.lease_client().leases().await.unwrap();
                self.say(leases);
            }
            4 => tokio::time::sleep(Duration::from_millis(draw / 8 % 3_000)).await,
            5 => {
                let lease = self.leases.last().copied().unwrap_or_default();
                let leased = PutOptions::new().with_lease(lease);
                let txn = Txn::new().and_then([TxnOp::put(key, "leased", Some(leased))]);
                // Refused where the lease is over.
                let answer = kv.txn(txn).await;
                self.say(answer);
            }
            _ => {
                let value = draw.to_string();
                self.commit([TxnOp::put(key, value, None), TxnOp::put("last", "x", None)])
                    .await;
            }
        }
    }

    async fn commit(&mut self, ops: impl Into<Vec<TxnOp>>) {
        let answer = self.client.kv_client().txn(Txn::new().and_then(ops)).await;
        self.say(answer.unwrap());
    }

    /// Writes down what the watch is told within a millisecond.
    async fn listen(&mut self) {
        let moment = Duration::from_millis(1);
        while let Ok(told) = tokio::time::timeout(moment, self.stream.message()).await {
            self.say(told.unwrap());
        }
    }

    fn say(&mut self, what: impl Debug) {
        writeln!(self.said, "{what:?}").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_twice_says_the_same_to_the_letter() {
    let first = Run::of(7, 1).await;
    let again = Run::of(7, 1).await;
    let other = Run::of(8, 1).await;

    for kind in ["Delete", "prev_kv: Some", "lease not found", "more: false"] {
        assert!(first.contains(kind), "no {kind} among what was said");
    }
    assert!(first == again, "the same seed said something else");
    assert!(first != other, "the seed has no effect");
}
