//! Links over real connections of this machine: what is told when the other side is there, breaks, goes, is replaced, or leaves.

use std::net::SocketAddr;

use tenure_testkit::Certificates;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

use super::dial::{DialError, Dialer};
use super::handshake::answer;
use super::link::{Fate, Link, Told};
use super::roster::Target;
use super::wire::Talk;
use super::{Listener, Pem, Secrets, Tls, Us};
use crate::clock::Clock;
use crate::store::EvidenceKind;
use crate::task::Name;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A process of a node.
fn us(node: &str, instance: &str) -> Us {
    Us {
        cluster: name("c"),
        node: name(node),
        instance: instance.to_owned(),
    }
}

fn secrets() -> Secrets {
    Secrets::new([b"0123456789abcdef".to_vec()])
}

fn dialer(tls: Option<Tls>) -> Dialer {
    Dialer::new(us("a", "a-1"), secrets(), tls)
}

async fn port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// What a link from `a` to process `b-1` of node `b` tells.
struct Watching {
    told: mpsc::Receiver<(Name, String, Told)>,
    _task: JoinSet<()>,
}

impl Watching {
    fn of(at: SocketAddr) -> Self {
        let (tells, told) = mpsc::channel(16);
        let link = Link {
            node: name("b"),
            target: Target {
                instance: "b-1".to_owned(),
                address: at.to_string(),
            },
            dialer: dialer(None),
            clock: Clock::default(),
            tells,
        };
        let mut task = JoinSet::new();
        task.spawn(link.run());
        Self { told, _task: task }
    }

    async fn next(&mut self) -> Told {
        let told = timeout(PATIENCE, self.told.recv()).await;
        let (node, instance, told) = told.expect("it tells").expect("it lives");
        assert_eq!((node.as_str(), &*instance), ("b", "b-1"));
        told
    }

    async fn opens(&mut self) {
        let told = self.next().await;
        assert!(matches!(told, Told::Open), "{told:?}");
    }

    /// The evidence that is told after a break.
    async fn gone(&mut self) -> EvidenceKind {
        let (broke, gone) = (self.next().await, self.next().await);
        let Told::Gone(proof) = gone else {
            panic!("{broke:?}, {gone:?}")
        };
        assert!(matches!(broke, Told::Broke(Fate::Gone(kind)) if kind == proof.kind));
        assert!(proof.last_seen_ms <= proof.noticed_ms);
        proof.kind
    }
}

/// Process `b-1` listens; ends as a crash does when dropped, and in order when told to.
struct Listening {
    at: SocketAddr,
    closing: CancellationToken,
    task: JoinSet<()>,
}

impl Listening {
    async fn start(tls: Option<Tls>) -> Self {
        let listener = port().await;
        let at = listener.local_addr().unwrap();
        let listener = Listener::new(listener, us("b", "b-1"), secrets(), tls);
        let (closing, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(listener.run(closing.clone()));
        Self { at, closing, task }
    }
}

/// Takes the next connection and shakes hands as this process; the link.
async fn take(listener: &TcpListener, us: &Us) -> Talk {
    let (stream, _) = listener.accept().await.unwrap();
    let mut talk = Talk::new(Box::new(stream));
    answer(&mut talk, us, &secrets()).await.unwrap();
    talk
}

#[tokio::test]
async fn a_process_that_crashes_is_gone_by_refusals() {
    let mut process = Listening::start(None).await;
    let mut link = Watching::of(process.at);
    link.opens().await;

    process.task.shutdown().await;

    assert_eq!(link.gone().await, EvidenceKind::Refused);
}

#[tokio::test]
async fn a_process_that_ends_in_order_says_goodbye() {
    let mut process = Listening::start(None).await;
    let mut link = Watching::of(process.at);
    link.opens().await;

    process.closing.cancel();
    timeout(PATIENCE, process.task.join_next()).await.unwrap();

    assert_eq!(link.gone().await, EvidenceKind::Left);
}

#[tokio::test]
async fn another_process_of_its_name_is_its_end_and_the_same_one_is_not() {
    let listener = port().await;
    let mut link = Watching::of(listener.local_addr().unwrap());
    let first = take(&listener, &us("b", "b-1")).await;
    link.opens().await;

    // The same process is there after a break.
    drop(first);
    let again = take(&listener, &us("b", "b-1")).await;
    let told = link.next().await;
    assert!(matches!(told, Told::Broke(Fate::Lives)), "{told:?}");
    link.opens().await;

    // And then another one.
    drop(again);
    let _other = take(&listener, &us("b", "b-2")).await;
    assert_eq!(link.gone().await, EvidenceKind::Replaced);
}

#[tokio::test]
async fn a_process_of_another_node_at_its_address_proves_nothing() {
    let listener = port().await;
    let mut link = Watching::of(listener.local_addr().unwrap());
    let first = take(&listener, &us("b", "b-1")).await;
    link.opens().await;

    drop(first);
    let _other = take(&listener, &us("x", "x-1")).await;

    let told = link.next().await;
    assert!(matches!(told, Told::Broke(Fate::Unknown)), "{told:?}");
}

#[tokio::test]
async fn there_is_no_evidence_against_a_process_that_was_never_met() {
    let listener = port().await;
    let at = listener.local_addr().unwrap();
    let mut link = Watching::of(at);
    for instance in ["b-2", "b-3"] {
        let _other = take(&listener, &us("b", instance)).await;
    }
    // Nobody listens there for a while, and then it does.
    drop(listener);
    let listener = loop {
        // The port may be another's for a moment.
        match TcpListener::bind(at).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let _met = take(&listener, &us("b", "b-1")).await;

    link.opens().await;
}

#[tokio::test]
async fn a_process_knows_its_own_address() {
    let listener = port().await;
    let at = listener.local_addr().unwrap().to_string();
    let closing = CancellationToken::new();
    let own = Listener::new(listener, us("a", "a-1"), secrets(), None);
    let mut task = JoinSet::new();
    task.spawn(own.run(closing));
    assert!(dialer(None).is_own(&at).await);
    let other = Listening::start(None).await;
    assert!(!dialer(None).is_own(&other.at.to_string()).await);
    task.shutdown().await;
    assert!(!dialer(None).is_own(&at).await);
}

fn tls(certificates: &Certificates) -> Tls {
    let (cert, key) = certificates.server_identity();
    let tls = Tls::new(Pem {
        ca: &certificates.ca_pem(),
        cert: &cert,
        key: &key,
    });
    tls.unwrap()
}

#[tokio::test]
async fn with_tls_both_sides_show_certificates_of_one_authority() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Certificates::generate(&dir.path().join("ours"));
    let others = Certificates::generate(&dir.path().join("others"));
    let process = Listening::start(Some(tls(&ours))).await;
    let at = process.at.to_string();

    let linked = dialer(Some(tls(&ours))).reach(&at).await;
    assert_eq!(linked.ok().unwrap().who.instance, "b-1");
    for wrong in [dialer(None), dialer(Some(tls(&others)))] {
        let refused = wrong.reach(&at).await.err().unwrap();
        assert!(
            matches!(refused, DialError::Broke(..) | DialError::Silent(..)),
            "{refused}"
        );
    }
}
