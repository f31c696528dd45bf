//! A real cluster of containers: everything that can be done to it is done, and seen from outside to have been done. Skipped unless
//! `TENURE_CHAOS_COMPOSE=1`, with the reason.

mod stage;

use super::super::admin;
use super::*;
use crate::target::{How, Side};
use serde_json::json;
use stage::{
    IMAGE_BEFORE, NOTICED_WITHIN, Reach, Stage, WELL_WITHIN, cut, member, node, options, wanted,
};
use tokio::io::AsyncReadExt as _;

/// Where etcd answers clients, and other members, and where nodes answer each other, in containers.
const CLIENTS: u16 = 2379;
const PEERS: u16 = 2380;
const LINKS: u16 = 9700;

fn not(made: &Made, why: &str) {
    let is = matches!(made, Made::Cannot(told) if told.contains(why));
    assert!(is, "{made:?} does not say: {why}");
}

#[tokio::test]
async fn processes_are_ended_and_started_and_made_to_stand_still() {
    if !wanted() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(options(dir.path(), "tenure-chaos-test-1", 3)).await;
    all_is_there(&stage).await;

    nodes_are_killed(&mut stage).await;
    nodes_fall(&mut stage).await;
    nodes_end_and_are_of_another_build(&mut stage).await;
    nodes_stand_still(&mut stage).await;
    members_too(&mut stage).await;
    leaders_resign_and_nodes_are_drained(&mut stage).await;
    the_harness_is_reached(&stage).await;

    stage.cluster.close().await.unwrap();
    nothing_is_left("tenure-chaos-test-1").await;
    for name in ["e1", "e2", "e3", "n1", "n2", "n3"] {
        let log = dir.path().join(format!("{name}.log"));
        assert!(
            !std::fs::read(&log).unwrap().is_empty(),
            "{name} said nothing"
        );
    }
}

#[tokio::test]
async fn ways_are_broken_and_mended() {
    if !wanted() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(options(dir.path(), "tenure-chaos-test-2", 3)).await;

    a_node_is_detached(&mut stage).await;
    nodes_are_cut_from_etcd(&mut stage).await;
    nodes_are_cut_from_each_other(&mut stage).await;
    members_are_cut_from_each_other(&mut stage).await;
    a_cut_outlives_a_process(&mut stage).await;
    a_way_is_narrow(&mut stage).await;
    what_cannot_be_done_is_told(&mut stage).await;

    // Not closed: the value removes it all when it goes.
    drop(stage);
    nothing_is_left("tenure-chaos-test-2").await;
    assert!(dir.path().join("n1.log").exists());
}

async fn all_is_there(stage: &Stage) {
    assert_eq!(stage.cluster.nodes(), ["n1", "n2", "n3"]);
    assert_eq!(stage.cluster.members(), ["e1", "e2", "e3"]);
    let all = stage.cluster.containers().await.unwrap();
    for (name, one) in &all {
        assert!(one.pid.is_some(), "{name}");
        assert_eq!(one.address, stage.cluster.ways.places.of(name), "{name}");
    }
    assert_eq!(all.len(), 6);
    for nth in 0..3 {
        assert!(stage.ready(&stage.cluster.nodes()[nth]).await);
        assert!(stage.reads(nth).await);
    }
}

async fn nodes_are_killed(stage: &mut Stage) {
    let before = stage.cluster.containers().await.unwrap()["n1"].pid;
    assert_eq!(stage.cluster.kill_node("n1").await.unwrap(), Made::Yes);
    assert!(!stage.answers("n1").await);
    stage
        .becomes("n1 is not listed", NOTICED_WITHIN, async || {
            !stage.listed("n1").await
        })
        .await;
    assert!(stage.ready("n2").await);
    not(
        &stage.cluster.kill_node("n1").await.unwrap(),
        "n1 does not run",
    );
    not(
        &stage.cluster.halt_node("n1", true).await.unwrap(),
        "n1 does not run",
    );
    assert_eq!(
        stage.cluster.fallen().await.unwrap(),
        [""; 0],
        "it was killed from here"
    );

    assert_eq!(
        stage.cluster.start_node("n1", false).await.unwrap(),
        Made::Yes
    );
    stage.becomes_ready("n1").await;
    let after = stage.cluster.containers().await.unwrap()["n1"].pid;
    assert!(after.is_some() && after != before);
    not(
        &stage.cluster.start_node("n1", false).await.unwrap(),
        "n1 runs already",
    );
}

