//! A real cluster of containers: everything that can be done to it is done, and seen from outside to have been done. Skipped unless
//! `TENURE_CHAOS_COMPOSE=1`, with the reason.

mod cuts;
mod stage;

use super::*;
use crate::target::existing::{self, Existing};
use crate::target::{How, Side, admin};
use serde_json::json;
use stage::{IMAGE_BEFORE, NOTICED_WITHIN, Stage, WELL_WITHIN, cut, node, options, wanted};
use tokio::io::AsyncReadExt as _;

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
    an_existing_one_bears_what_is_safe(&stage).await;
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

    cuts::a_node_is_detached(&mut stage).await;
    cuts::nodes_are_cut_from_etcd(&mut stage).await;
    cuts::nodes_are_cut_from_each_other(&mut stage).await;
    cuts::members_are_cut_from_each_other(&mut stage).await;
    cuts::a_cut_outlives_a_process(&mut stage).await;
    cuts::a_way_is_narrow(&mut stage).await;
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

/// The same cluster as one that is not ours: it is left as it was.
async fn an_existing_one_bears_what_is_safe(stage: &Stage) {
    let nodes = stage.cluster.nodes();
    let servers = nodes
        .iter()
        .map(|node| stage.cluster.address(node).unwrap());
    let there = existing::Options {
        servers: servers.collect(),
        token: stage.token.clone(),
        etcd: stage.cluster.endpoints(),
        cluster: "chaos".to_owned(),
    };
    let mut there = Existing::find(there).await.unwrap();
    assert_eq!((there.nodes(), there.root()), (nodes, Compose::root()));

    not(&there.kill_node("n1").await.unwrap(), "is not hurt");
    assert_eq!(there.cut_clients("n1", true).await.unwrap(), Made::Yes);
    let live = format!("{}/livez", there.address("n1").unwrap());
    assert!(!stage.client.says_yes(&live).await);
    assert!(stage.answers("n1").await, "another way to it is as it was");
    assert_eq!(there.cut_clients("n1", false).await.unwrap(), Made::Yes);
    assert!(stage.client.says_yes(&live).await);

    assert_eq!(there.resign(&stage.client).await.unwrap(), Made::Yes);
    let drained = there.drain(&stage.client, "n2", true).await;
    assert_eq!(drained.unwrap(), Made::Yes);
    assert!(admin::nodes(&stage.client).await.unwrap()["n2"].drained);
    there.close().await.unwrap();
    assert!(!admin::nodes(&stage.client).await.unwrap()["n2"].drained);
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
