//! A real cluster for tests, and what can be seen of it from outside.

use super::super::{Compose, Options};
use crate::http::Client;
use crate::target::{Cut, Hands as _, How, Made, Side};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// 7 s: a lease of 5 s and 2 s to tell of it.
pub(super) const NOTICED_WITHIN: Duration = Duration::from_secs(7);
/// 30 s for what is mended to be well again.
pub(super) const WELL_WITHIN: Duration = Duration::from_secs(30);
/// 5 s for an answer of a node, which one that stands still does not give.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// 50 ms between looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// 1 s for a connection to be made, or 2 s for etcd to answer a read.
const CONNECTS_WITHIN: &str = "1";
const READS_WITHIN: Duration = Duration::from_secs(2);

pub(super) const IMAGE_BEFORE: &str = "tenure-chaos-test:before";

/// What comes of asking for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Made,
    Refused,
    Silent,
}

pub(super) struct Stage {
    pub(super) cluster: Compose,
    pub(super) client: Client,
    pub(super) token: String,
    begun: Instant,
}

/// Whether the tests are asked for: they take docker and some minutes.
pub(super) fn wanted() -> bool {
    let wanted = std::env::var("TENURE_CHAOS_COMPOSE").is_ok_and(|set| set == "1");
    if !wanted {
        eprintln!(
            "skipped: TENURE_CHAOS_COMPOSE=1 runs it, on a machine with docker and both images"
        );
    }
    wanted
}

pub(super) fn options(dir: &Path, project: &str, nodes: u8) -> Options {
    Options {
        root: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."),
        dir: dir.to_owned(),
        project: project.to_owned(),
        nodes,
        slots: 4,
        token: crate::cluster::new_token().unwrap(),
        previous: Some(IMAGE_BEFORE.to_owned()),
    }
}

pub(super) fn cut(from: Side, to: Side, both: bool, how: How) -> Cut {
    Cut {
        from,
        to,
        both,
        how,
    }
}

pub(super) fn node(name: &str) -> Side {
    Side::Node(name.to_owned())
}

pub(super) fn member(name: &str) -> Side {
    Side::Member(name.to_owned())
}

impl Stage {
    pub(super) async fn set(options: Options) -> Self {
        let begun = Instant::now();
        let token = options.token.clone();
        let cluster = Compose::start(options).await.unwrap();
        let bases = cluster.nodes();
        let bases = bases.iter().map(|node| cluster.address(node).unwrap());
        let client = Client::within(bases.collect(), &token, ANSWERED_WITHIN).unwrap();
        let stage = Self {
            cluster,
            client,
            token,
            begun,
        };
        stage.tell("is up");
        stage
    }

    pub(super) fn tell(&self, what: &str) {
        eprintln!("{:>6.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    pub(super) async fn ready(&self, node: &str) -> bool {
        let address = self.cluster.address(node).unwrap();
        self.client.says_yes(&format!("{address}/readyz")).await
    }

    /// The process answers, whatever it says.
    pub(super) async fn answers(&self, node: &str) -> bool {
        let address = self.cluster.address(node).unwrap();
        self.client.says_yes(&format!("{address}/livez")).await
    }

    /// How many links a node says are open.
    pub(super) async fn links(&self, node: &str) -> String {
        let address = self.cluster.address(node).unwrap();
        let asked = reqwest::get(format!("{address}/readyz?verbose")).await;
        asked.unwrap().text().await.unwrap()
    }

    /// Waits until it is so; after how long.
    pub(super) async fn becomes(&self, what: &str, within: Duration, so: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !so().await {
            assert!(begun.elapsed() < within, "not in {within:?}: {what}");
            sleep(LOOK_EVERY).await;
        }
        let took = begun.elapsed().as_millis();
        self.tell(&format!("{what}, after {took} ms"));
    }

    pub(super) async fn becomes_ready(&self, node: &str) {
        let what = format!("{node} is ready");
        self.becomes(&what, WELL_WITHIN, async || self.ready(node).await)
            .await;
    }

    /// A way is broken, and that is noticed by `of`, which says that it is not ready; then the way is mended.
    pub(super) async fn unready_while(&mut self, cut: Cut, of: &str) {
        self.becomes_ready(of).await;
        self.is_cut(&cut, true).await;
        let what = format!("{of} is not ready");
        self.becomes(&what, NOTICED_WITHIN, async || !self.ready(of).await)
            .await;
        self.is_cut(&cut, false).await;
        self.becomes_ready(of).await;
    }

    pub(super) async fn is_cut(&mut self, cut: &Cut, broken: bool) {
        let begun = Instant::now();
        assert_eq!(self.cluster.cut(cut, broken).await.unwrap(), Made::Yes);
        let took = begun.elapsed().as_millis();
        let word = if broken { "broken" } else { "mended" };
        self.tell(&format!("{word} in {took} ms: {cut:?}"));
    }

    /// A connection out of the network of one container to a port of another.
    pub(super) async fn reach(&self, from: &str, to: &str, port: u16) -> Reach {
        let pid = self.cluster.containers().await.unwrap()[from].pid.unwrap();
        let at = self.cluster.ways.places.of(to).unwrap();
        let words = [
            "nsenter",
            "-t",
            &pid.to_string(),
            "-n",
            "timeout",
            CONNECTS_WITHIN,
        ];
        let script = format!("exec 3<>/dev/tcp/{at}/{port}");
        let asked = super::super::program(&[&words[..], &["bash", "-c", &script]].concat());
        let ended = { asked }.output().await.unwrap();
        match ended.status.code() {
            Some(0) => Reach::Made,
            Some(124) => Reach::Silent,
            _ => Reach::Refused,
        }
    }

    /// A member answers a read that needs a majority.
    pub(super) async fn reads(&self, nth: usize) -> bool {
        let endpoint = self.cluster.endpoints()[nth].clone();
        let read = async {
            let mut client = etcd_client::Client::connect([endpoint], None).await?;
            client.get(Compose::root(), None).await
        };
        timeout(READS_WITHIN, read)
            .await
            .is_ok_and(|read| read.is_ok())
    }

    /// Whether the API tells of a node as one that lives.
    pub(super) async fn listed(&self, node: &str) -> bool {
        let nodes = crate::target::admin::nodes(&self.client).await;
        nodes.unwrap().contains_key(node)
    }
}
