//! What is broken between the containers, and the network of each set to what follows from it.

use super::inspect::Container;
use super::nets::{self, Places};
use super::project::docker;
use super::space::Space;
use crate::target::Cut;
use anyhow::Context as _;
use std::collections::BTreeSet;

pub(super) struct Ways {
    pub(super) places: Places,
    /// What compose calls the network.
    pub(super) network: String,
    broken: BTreeSet<Cut>,
    /// Containers whose networks have rules.
    ruled: BTreeSet<String>,
    /// Containers whose networks hold something back.
    narrowed: BTreeSet<String>,
    /// A network could be looked into, with the tools that change it.
    permitted: bool,
}

impl Ways {
    /// Nothing is broken.
    pub(super) fn among(places: Places) -> Self {
        Self {
            places,
            network: String::new(),
            broken: BTreeSet::new(),
            ruled: BTreeSet::new(),
            narrowed: BTreeSet::new(),
            permitted: false,
        }
    }

    /// Why a way between these cannot be broken from here; none where it can, or where none of them has a network now. Changes no
    /// network.
    pub(super) async fn refusal(
        &mut self,
        cut: &Cut,
        touched: impl Iterator<Item = &Container>,
    ) -> Option<String> {
        if let Some(why) = self.places.refusal(cut) {
            return Some(why);
        }
        if self.permitted || nets::detached(cut).is_some() {
            return None;
        }
        let pid = { touched }.find_map(|one| one.pid)?;
        let refusal = Space::of(pid).refusal().await;
        self.permitted = refusal.is_none();
        refusal
    }

    /// A way is broken, or whole again. The networks are as before until they are settled.
    pub(super) fn set(&mut self, cut: &Cut, broken: bool) {
        if broken {
            self.broken.insert(cut.clone());
        } else {
            self.broken.remove(cut);
        }
    }

    /// A container was started: its network is a new one, with nothing in it.
    pub(super) fn forget(&mut self, name: &str) {
        self.ruled.remove(name);
        self.narrowed.remove(name);
    }

    /// Makes a container's network what follows from all that is broken. One that does not run has none: it comes with its start.
    pub(super) async fn settle(&mut self, name: &str, one: &Container) -> anyhow::Result<()> {
        let space = one.pid.map(Space::of);
        // The rules come first, so that one that is attached again finds them there.
        if let Some(space) = space {
            self.settle_rules(name, space).await?;
        }
        let attached = self.settle_place(name, one).await?;
        if let (Some(space), true) = (space, attached) {
            self.settle_rates(name, space).await?;
        }
        Ok(())
    }

    async fn settle_rules(&mut self, name: &str, space: Space) -> anyhow::Result<()> {
        match self.places.rules(name, &self.broken) {
            Some(rules) => {
                self.ruled.insert(name.to_owned());
                space.rule(&rules).await
            }
            None if self.ruled.contains(name) => {
                space.rule(&nets::no_rules()).await?;
                self.ruled.remove(name);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether it is part of the network now.
    async fn settle_place(&self, name: &str, one: &Container) -> anyhow::Result<bool> {
        let mut detached = self.broken.iter().filter_map(nets::detached);
        let wanted = !detached.any(|other| other == name);
        match (one.networks.contains(&self.network), wanted) {
            (true, false) => docker(&["network", "disconnect", &self.network, &one.id]).await?,
            (false, true) => {
                let own = self
                    .places
                    .of(name)
                    .context("a container without a place")?;
                let own = own.to_string();
                let words = ["network", "connect", "--ip", &own, "--alias", name];
                docker(&[&words[..], &[&self.network, &one.id]].concat()).await?;
            }
            (true, true) | (false, false) => {}
        }
        Ok(wanted)
    }

    async fn settle_rates(&mut self, name: &str, space: Space) -> anyhow::Result<()> {
        let rates = self.places.rates(name, &self.broken);
        if rates.is_empty() && !self.narrowed.contains(name) {
            return Ok(());
        }
        let own = self
            .places
            .of(name)
            .context("a container without a place")?;
        self.narrowed.insert(name.to_owned());
        space.narrow(own, &rates).await?;
        if rates.is_empty() {
            self.narrowed.remove(name);
        }
        Ok(())
    }
}