async fn nodes_fall(stage: &mut Stage) {
    let id = stage.cluster.project.id("n2").unwrap().to_owned();
    docker(&["kill", &id]).await.unwrap();
    docker(&["wait", &id]).await.unwrap();
    assert_eq!(stage.cluster.fallen().await.unwrap(), ["n2"]);
    assert_eq!(
        stage.cluster.fallen().await.unwrap(),
        [""; 0],
        "once is enough"
    );
    stage.cluster.start_node("n2", false).await.unwrap();
    stage.becomes_ready("n2").await;
}

async fn nodes_end_and_are_of_another_build(stage: &mut Stage) {
    let image = std::env::var("TENURE_IMAGE").unwrap_or_else(|_| "tenure:local".to_owned());
    docker(&["tag", &image, IMAGE_BEFORE]).await.unwrap();
    for (previous, image) in [(true, IMAGE_BEFORE), (false, &image)] {
        let within = Duration::from_secs(25);
        let begun = Instant::now();
        assert_eq!(
            stage.cluster.end_node("n3", within).await.unwrap(),
            Made::Yes
        );
        stage.tell(&format!(
            "n3 has ended, after {} ms",
            begun.elapsed().as_millis()
        ));
        assert!(!stage.answers("n3").await);
        let made = stage.cluster.start_node("n3", previous).await;
        assert_eq!(made.unwrap(), Made::Yes);
        stage.becomes_ready("n3").await;
        let id = stage.cluster.project.id("n3").unwrap();
        let words = ["docker", "inspect", "--format", "{{.Config.Image}}", id];
        let of = done(program(&words), "", WELL_WITHIN).await.unwrap();
        assert_eq!(of.trim(), image);
    }
    docker(&["image", "rm", IMAGE_BEFORE]).await.unwrap();
}

async fn nodes_stand_still(stage: &mut Stage) {
    assert_eq!(
        stage.cluster.halt_node("n2", true).await.unwrap(),
        Made::Yes
    );
    assert_eq!(
        stage.cluster.halt_node("n2", true).await.unwrap(),
        Made::Yes,
        "it is so"
    );
    assert!(!stage.answers("n2").await);
    stage
        .becomes("n2 is not listed", NOTICED_WITHIN, async || {
            !stage.listed("n2").await
        })
        .await;
    let ended = stage.cluster.end_node("n2", Duration::from_secs(1)).await;
    not(&ended.unwrap(), "n2 stands still");
    assert_eq!(
        stage.cluster.halt_node("n2", false).await.unwrap(),
        Made::Yes
    );
    stage
        .becomes("n2 is listed", WELL_WITHIN, async || {
            stage.listed("n2").await
        })
        .await;
    stage.becomes_ready("n2").await;
    stage.cluster.halt_node("n2", true).await.unwrap();
    assert_eq!(
        stage.cluster.kill_node("n2").await.unwrap(),
        Made::Yes,
        "still as it stands"
    );
    stage.cluster.start_node("n2", false).await.unwrap();
    stage.becomes_ready("n2").await;
}

async fn members_too(stage: &mut Stage) {
    assert_eq!(stage.cluster.kill_member("e1").await.unwrap(), Made::Yes);
    assert!(!stage.reads(0).await);
    stage
        .becomes("e2 reads", WELL_WITHIN, async || stage.reads(1).await)
        .await;
    assert_eq!(stage.cluster.start_member("e1").await.unwrap(), Made::Yes);
    stage
        .becomes("e1 reads", WELL_WITHIN, async || stage.reads(0).await)
        .await;

    assert_eq!(
        stage.cluster.halt_member("e3", true).await.unwrap(),
        Made::Yes
    );
    assert!(!stage.reads(2).await);
    assert_eq!(
        stage.cluster.halt_member("e3", false).await.unwrap(),
        Made::Yes
    );
    stage
        .becomes("e3 reads", WELL_WITHIN, async || stage.reads(2).await)
        .await;
    for node in stage.cluster.nodes() {
        stage.becomes_ready(&node).await;
    }
}

async fn leaders_resign_and_nodes_are_drained(stage: &mut Stage) {
    stage
        .becomes("someone leads", WELL_WITHIN, async || {
            stage.client.leader().await.is_some()
        })
        .await;
    let (made, ended) = admin::resign(&stage.client).await.unwrap();
    let ended = ended.unwrap();
    assert_eq!(made, Made::Yes);
    let history = stage.client.leader_history().await.unwrap();
    let reign = history
        .iter()
        .find(|reign| reign.term == ended.term)
        .unwrap();
    assert_eq!(reign.node, ended.node);
    let next = async || {
        stage
            .client
            .leader()
            .await
            .is_some_and(|node| node != ended.node)
    };
    stage.becomes("another one leads", WELL_WITHIN, next).await;

    assert_eq!(
        admin::drain(&stage.client, "n3", "a test").await.unwrap(),
        Made::Yes
    );
    assert!(admin::nodes(&stage.client).await.unwrap()["n3"].drained);
    assert_eq!(
        admin::undrain(&stage.client, "n3").await.unwrap(),
        Made::Yes
    );
    assert!(!admin::nodes(&stage.client).await.unwrap()["n3"].drained);
    not(
        &admin::drain(&stage.client, "n9", "a test").await.unwrap(),
        "404",
    );
}

