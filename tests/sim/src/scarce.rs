//! What is scarce in some runs: semaphores, locks, concurrency keys and queues with rules; an operator who edits them, and somebody
//! outside who wants them too. Both ask the store over links that nothing breaks. Judges nothing.

use std::time::Duration;

use serde_json::{Value, json};
use tenure::store::{Basis, Keys, Limit, Outside, QueueRules, Rate, encode, txns};
use tenure::task::{Gate, Name, Paused};
use tenure_cluster::{Connection, Range, ReadError, Session, SessionOptions, Txn};
use tokio::time::{Instant, sleep};

use crate::dice::Dice;
use crate::world::EPOCH_MS;

/// 400 seeds in a thousand have it: the others keep the histories that they have without.
const IN_THOUSAND: u16 = 400;
/// Makes the dice of what is scarce others than those of the run.
const SALT: u64 = 0x005c_a4ce_0000_0000;
/// Two of each, so that tasks meet, and some ask for both.
const SEMAPHORES: [&str; 2] = ["s1", "s2"];
const LOCKS: [&str; 2] = ["l1", "l2"];
const TENANTS: [&str; 2] = ["k1", "k2"];
const QUEUES: [&str; 2] = ["a", "b"];
/// Weights are 1 and 2, and the last limits 3: then everything fits.
const WEIGHT_MAX: u64 = 2;
const LAST_LIMIT: u32 = 3;
/// 5 s: how long somebody outside waits before it gives up.
const WANTED_FOR: Duration = Duration::from_secs(5);
/// 50 ms between looks at whether it was granted.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// 100 ms before what the store refused for lack of space is tried again, up to 300 times.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const AGAIN_MAX: usize = 300;

/// What tasks ask for.
pub(crate) struct Scarce {
    dice: Dice,
}

impl Scarce {
    /// Of a seed; most have none.
    pub(crate) fn of(seed: u64) -> Option<Self> {
        let dice = Dice::new(seed ^ SALT);
        dice.in_thousand(IN_THOUSAND).then_some(Self { dice })
    }

    /// With dice of its own.
    pub(crate) fn split(&self) -> Self {
        let dice = self.dice.split();
        Self { dice }
    }

    /// Makes a task ask for something, mostly.
    pub(crate) fn ask(&self, task: &mut Value) {
        let permit = |semaphore: &str| {
            let weight = self.dice.within(1..=WEIGHT_MAX);
            json!({"semaphore": semaphore, "weight": weight})
        };
        match self.dice.below(100) {
            0..=34 => task["permits"] = json!([permit(some(&self.dice, SEMAPHORES))]),
            35..=44 => task["permits"] = json!(SEMAPHORES.map(permit)),
            45..=59 => task["locks"] = json!([some(&self.dice, LOCKS)]),
            60..=64 => task["locks"] = json!(LOCKS),
            65..=69 => {
                task["locks"] = json!([some(&self.dice, LOCKS)]);
                task["permits"] = json!([permit(some(&self.dice, SEMAPHORES))]);
            }
            70..=84 => task["concurrency_key"] = json!(some(&self.dice, TENANTS)),
            _ => {}
        }
    }
}

/// Who declares limits and rules, and edits them while work goes on.
pub(crate) struct Operator {
    dice: Dice,
    connection: Connection,
    keys: Keys,
}

impl Operator {
    pub(crate) fn of(scarce: &Scarce, connection: Connection) -> Self {
        let keys = Keys::new(&name("default"));
        Self {
            dice: scarce.dice.split(),
            connection,
            keys,
        }
    }

    /// Declares everything, and edits this and that until the time comes.
    pub(crate) async fn work(self, until: Instant) {
        for semaphore in SEMAPHORES {
            self.limit(semaphore).await;
        }
        for queue in QUEUES {
            self.rule(queue).await;
        }
        while Instant::now() < until {
            sleep(Duration::from_millis(self.dice.within(20..=1_500))).await;
            if self.dice.in_thousand(600) {
                self.limit(some(&self.dice, SEMAPHORES)).await;
            } else {
                self.rule(some(&self.dice, QUEUES)).await;
            }
        }
    }

    /// Limits and rules under which everything that waits comes to its end.
    pub(crate) async fn relent(&self) {
        for semaphore in SEMAPHORES {
            let limit = encode(&Limit { limit: LAST_LIMIT });
            let key = self.keys.semaphore(&name(semaphore));
            self.edit(&key, Some(limit)).await;
        }
        for queue in QUEUES {
            let rules = QueueRules {
                paused: None,
                ..self.rules()
            };
            let key = self.keys.queue(&name(queue));
            self.edit(&key, Some(encode(&rules))).await;
        }
    }

    async fn limit(&self, semaphore: &str) {
        let key = self.keys.semaphore(&name(semaphore));
        let limit = u32::try_from(self.dice.within(0..=4)).expect("a small number");
        let value = self.dice.in_thousand(950).then(|| encode(&Limit { limit }));
        self.edit(&key, value).await;
    }

