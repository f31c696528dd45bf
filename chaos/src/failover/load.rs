//! The load: clients that submit short work to a node each, all the while, and try elsewhere where that does not answer. Each call
//! is on record as done, refused or unknown.

use crate::calls::{self, Caller};
use crate::chronicle::Chronicle;
use crate::cluster::Cluster;
use crate::http::{Client, Heard};
use crate::load::{Length, Paper};
use crate::workload::SplitMix;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tenure_chaos::check::shows::{LONG, POISON};
use tenure_chaos::history::{Op, Submit};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The semaphore, and how many of its tasks run at once.
pub(super) const SEMAPHORE: (&str, u64) = ("narrow", 4);
/// 4 locks: each is asked for often enough that the end of a hold is followed by the next.
const LOCKS: usize = 4;
/// 9 s: longer than a lease and the pause that follows it, so that a run that nobody ends is found alive; 6, two for each node.
const LONG_MS: u64 = 9_000;
const LONG_RUNS: usize = 6;
/// 3 s for a call: a node that stands still does not hold its client up for long.
const CALL: Duration = Duration::from_secs(3);
/// 20 ms before a call is made again.
const AGAIN: Duration = Duration::from_millis(20);
/// 11 min to have a submit acknowledged: the longest that etcd may be away, and a minute.
const PATIENCE: Duration = Duration::from_mins(11);
/// A command that takes so long, and acts on a resource where it has a lock.
fn command(paper: &Paper, run_ms: u64, lock: Option<&str>) -> Vec<String> {
    paper.argv(&Length {
        run_ms,
        fails: false,
        gate: lock,
    })
}

/// The same as a grandchild of its node: behind a shell that does not make way for it.
fn behind_a_shell(paper: &Paper, run_ms: u64, lock: Option<&str>) -> Vec<String> {
    let shell = ["sh", "-c", "\"$@\"; exit $?", "sh"].map(str::to_owned);
    let command = command(paper, run_ms, lock);
    shell.into_iter().chain(command).collect()
}

/// Work of one queue and kind.
pub(super) struct Batch {
    queue: &'static str,
    kind: &'static str,
    tasks: Vec<Value>,
}

impl Batch {
    fn of(queue: &'static str, kind: &'static str, payload: &Value) -> Self {
        let task = json!({ "queue": queue, "kind": kind, "payload": payload });
        Self {
            queue,
            kind,
            tasks: vec![task],
        }
    }

    fn command(queue: &'static str, argv: &[String]) -> Self {
        Self::of(queue, "command", &json!({ "argv": argv }))
    }

    fn needs(mut self, name: &str, what: &Value) -> Self {
        for task in &mut self.tasks {
            task[name] = what.clone();
        }
        self
    }
}

/// Some short work.
fn some(dice: &mut SplitMix, paper: &Paper) -> Batch {
    let run_ms = dice.within(100..=350);
    match dice.below(20) {
        0..8 => {
            let mut batch = Batch::of("steps", "noop", &Value::Null);
            batch.tasks = vec![batch.tasks[0].clone(); 1 + dice.below(4)];
            batch
        }
        8..12 => Batch::of("steps", "sleep", &json!({ "ms": run_ms })),
        12..15 => Batch::command("steps", &command(paper, run_ms, None)),
        15..17 => {
            let permits = json!([{ "semaphore": SEMAPHORE.0, "weight": 1 }]);
            Batch::command("permits", &command(paper, run_ms, None)).needs("permits", &permits)
        }
        found => {
            let lock = format!("door-{}", dice.below(LOCKS));
            let argv = if found == 17 {
                behind_a_shell(paper, run_ms, Some(&lock))
            } else {
                command(paper, run_ms, Some(&lock))
            };
            Batch::command("locks", &argv).needs("locks", &json!([lock]))
        }
    }
}

/// Runs that end while etcd is away for so long, and some that end after it.
pub(super) fn spans(paper: &Paper, outage: Duration) -> Vec<Batch> {
    let outage_ms = u64::try_from(outage.as_millis()).unwrap_or(u64::MAX);
    let lengths = [1_500, 2_500, outage_ms / 2, outage_ms + 3_000];
    let one = |run_ms: u64| Batch::command(LONG, &command(paper, run_ms, None));
    lengths
        .into_iter()
        .flat_map(|ms| [one(ms), one(ms)])
        .collect()
}

