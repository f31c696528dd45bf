//! The three kinds of clusters, each with what a chapter needs of it: where runs are witnessed, and who answers clients.

use super::chapter::{Chapter, Ways};
use super::{Plan, options};
use crate::cluster::{self, Cluster, Layout};
use crate::http::Client;
use crate::load::{Means, Paper, check};
use crate::target::Hands;
use crate::target::compose::{self, Compose};
use crate::target::existing::{self, Existing};
use crate::target::processes::Processes;
use crate::witness::http::Server;
use anyhow::Context as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// 3 s for a call: a node that stands still does not hold its client up for long.
const CALL: Duration = Duration::from_secs(3);
/// 5 s: longer than every run, and short enough to be waited for.
const SHUTDOWN_GRACE: &str = "5s";
/// The networks that the witness may be found in.
const WITNESS_NETWORKS: &str = "127.0.0.0/8,10.213.0.0/16";
/// What the project of a compose cluster is called.
const PROJECT: &str = "tenure-chaos";

impl Plan<'_> {
    pub(super) async fn on_processes(
        &self,
        chapter: Chapter<'_>,
        dir: &Path,
    ) -> anyhow::Result<()> {
        let (tenure, etcd) = self.options.binaries()?;
        let layout = Layout {
            tenure,
            etcd,
            nodes: self.scenario.nodes.into(),
            members: self.scenario.members.into(),
            slots: self.scenario.slots,
            token: cluster::new_token()?,
            dir: dir.to_owned(),
            env: [
                ("TENURE_SHUTDOWN_GRACE", SHUTDOWN_GRACE.to_owned()),
                (
                    "TENURE_RETENTION",
                    format!("{}s", options::RETENTION_MS / 1_000),
                ),
                ("TENURE_HTTP_ALLOW", WITNESS_NETWORKS.to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .chain(self.options.node_env.clone())
            .collect(),
        };
        let paper = Paper::lay_out(dir)?;
        let witness = Server::start(any(), &chapter.log).await?;
        let mut target = Processes::start(&layout, self.options.previous.clone()).await?;
        let means = Means {
            command: Some(paper),
            http: Some(witness.base_at(&target.own_host().to_string())),
        };
        check(&self.scenario.work, &means)?;
        let maker = clients(&target, &layout.token)?;
        let ways = Ways {
            root: Cluster::root(),
            was_there: false,
            means,
            witness: Some(witness),
            maker: &maker,
        };
        Box::pin(chapter.run(&mut target, ways)).await
    }

    pub(super) async fn on_compose(&self, chapter: Chapter<'_>, dir: &Path) -> anyhow::Result<()> {
        let token = cluster::new_token()?;
        let options = compose::Options {
            root: self.options.project.clone(),
            dir: dir.to_owned(),
            project: PROJECT.to_owned(),
            nodes: self.scenario.nodes,
            slots: self.scenario.slots,
            token: token.clone(),
            previous: self
                .options
                .previous
                .as_ref()
                .map(|image| image.display().to_string()),
        };
        let mut target = Compose::start(options).await?;
        let witness = Server::start(any(), &chapter.log).await?;
        let means = Means {
            command: None,
            http: Some(witness.base_at(&target.gateway().to_string())),
        };
        check(&self.scenario.work, &means)?;
        let maker = clients(&target, &token)?;
        let ways = Ways {
            root: Compose::root(),
            was_there: false,
            means,
            witness: Some(witness),
            maker: &maker,
        };
        let ran = Box::pin(chapter.run(&mut target, ways)).await;
        target.close().await?;
        ran
    }

    pub(super) async fn on_existing(
        &self,
        chapter: Chapter<'_>,
        _dir: &Path,
    ) -> anyhow::Result<()> {
        let token = self.options.token.clone().context("--token")?;
        let options = existing::Options {
            servers: self.options.server.clone(),
            token: token.clone(),
            etcd: self.options.etcd_endpoints.clone(),
            cluster: self.options.cluster.clone(),
        };
        let mut target = Existing::find(options).await?;
        target.ensure_known().await?;
        let means = Means::default();
        check(&self.scenario.work, &means)?;
        let maker = clients(&target, &token)?;
        let ways = Ways {
            root: target.root(),
            was_there: true,
            means,
            witness: None,
            maker: &maker,
        };
        let ran = crate::stage::until_signal(Box::pin(chapter.run(&mut target, ways))).await;
        target.close().await?;
        ran
    }
}

fn any() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}

/// Who makes clients, each at home at another node.
fn clients<T: Hands>(
    target: &T,
    token: &str,
) -> anyhow::Result<impl Fn(usize) -> anyhow::Result<Client> + Send + Sync + 'static> {
    let nodes = target.nodes();
    let bases = nodes.iter().filter_map(|node| target.address(node).ok());
    let bases: Vec<String> = bases.collect();
    anyhow::ensure!(!bases.is_empty(), "the cluster has no nodes that are known");
    let token = token.to_owned();
    Ok(move |number: usize| {
        let mut bases = bases.clone();
        let length = bases.len();
        bases.rotate_left(number % length);
        Client::within(bases, &token, CALL)
    })
}