/// An `http` task comes to a listener of this machine's, at the gateway.
async fn the_harness_is_reached(stage: &Stage) {
    let listener = tokio::net::TcpListener::bind((stage.cluster.gateway(), 0))
        .await
        .unwrap();
    let url = format!("http://{}/here", listener.local_addr().unwrap());
    let task = json!({ "kind": "http", "payload": { "url": url } });
    stage.client.submit_one(&task, "reached").await.unwrap();

    let (mut stream, from) = tokio::time::timeout(WELL_WITHIN, listener.accept())
        .await
        .unwrap()
        .unwrap();
    let mut line = [0; 9];
    stream.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"GET /here");
    stage.tell(&format!("a task came from {from}"));
}

async fn a_node_is_detached(stage: &mut Stage) {
    let off = cut(node("n1"), Side::All, true, How::Dropped);
    stage.is_cut(&off, true).await;
    assert_eq!(
        stage.cluster.containers().await.unwrap()["n1"].address,
        None
    );
    assert!(
        !stage.answers("n1").await,
        "its port is not published meanwhile"
    );
    stage
        .becomes("n1 is not listed", NOTICED_WITHIN, async || {
            !stage.listed("n1").await
        })
        .await;
    stage.is_cut(&off, false).await;
    stage.becomes_ready("n1").await;
    stage
        .becomes("n1 is listed", WELL_WITHIN, async || {
            stage.listed("n1").await
        })
        .await;
    // By its name too, which others look up.
    let open = async || stage.links("n2").await.contains("2 of 2 are open");
    stage.becomes("n2 has its links", WELL_WITHIN, open).await;

    // It may be killed meanwhile, and comes back where it was.
    stage.is_cut(&off, true).await;
    stage.cluster.kill_node("n1").await.unwrap();
    stage.is_cut(&off, false).await;
    assert_eq!(
        stage.cluster.start_node("n1", false).await.unwrap(),
        Made::Yes
    );
    stage.becomes_ready("n1").await;
}

async fn nodes_are_cut_from_etcd(stage: &mut Stage) {
    let to_etcd = |both, how| cut(node("n1"), Side::Members, both, how);
    stage
        .unready_while(to_etcd(false, How::Dropped), "n1")
        .await;
    stage
        .unready_while(cut(Side::Members, node("n1"), false, How::Dropped), "n1")
        .await;
    stage.unready_while(to_etcd(true, How::Reset), "n1").await;
    stage
        .unready_while(to_etcd(true, How::Lossy(100)), "n1")
        .await;

    for (how, reach) in [
        (How::Dropped, Reach::Silent),
        (How::Reset, Reach::Refused),
        (How::Lossy(100), Reach::Silent),
    ] {
        assert_eq!(stage.reach("n1", "e2", CLIENTS).await, Reach::Made);
        stage.is_cut(&to_etcd(false, how), true).await;
        assert_eq!(stage.reach("n1", "e2", CLIENTS).await, reach, "{how:?}");
        assert_eq!(
            stage.reach("n2", "e2", CLIENTS).await,
            Reach::Made,
            "of another"
        );
        assert!(
            stage.answers("n1").await,
            "from here it is reached all the same"
        );
        stage.is_cut(&to_etcd(false, how), false).await;
    }
    stage.becomes_ready("n1").await;
}

async fn nodes_are_cut_from_each_other(stage: &mut Stage) {
    let open = |count: &'static str| format!("{count} of 2 are open");
    stage
        .becomes("n2 has its links", WELL_WITHIN, async || {
            stage.links("n2").await.contains(&open("2"))
        })
        .await;
    let apart = cut(node("n2"), Side::Nodes, true, How::Reset);
    stage.is_cut(&apart, true).await;
    assert_eq!(stage.reach("n2", "n3", LINKS).await, Reach::Refused);
    assert_eq!(
        stage.reach("n3", "n1", LINKS).await,
        Reach::Made,
        "two others"
    );
    stage
        .becomes("n2 has no links", WELL_WITHIN, async || {
            stage.links("n2").await.contains(&open("0"))
        })
        .await;
    assert!(stage.ready("n2").await, "it has etcd");
    stage.is_cut(&apart, false).await;
    stage
        .becomes("n2 has its links", WELL_WITHIN, async || {
            stage.links("n2").await.contains(&open("2"))
        })
        .await;
}

