//! A cluster of containers, made by docker compose from the repository's `docker-compose.yml` and `chaos/compose.yml`, under a
//! project name of its own. It is removed with the value, after the logs of all containers were kept.
//!
//! Never touches a container of another project. What is broken is held as a set of cuts, and each container's network is set to what
//! follows from that set: after a cut, after a mend, and after a start, since a container that is started has a network without rules.
//! A process that was just started runs some 50 ms before its own rules are there; ways that are dropped or reset stay so meanwhile,
//! because their other ends have rules too.

mod inspect;
mod nets;
mod project;
mod space;
mod ways;

use super::{Cut, Hands, Made};
use crate::tools::{done, program};
use anyhow::Context as _;
use inspect::Stand;
use nets::Places;
use project::{Build, MEMBERS, Project, docker};
#[cfg(test)]
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use ways::Ways;

#[cfg(test)]
pub(crate) use inspect::Container;
pub(crate) use project::Options;

/// 2 min for all containers to say that they are well: nodes are checked every 2 s.
const WELL_WITHIN: Duration = Duration::from_mins(2);
/// 200 ms between looks at that.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) struct Compose {
    project: Project,
    ways: Ways,
    /// Containers that were ended from here: that they are gone is no crash.
    ended: BTreeSet<String>,
    /// Nodes of the build before this one.
    previous: BTreeSet<String>,
    /// Nothing is left to be removed.
    closed: bool,
}

impl Compose {
    /// Starts all of it, and waits until every container says that it is well. The images have to be there: `scripts/local-images`
    /// makes them, and `TENURE_IMAGE` and `TENURE_ETCD_IMAGE` name others.
    ///
    /// # Errors
    /// There is no docker or no image, or a container ended or was not well in time. Nothing is left behind then but the logs.
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        let project = Project::of(options).await?;
        let nodes = project.nodes().iter().enumerate();
        let nodes = nodes.map(|(nth, name)| ((*name).to_owned(), project.node_at(nth)));
        let members = MEMBERS.iter().enumerate();
        let members = members.map(|(nth, name)| ((*name).to_owned(), project.member_at(nth)));
        let places = Places {
            nodes: nodes.collect(),
            members: members.collect(),
        };
        let mut cluster = Self {
            project,
            ways: Ways::among(places),
            ended: BTreeSet::new(),
            previous: BTreeSet::new(),
            closed: false,
        };
        cluster.project.up().await?;
        cluster.are_well().await?;
        let first = cluster.project.look_at(MEMBERS[0]).await?;
        let network = first.networks.into_iter().next();
        cluster.ways.network = network.context("a container without a network")?;
        Ok(cluster)
    }

    /// What all keys begin with, as whoever watches etcd finds them there. `chaos/compose.yml` names the cluster.
    pub(crate) fn root() -> String {
        ["", "tenure", "chaos", ""].join("/")
    }

    /// How every container stands now, by name: its id, its process and its address.
    #[cfg(test)]
    pub(crate) async fn containers(&self) -> anyhow::Result<BTreeMap<String, Container>> {
        self.project.look().await
    }

    /// Where containers find whoever listens on this machine; their `http` tasks are allowed there.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.project.gateway()
    }

    /// Keeps the logs, then removes containers, network and data.
    ///
    /// # Errors
    /// Something is left behind, or not all logs could be kept.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.take_down().await
    }

    async fn take_down(&mut self) -> anyhow::Result<()> {
        self.closed = true;
        let kept = self.project.keep_logs().await;
        self.project.down().await.and(kept)
    }

    async fn are_well(&self) -> anyhow::Result<()> {
        let until = Instant::now() + WELL_WITHIN;
        loop {
            let all = self.project.look().await?;
            let mut unwell = None;
            for (name, one) in &all {
                match one.stand {
                    Stand::Runs { healthy: true } => {}
                    Stand::Runs { healthy: false } | Stand::Paused => unwell = Some(name),
                    Stand::Ended { code } => anyhow::bail!("{name} ended by itself, with {code}"),
                }
            }
            let Some(name) = unwell else { return Ok(()) };
            anyhow::ensure!(
                Instant::now() < until,
                "{name} is not well after {WELL_WITHIN:?}"
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// -9, and waits until it is gone.
    async fn kill(&mut self, name: &str) -> anyhow::Result<Made> {
        let one = self.project.look_at(name).await?;
        if !one.lives() {
            return Ok(does_not_run(name));
        }
        self.ended.insert(name.to_owned());
        docker(&["kill", &one.id]).await?;
        docker(&["wait", &one.id]).await?;
        Ok(Made::Yes)
    }

    /// Starts a container that has ended, with what is broken around it.
    async fn revive(&mut self, name: &str) -> anyhow::Result<Made> {
        let one = self.project.look_at(name).await?;
        if one.lives() {
            return Ok(Made::NotNow(format!("{name} runs already")));
        }
        docker(&["start", &one.id]).await?;
        self.has_started(name).await
    }

    async fn has_started(&mut self, name: &str) -> anyhow::Result<Made> {
        self.ended.remove(name);
        self.ways.forget(name);
        let one = self.project.look_at(name).await?;
        self.ways.settle(name, &one).await?;
        Ok(Made::Yes)
    }

    async fn halt(&mut self, name: &str, still: bool) -> anyhow::Result<Made> {
        let one = self.project.look_at(name).await?;
        match (one.stand, still) {
            (Stand::Ended { .. }, _) => return Ok(does_not_run(name)),
            (Stand::Paused, true) | (Stand::Runs { .. }, false) => return Ok(Made::Yes),
            (Stand::Runs { .. }, true) => docker(&["pause", &one.id]).await?,
            (Stand::Paused, false) => docker(&["unpause", &one.id]).await?,
        }
        Ok(Made::Yes)
    }

    fn is_node(&self, name: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.ways.places.nodes.contains_key(name),
            "there is no node {name}"
        );
        Ok(())
    }

    fn is_member(&self, name: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.ways.places.members.contains_key(name),
            "there is no member {name}"
        );
        Ok(())
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        // A runtime cannot wait for another one on its own thread. Each step has its deadline.
        let downed = std::thread::scope(|scope| {
            let down = || {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.enable_all().build()?;
                runtime.block_on(self.take_down())
            };
            scope.spawn(down).join()
        });
        if let Ok(Err(error)) = downed {
            eprintln!("containers may be left behind: {error:#}");
        }
    }
}

