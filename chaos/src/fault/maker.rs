//! Makes faults and takes them back, one after another or several at a time, and puts each on record: what was made, what could not
//! be made and why, of what nobody knows whether it was, and when it was over. What is hit is healed before it counts as over.

mod acts;
mod begin;
mod find;
mod heal;
mod record;

use self::find::Found;
use super::catalogue::Kind;
use super::plan::{Plan, Planned};
use crate::chronicle::Chronicle;
use crate::http::Client;
use crate::progress::say;
use crate::recorder::Seen;
use crate::store_acts::Operator;
use crate::target::{Hands, Made};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tenure_chaos::history::Stage;
use tokio::sync::watch;
use tokio::time::sleep;

/// 20 ms between looks at what is due.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// 5,000 faults in one history at most.
const FAULTS_MAX: u64 = 5_000;

/// What one of them has to be healed of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Undo {
    Start(String),
    Resume(String),
    /// A node of the build before this one is replaced.
    Renew(String),
    StartMember(String),
    ResumeMember(String),
    Mend(crate::target::Cut),
    Clock(String),
    Disk(String),
    FreeDisk,
    Space,
    Undrain(String),
    JoinClients(String),
}

/// A fault that is there.
struct Open {
    number: u64,
    kind: Kind,
    targets: Vec<String>,
    /// Its faults as the history counts them.
    faults: Vec<u64>,
    undo: Vec<Undo>,
    until: Instant,
    /// It is on record as installed already: what it does takes its time.
    told: bool,
}

/// What came of beginning one.
enum Begun {
    Yes,
    /// Nobody is there to be hit.
    NotNow,
    /// It cannot be made here. Why.
    Never(String),
}

/// What was made so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// By kind.
    pub(crate) installed: BTreeMap<&'static str, u64>,
    /// What cannot be made here, and why.
    pub(crate) skipped: BTreeMap<&'static str, String>,
    pub(crate) indeterminate: u64,
}

impl Tally {
    /// All that were made.
    pub(crate) fn total(&self) -> u64 {
        self.installed.values().sum()
    }
}

/// Makes them.
pub(crate) struct Maker<'a, T> {
    hands: &'a mut T,
    client: Arc<Client>,
    chronicle: Chronicle,
    /// Does what operators of etcd do.
    operator: Operator,
    /// How far the recorder is: nothing above that is compacted.
    seen: watch::Receiver<Seen>,
    began: Instant,
    injections: u64,
    faults: u64,
    open: Vec<Open>,
    /// Taken back, and not back yet, since when.
    mending: Vec<(Open, Instant)>,
    /// Processes so far, by node.
    incarnations: BTreeMap<String, u64>,
    /// Whose process had this id: a node's name, and its how manieth.
    processes: BTreeMap<u32, (String, u64)>,
    /// Nodes and members that somebody has stopped or killed.
    away: BTreeSet<String>,
    tally: Tally,
    /// A node did not come back: nothing more is broken.
    lost: bool,
}

impl<'a, T: Hands> Maker<'a, T> {
    /// For a cluster whose nodes run, whose keys begin with this root.
    pub(crate) fn new(
        hands: &'a mut T,
        client: &Arc<Client>,
        chronicle: &Chronicle,
        (root, seen): (&str, watch::Receiver<Seen>),
    ) -> Self {
        let operator = Operator::new(hands.endpoints(), root.to_owned());
        let mut maker = Self {
            operator,
            hands,
            client: Arc::clone(client),
            chronicle: chronicle.clone(),
            seen,
            began: Instant::now(),
            injections: 0,
            faults: 0,
            open: Vec::new(),
            mending: Vec::new(),
            incarnations: BTreeMap::new(),
            processes: BTreeMap::new(),
            away: BTreeSet::new(),
            tally: Tally::default(),
            lost: false,
        };
        for node in maker.hands.nodes() {
            maker.started(&node);
        }
        maker
    }

    /// What was made.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whose process had which id.
    pub(crate) fn processes(&self) -> &BTreeMap<u32, (String, u64)> {
        &self.processes
    }