    async fn rule(&self, queue: &str) {
        let key = self.keys.queue(&name(queue));
        let value = self.dice.in_thousand(900).then(|| encode(&self.rules()));
        self.edit(&key, value).await;
    }

    fn rules(&self) -> QueueRules {
        let maybe = |chance, range| {
            let number = || u32::try_from(self.dice.within(range)).expect("a small number");
            self.dice.in_thousand(chance).then(number)
        };
        QueueRules {
            weight: maybe(300, 1..=5),
            concurrency: maybe(300, 2..=8),
            per_key: maybe(600, 1..=2),
            rate: maybe(400, 20..=60).map(|tasks| Rate {
                tasks,
                per_ms: 1_000,
                burst: u32::try_from(self.dice.within(1..=10)).expect("a small number"),
            }),
            backlog_max: None,
            importance: None,
            paused: maybe(150, 0..=1_000).map(|_| Paused {
                since_ms: EPOCH_MS,
                reason: "of the simulation".to_owned(),
            }),
        }
    }

    /// Sends an edit until it is done: there is nobody else who edits, but there may be no space.
    async fn edit(&self, key: &str, value: Option<Vec<u8>>) {
        for _ in 0..AGAIN_MAX {
            if let (Ok(modified), Ok(rules)) = (
                self.modified(key).await,
                self.modified(&self.keys.rules()).await,
            ) {
                let basis = Basis { modified, rules };
                let edit = txns::edit(&self.keys, key, value.clone(), basis);
                if self.connection.commit(&edit).await.committed().is_some() {
                    return;
                }
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    /// When a key was last written; 0 where it is not there.
    async fn modified(&self, key: &str) -> Result<i64, ReadError> {
        let page = self.connection.range(&Range::key(key)).await?;
        Ok(page.kvs.first().map_or(0, |kv| kv.mod_revision))
    }
}

/// Somebody outside: wants a lock or permits, holds them for a while, lets go of them or is gone.
pub(crate) struct Somebody {
    dice: Dice,
    connection: Connection,
    keys: Keys,
    began: Instant,
    asked: u128,
}

impl Somebody {
    pub(crate) fn of(scarce: &Scarce, connection: Connection) -> Self {
        let keys = Keys::new(&name("default"));
        Self {
            dice: scarce.dice.split(),
            connection,
            keys,
            began: Instant::now(),
            asked: 0,
        }
    }

    /// Wants this and that until the time comes; then it holds nothing.
    pub(crate) async fn work(mut self, until: Instant) {
        while Instant::now() < until {
            sleep(Duration::from_millis(self.dice.within(50..=1_500))).await;
            self.asked += 1;
            let key = format!("/elsewhere/{}", self.asked);
            let ttl = Duration::from_secs(self.dice.within(2..=5));
            let options = SessionOptions::new(key, Vec::new(), ttl);
            if let Ok(session) = Session::open(&self.connection, options).await {
                self.want(&session, ttl).await;
                session.close().await;
            }
        }
    }

    async fn want(&self, session: &Session, ttl: Duration) {
        let (gate, weight) = if self.dice.in_thousand(500) {
            (Gate::Lock(name(some(&self.dice, LOCKS))), 1)
        } else {
            let semaphore = Gate::Semaphore(name(some(&self.dice, SEMAPHORES)));
            (semaphore, self.dice.within(1..=WEIGHT_MAX))
        };
        let asked = Outside {
            weight: u32::try_from(weight).expect("a small number"),
            holder: "somebody".to_owned(),
            since_ms: EPOCH_MS + ms(self.began.elapsed()),
            ttl_ms: ms(ttl),
        };
        let want = txns::want(&self.keys, &gate, self.asked, &asked, session.lease());
        if self.connection.commit(&want).await.committed().is_none() {
            return;
        }
        let Some(fence) = self.granted(&gate).await else {
            return;
        };
        sleep(Duration::from_millis(self.dice.within(0..=1_500))).await;
        if self.dice.in_thousand(700) {
            let release: Txn = txns::release(&self.keys, &gate, self.asked, fence);
            let _ = self.connection.commit(&release).await;
        }
    }

    /// Waits for the hold; its fence.
    async fn granted(&self, gate: &Gate) -> Option<i64> {
        let until = Instant::now() + WANTED_FOR;
        let hold = Range::key(self.keys.hold(gate, self.asked));
        while Instant::now() < until {
            if let Ok(page) = self.connection.range(&hold).await
                && let Some(kv) = page.kvs.first()
            {
                return Some(kv.create_revision);
            }
            sleep(LOOK_EVERY).await;
        }
        None
    }
}

fn some(dice: &Dice, names: [&'static str; 2]) -> &'static str {
    names[dice.below(names.len())]
}

fn name(text: &str) -> Name {
    text.parse().expect("a name of the simulation")
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a run is shorter than eternity")
}
