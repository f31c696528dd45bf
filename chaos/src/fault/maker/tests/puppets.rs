//! A cluster that is only written down: what was done to it, and how it stands.

use crate::http::Client;
use crate::target::{Cut, Hands, Made};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What it lets be done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lets {
    All,
    /// Nothing, and says so.
    Nothing,
    /// Nobody knows.
    Fails,
}

/// How it stands; as it begins, with nothing broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stands {
    pub(super) down: BTreeSet<String>,
    pub(super) still: BTreeSet<String>,
    pub(super) cuts: BTreeSet<Cut>,
    pub(super) clocks: BTreeMap<String, i64>,
    pub(super) slow: BTreeMap<String, u64>,
    pub(super) full: bool,
    pub(super) drained: BTreeSet<String>,
    pub(super) old: BTreeSet<String>,
}

/// Three nodes and three members. All nodes answer at one address.
pub(super) struct Puppets {
    pub(super) base: String,
    pub(super) lets: Lets,
    pub(super) stands: Stands,
    /// What was done, one word each.
    pub(super) done: Vec<String>,
    /// Whose process ended by itself.
    pub(super) fallen: Vec<String>,
}

impl Puppets {
    pub(super) fn at(base: &str, lets: Lets) -> Self {
        Self {
            base: base.to_owned(),
            lets,
            stands: Stands::default(),
            done: Vec::new(),
            fallen: Vec::new(),
        }
    }

    /// Whether it lets that be done.
    fn lets(&mut self, what: String) -> anyhow::Result<Made> {
        self.done.push(what);
        match self.lets {
            Lets::All => Ok(Made::Yes),
            Lets::Nothing => Ok(Made::Cannot("not on puppets".to_owned())),
            Lets::Fails => anyhow::bail!("no answer"),
        }
    }

    /// Puts a name into a set, or takes it out, where that is let be done.
    fn marks(
        &mut self,
        (what, name, on): (&str, &str, bool),
        set: fn(&mut Stands) -> &mut BTreeSet<String>,
    ) -> anyhow::Result<Made> {
        let made = self.lets(format!("{what} {name} {on}"))?;
        if made == Made::Yes {
            let set = set(&mut self.stands);
            let changed = if on {
                set.insert(name.to_owned())
            } else {
                set.remove(name)
            };
            assert!(changed, "{what} {name} was {on} already");
        }
        Ok(made)
    }
}

fn three(letter: char) -> Vec<String> {
    (1..=3).map(|nth| format!("{letter}{nth}")).collect()
}

impl Hands for Puppets {
    fn nodes(&self) -> Vec<String> {
        three('n')
    }

    fn members(&self) -> Vec<String> {
        three('e')
    }

    fn address(&self, _node: &str) -> anyhow::Result<String> {
        Ok(self.base.clone())
    }

    /// Nobody is there: whatever is asked of etcd itself finds no answer.
    fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    fn has_previous(&self) -> Made {
        Made::Yes
    }

    async fn kill_node(&mut self, node: &str) -> anyhow::Result<Made> {
        self.marks(("down", node, true), |stands| &mut stands.down)
    }

    async fn end_node(&mut self, node: &str, _within: Duration) -> anyhow::Result<Made> {
        self.marks(("down", node, true), |stands| &mut stands.down)
    }

    async fn start_node(&mut self, node: &str, previous: bool) -> anyhow::Result<Made> {
        self.stands.old.remove(node);
        if previous {
            self.stands.old.insert(node.to_owned());
        }
        self.marks(("down", node, false), |stands| &mut stands.down)
    }

    async fn halt_node(&mut self, node: &str, still: bool) -> anyhow::Result<Made> {
        self.marks(("still", node, still), |stands| &mut stands.still)
    }

    async fn fallen(&mut self) -> anyhow::Result<Vec<String>> {
        let fallen = std::mem::take(&mut self.fallen);
        self.stands.down.extend(fallen.iter().cloned());
        Ok(fallen)
    }

    async fn set_clock(&mut self, node: &str, ahead_ms: i64) -> anyhow::Result<Made> {
        let made = self.lets(format!("clock {node} {ahead_ms}"))?;
        if made == Made::Yes {
            self.stands.clocks.insert(node.to_owned(), ahead_ms);
            self.stands.clocks.retain(|_, ahead_ms| *ahead_ms != 0);
        }
        Ok(made)
    }

    async fn kill_member(&mut self, member: &str) -> anyhow::Result<Made> {
        self.marks(("down", member, true), |stands| &mut stands.down)
    }

    async fn start_member(&mut self, member: &str) -> anyhow::Result<Made> {
        self.marks(("down", member, false), |stands| &mut stands.down)
    }

    async fn halt_member(&mut self, member: &str, still: bool) -> anyhow::Result<Made> {
        self.marks(("still", member, still), |stands| &mut stands.still)
    }

    async fn slow_disk(&mut self, member: &str, by_ms: u64) -> anyhow::Result<Made> {
        let made = self.lets(format!("disk {member} {by_ms}"))?;
        if made == Made::Yes {
            self.stands.slow.insert(member.to_owned(), by_ms);
            self.stands.slow.retain(|_, by_ms| *by_ms != 0);
        }
        Ok(made)
    }

    async fn fill_disk(&mut self, full: bool) -> anyhow::Result<(Made, String)> {
        let made = self.lets(format!("full {full}"))?;
        if made == Made::Yes {
            self.stands.full = full;
            // Its member ends of it.
            if full {
                self.stands.down.insert("e3".to_owned());
            }
        }
        Ok((made, "e3".to_owned()))
    }

    async fn resign(&mut self, _client: &Client) -> anyhow::Result<Made> {
        self.lets("resign".to_owned())
    }

    async fn drain(&mut self, _client: &Client, node: &str, out: bool) -> anyhow::Result<Made> {
        self.marks(("drained", node, out), |stands| &mut stands.drained)
    }

    async fn cut_clients(&mut self, node: &str, broken: bool) -> anyhow::Result<Made> {
        self.marks(("clients", node, broken), |stands| &mut stands.drained)
    }

    async fn cut(&mut self, cut: &Cut, broken: bool) -> anyhow::Result<Made> {
        let made = self.lets(format!("cut {cut:?} {broken}"))?;
        if made == Made::Yes {
            let changed = if broken {
                self.stands.cuts.insert(cut.clone())
            } else {
                self.stands.cuts.remove(cut)
            };
            assert!(changed, "{cut:?} was {broken} already");
        }
        Ok(made)
    }
}