impl Hands for Compose {
    fn nodes(&self) -> Vec<String> {
        self.ways.places.nodes.keys().cloned().collect()
    }

    fn members(&self) -> Vec<String> {
        self.ways.places.members.keys().cloned().collect()
    }

    fn address(&self, node: &str) -> anyhow::Result<String> {
        let nth = self.project.nodes().iter().position(|one| *one == node);
        let nth = nth.with_context(|| format!("there is no node {node}"))?;
        Ok(project::url(self.project.node_ports[nth]))
    }

    fn endpoints(&self) -> Vec<String> {
        let ports = self.project.member_ports.iter();
        ports.map(|port| project::url(*port)).collect()
    }

    fn has_previous(&self) -> Made {
        self.project.options().has_previous()
    }

    async fn kill_node(&mut self, node: &str) -> anyhow::Result<Made> {
        self.is_node(node)?;
        self.kill(node).await
    }

    /// # Errors
    /// Also where it has not ended in time: it was told to, and may end later.
    async fn end_node(&mut self, node: &str, within: Duration) -> anyhow::Result<Made> {
        self.is_node(node)?;
        let one = self.project.look_at(node).await?;
        match one.stand {
            Stand::Ended { .. } => return Ok(does_not_run(node)),
            Stand::Paused => return Ok(Made::NotNow(format!("{node} stands still"))),
            Stand::Runs { .. } => {}
        }
        self.ended.insert(node.to_owned());
        docker(&["kill", "--signal", "TERM", &one.id]).await?;
        done(program(&["docker", "wait", &one.id]), "", within)
            .await
            .with_context(|| format!("{node} was told to end"))?;
        Ok(Made::Yes)
    }

    async fn start_node(&mut self, node: &str, previous: bool) -> anyhow::Result<Made> {
        self.is_node(node)?;
        if previous && let Made::Cannot(why) = self.has_previous() {
            return Ok(Made::Cannot(why));
        }
        if previous == self.previous.contains(node) {
            return self.revive(node).await;
        }
        if self.project.look_at(node).await?.lives() {
            return Ok(Made::NotNow(format!("{node} runs already")));
        }
        let build = if previous {
            self.previous.insert(node.to_owned());
            Build::Previous
        } else {
            self.previous.remove(node);
            Build::Present
        };
        self.project.renew(node, build).await?;
        self.has_started(node).await
    }

    async fn halt_node(&mut self, node: &str, still: bool) -> anyhow::Result<Made> {
        self.is_node(node)?;
        self.halt(node, still).await
    }

    async fn fallen(&mut self) -> anyhow::Result<Vec<String>> {
        let mut all = self.project.look().await?;
        all.retain(|name, one| self.ways.places.nodes.contains_key(name) && !one.lives());
        let fallen = all
            .into_keys()
            .filter(|name| self.ended.insert(name.clone()));
        Ok(fallen.collect())
    }

    async fn set_clock(&mut self, _node: &str, _ahead_ms: i64) -> anyhow::Result<Made> {
        Ok(cannot(
            "containers have this machine's wall clock, and the images have no library that tells another time",
        ))
    }

    async fn kill_member(&mut self, member: &str) -> anyhow::Result<Made> {
        self.is_member(member)?;
        self.kill(member).await
    }

    async fn start_member(&mut self, member: &str) -> anyhow::Result<Made> {
        self.is_member(member)?;
        self.revive(member).await
    }

    async fn halt_member(&mut self, member: &str, still: bool) -> anyhow::Result<Made> {
        self.is_member(member)?;
        self.halt(member, still).await
    }

    async fn slow_disk(&mut self, _member: &str, _by_ms: u64) -> anyhow::Result<Made> {
        Ok(cannot(
            "syncs are made slow by tracing a member's process, which is done to processes of this machine only",
        ))
    }

    async fn fill_disk(&mut self, _full: bool) -> anyhow::Result<(Made, String)> {
        let made =
            cannot("members keep their data on docker's own disk, which other containers need");
        Ok((made, String::new()))
    }

    async fn cut(&mut self, cut: &Cut, broken: bool) -> anyhow::Result<Made> {
        let mut all = self.project.look().await?;
        let touched = self.ways.places.touched(cut);
        all.retain(|name, _| touched.contains(name));
        if broken && let Some(why) = self.ways.refusal(cut, all.values()).await {
            return Ok(Made::Cannot(why));
        }
        self.ways.set(cut, broken);
        for (name, one) in &all {
            self.ways.settle(name, one).await?;
        }
        Ok(Made::Yes)
    }
}

fn does_not_run(name: &str) -> Made {
    Made::NotNow(format!("{name} does not run"))
}

fn cannot(why: &str) -> Made {
    Made::Cannot(why.to_owned())
}

#[cfg(test)]
mod tests;