/// Runs that outlive every lease, if nobody ends them: two for each node, every other under a lock or behind a shell.
pub(super) fn long(dice: &mut SplitMix, paper: &Paper) -> Vec<Batch> {
    let one = |number: usize, dice: &mut SplitMix| {
        let lock = format!("gate-{}", dice.below(LOCKS));
        let lock = number.is_multiple_of(2).then_some(lock);
        let argv = if number.is_multiple_of(3) {
            behind_a_shell(paper, LONG_MS, lock.as_deref())
        } else {
            command(paper, LONG_MS, lock.as_deref())
        };
        let batch = Batch::command(LONG, &argv);
        match lock {
            Some(lock) => batch.needs("locks", &json!([lock])),
            None => batch,
        }
    };
    (0..LONG_RUNS).map(|number| one(number, dice)).collect()
}

/// A task that kills whoever runs it.
pub(super) fn poison(paper: &Paper) -> Batch {
    let mut argv = command(paper, 100, None);
    argv.insert(2, "--poison".to_owned());
    Batch::command(POISON, &argv)
}

/// Everybody who submits.
pub(super) struct Load {
    clients: JoinSet<anyhow::Result<()>>,
    stop: watch::Sender<bool>,
}

impl Load {
    /// One client for each node, and one more.
    pub(super) fn start(
        cluster: &Cluster,
        chronicle: &Chronicle,
        paper: &Paper,
        dice: &mut SplitMix,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let names: Vec<String> = cluster.node_names().map(str::to_owned).collect();
        let mut clients = JoinSet::new();
        for number in 0..=names.len() {
            let submitter =
                Submitter::new(cluster, chronicle, number, &format!("client-{number}"))?;
            let (paper, dice, stopped) = (paper.clone(), dice.split(), stopped.clone());
            clients.spawn(submitter.goes_on(dice, paper, stopped));
        }
        Ok(Self { clients, stop })
    }

    /// Ends it; whoever has a call open gets its answer first.
    pub(super) async fn ends(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// One who submits.
pub(super) struct Submitter {
    caller: Caller,
    client: Arc<Client>,
    batches: u64,
}

impl Submitter {
    /// Its node is the `number`th; it goes to the others where that does not answer.
    pub(super) fn new(
        cluster: &Cluster,
        chronicle: &Chronicle,
        number: usize,
        name: &str,
    ) -> anyhow::Result<Self> {
        let client = Arc::new(cluster.client_from(number, CALL)?);
        Ok(Self {
            caller: Caller::new(name.to_owned(), &client, chronicle),
            client,
            batches: 0,
        })
    }

    async fn goes_on(
        mut self,
        mut dice: SplitMix,
        paper: Paper,
        stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        while !*stopped.borrow() {
            let batch = some(&mut dice, &paper);
            self.submit(&batch).await?;
            sleep(Duration::from_millis(dice.within(60..=180))).await;
        }
        Ok(())
    }

    /// Submits until it is acknowledged; the ids.
    pub(super) async fn submit(&mut self, batch: &Batch) -> anyhow::Result<Vec<String>> {
        self.batches += 1;
        self.client.comes_home();
        let key = format!("{}-{}", self.caller.name(), self.batches);
        let body = json!({ "idempotency_key": key, "tasks": batch.tasks });
        let until = Instant::now() + PATIENCE;
        loop {
            let call = self.caller.invoke(Op::Submit(Submit {
                key: Some(key.clone()),
                count: u64::try_from(batch.tasks.len())?,
                queue: batch.queue.to_owned(),
                kind: batch.kind.to_owned(),
                ..Submit::default()
            }));
            let heard = self
                .caller
                .ask(Method::POST, "/v1/tasks/batch", Some(&body));
            let why = match heard.await {
                Heard::Done(answer) => {
                    let answer = calls::accepted(&answer);
                    self.caller.done(call, answer.clone());
                    return Ok(answer.tasks);
                }
                Heard::Nothing(why) => {
                    self.caller.unknown(call, why.clone());
                    why
                }
                Heard::Refused(refused) => {
                    self.caller.failed(call, refused.why.clone());
                    refused.why
                }
            };
            anyhow::ensure!(Instant::now() < until, "a submit to {}: {why}", batch.queue);
            sleep(AGAIN).await;
        }
    }
}