    /// Makes what is planned until this instant, so many at a time; in the end nothing is broken any more.
    pub(crate) async fn run(
        &mut self,
        plan: &mut Plan,
        until: Instant,
        together: usize,
    ) -> anyhow::Result<()> {
        let mut next = plan.next();
        let mut next_at = Instant::now() + wait_of(next.as_ref());
        loop {
            if let Some(due) = self.open.iter().position(|one| one.until <= Instant::now()) {
                let over = self.open.swap_remove(due);
                self.heal(over).await?;
            }
            if self.mended().await? {
                next_at = Instant::now() + wait_of(next.as_ref());
            }
            self.supervise().await?;
            let now = Instant::now();
            let no_more = now >= until || next.is_none() || self.lost || self.faults >= FAULTS_MAX;
            if no_more && self.open.is_empty() && self.mending.is_empty() {
                return Ok(());
            }
            if let Some(planned) = next.filter(|_| !no_more && now >= next_at)
                && self.has_room_for(planned.kind, together)
            {
                let begun = self.begin(&planned).await?;
                match &begun {
                    Begun::Yes => {}
                    Begun::NotNow => plan.again(planned.kind),
                    Begun::Never(why) => {
                        plan.without(planned.kind);
                        self.tally.skipped.insert(planned.kind.name, why.clone());
                    }
                }
                next = plan.next();
                // What is never made takes no time.
                if !matches!(begun, Begun::Never(_)) {
                    next_at = Instant::now() + wait_of(next.as_ref());
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What hits all comes alone.
    fn has_room_for(&self, kind: Kind, together: usize) -> bool {
        let mending = self.mending.iter().map(|(one, _)| one);
        let mut there = self.open.iter().chain(mending);
        let count = self.open.len() + self.mending.len();
        count == 0 || count < together && !kind.hits_all() && there.all(|one| !one.kind.hits_all())
    }

    /// Whether a node or a member is hit already.
    fn is_hit(&self, name: &String) -> bool {
        let mending = self.mending.iter().map(|(one, _)| one);
        let mut there = self.open.iter().chain(mending);
        self.away.contains(name) || there.any(|one| one.targets.contains(name))
    }

    /// Makes one, and puts it on record.
    async fn begin(&mut self, planned: &Planned) -> anyhow::Result<Begun> {
        let kind = planned.kind;
        let mut open = Open {
            number: self.injections + 1,
            kind,
            targets: Vec::new(),
            faults: Vec::new(),
            undo: Vec::new(),
            until: Instant::now(),
            told: false,
        };
        let prey = match self.find(kind.hits(), planned.choice).await? {
            Found::All(prey) => prey,
            Found::NotNow => return Ok(Begun::NotNow),
            Found::Never(why) => return self.skips(open, why).await,
        };
        open.targets.extend(prey.nodes.iter().cloned());
        open.targets.extend(prey.members.iter().cloned());
        let made = self.make(&mut open, prey).await;
        open.until = Instant::now() + Duration::from_millis(planned.lasts_ms);
        let at = self.began.elapsed().as_secs_f64();
        let on = if open.targets.is_empty() {
            String::new()
        } else {
            format!(": {}", open.targets.join(", "))
        };
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                let why = format!("{error:#}");
                say(&format!("{at:>7.1} s  {kind}{on}, in part perhaps: {why}"))?;
                self.tell(&open, Stage::Indeterminate, Some(why));
                self.tally.indeterminate += 1;
                self.injections += 1;
                self.open.push(open);
                return Ok(Begun::Yes);
            }
        };
        match made {
            Made::Yes => {}
            Made::Cannot(why) => return self.skips(open, why).await,
            Made::NotNow(_) => {
                self.takes_back(&mut open).await?;
                return Ok(Begun::NotNow);
            }
        }
        say(&format!("{at:>7.1} s  {kind}{on}"))?;
        if !open.told {
            self.tell(&open, Stage::Installed, None);
        }
        *self.tally.installed.entry(kind.name).or_default() += 1;
        self.injections += 1;
        self.open.push(open);
        Ok(Begun::Yes)
    }

    /// It cannot be made here.
    async fn skips(&mut self, mut open: Open, why: String) -> anyhow::Result<Begun> {
        let at = self.began.elapsed().as_secs_f64();
        say(&format!("{at:>7.1} s  {} is skipped: {why}", open.kind))?;
        self.injections += 1;
        self.tell(&open, Stage::Skipped, Some(why.clone()));
        self.takes_back(&mut open).await?;
        Ok(Begun::Never(why))
    }

    /// Takes back what was made of one before it turned out that it cannot be.
    async fn takes_back(&mut self, open: &mut Open) -> anyhow::Result<()> {
        self.undo(open).await?;
        self.faults_over(open);
        Ok(())
    }
}

fn wait_of(next: Option<&Planned>) -> Duration {
    next.map_or(Duration::ZERO, |one| Duration::from_millis(one.after_ms))
}

#[cfg(test)]
mod tests;