async fn members_are_cut_from_each_other(stage: &mut Stage) {
    let alone = cut(member("e1"), Side::Members, true, How::Dropped);
    assert!(stage.reads(0).await);
    stage.is_cut(&alone, true).await;
    assert_eq!(stage.reach("e1", "e2", PEERS).await, Reach::Silent);
    assert_eq!(stage.reach("e3", "e2", PEERS).await, Reach::Made);
    stage
        .becomes("e1 does not read", NOTICED_WITHIN, async || {
            !stage.reads(0).await
        })
        .await;
    stage
        .becomes("e2 reads", WELL_WITHIN, async || stage.reads(1).await)
        .await;
    stage.is_cut(&alone, false).await;
    stage
        .becomes("e1 reads", WELL_WITHIN, async || stage.reads(0).await)
        .await;
    for node in stage.cluster.nodes() {
        stage.becomes_ready(&node).await;
    }
}

async fn a_cut_outlives_a_process(stage: &mut Stage) {
    for (how, reach) in [(How::Dropped, Reach::Silent), (How::Reset, Reach::Refused)] {
        let off = cut(node("n3"), member("e1"), false, how);
        stage.is_cut(&off, true).await;
        stage.cluster.kill_node("n3").await.unwrap();
        stage.cluster.start_node("n3", false).await.unwrap();
        assert_eq!(stage.reach("n3", "e1", CLIENTS).await, reach);
        assert_eq!(stage.reach("n3", "e2", CLIENTS).await, Reach::Made);
        stage.cluster.kill_member("e1").await.unwrap();
        stage.cluster.start_member("e1").await.unwrap();
        assert_eq!(stage.reach("n3", "e1", CLIENTS).await, reach);
        stage.is_cut(&off, false).await;
        stage
            .becomes("e1 reads", WELL_WITHIN, async || stage.reads(0).await)
            .await;
        assert_eq!(stage.reach("n3", "e1", CLIENTS).await, Reach::Made);
        stage.becomes_ready("n3").await;
    }
}

/// 60 kB in 200 kbit/s are 2.4 s; the first 10 kB go at once.
async fn a_way_is_narrow(stage: &mut Stage) {
    let narrow = cut(node("n1"), Side::Members, false, How::Narrow(200));
    let task = json!({ "kind": "noop", "payload": { "weight": "x".repeat(60_000) } });
    let mut took = Vec::new();
    for (nth, broken) in [(0, false), (1, true), (2, false)] {
        if nth > 0 {
            stage.is_cut(&narrow, broken).await;
        }
        stage.client.comes_home();
        let begun = Instant::now();
        stage
            .client
            .submit_one(&task, &format!("narrow {nth}"))
            .await
            .unwrap();
        took.push(begun.elapsed());
        stage.tell(&format!("60 kB took {:?}", took[nth]));
    }
    let least = Duration::from_millis(1_800);
    assert!(
        took[0] < least && took[1] > least && took[2] < least,
        "{took:?}"
    );
}

async fn what_cannot_be_done_is_told(stage: &mut Stage) {
    let late = How::Late {
        ms: 10,
        jitter_ms: 1,
    };
    let late = cut(node("n1"), Side::All, true, late);
    not(
        &stage.cluster.cut(&late, true).await.unwrap(),
        "without anything between",
    );
    not(
        &stage.cluster.set_clock("n1", 1).await.unwrap(),
        "wall clock",
    );
    not(&stage.cluster.slow_disk("e1", 1).await.unwrap(), "tracing");
    not(
        &stage.cluster.fill_disk(true).await.unwrap().0,
        "docker's own disk",
    );
    not(
        &stage.cluster.store(&Store::DeleteLeader).await.unwrap(),
        "done by the caller",
    );
    assert!(
        stage.cluster.kill_node("e1").await.is_err(),
        "it is a member"
    );
    assert!(
        stage.cluster.kill_member("n1").await.is_err(),
        "it is a node"
    );
}

async fn nothing_is_left(project: &str) {
    for what in ["container", "network", "volume"] {
        let label = format!("label=com.docker.compose.project={project}");
        let mut words = vec!["docker", what, "ls", "--quiet", "--filter", &label];
        if what == "container" {
            words.push("--all");
        }
        let left = done(program(&words), "", WELL_WITHIN).await.unwrap();
        assert_eq!(left, "", "a {what} of {project}");
    }
}
