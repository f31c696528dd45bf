//! Each way that can be broken is broken between real containers, is seen to be, and is mended.

use super::stage::{NOTICED_WITHIN, Reach, Stage, WELL_WITHIN, cut, member, node};
use crate::target::{Hands as _, How, Made, Side};
use serde_json::json;
use std::time::{Duration, Instant};

/// Where etcd answers clients, and other members, and where nodes answer each other, in containers.
const CLIENTS: u16 = 2379;
const PEERS: u16 = 2380;
const LINKS: u16 = 9700;

pub(super) async fn a_node_is_detached(stage: &mut Stage) {
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

pub(super) async fn nodes_are_cut_from_etcd(stage: &mut Stage) {
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

pub(super) async fn nodes_are_cut_from_each_other(stage: &mut Stage) {
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

pub(super) async fn members_are_cut_from_each_other(stage: &mut Stage) {
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

pub(super) async fn a_cut_outlives_a_process(stage: &mut Stage) {
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
pub(super) async fn a_way_is_narrow(stage: &mut Stage) {
    let narrow = cut(node("n1"), Side::Members, false, How::Narrow(200));
    let least = Duration::from_millis(1_800);
    let quick = async || submitted(stage).await < least / 2;
    stage.becomes("60 kB go quickly", WELL_WITHIN, quick).await;
    stage.is_cut(&narrow, true).await;
    let took = submitted(stage).await;
    stage.tell(&format!("60 kB took {took:?}"));
    assert!(took > least, "{took:?}");
    stage.is_cut(&narrow, false).await;
    let quick = async || submitted(stage).await < least / 2;
    stage.becomes("60 kB go quickly", WELL_WITHIN, quick).await;
}

/// How long it takes n1 to take in a task of 60 kB.
async fn submitted(stage: &Stage) -> Duration {
    let task = json!({ "kind": "noop", "payload": { "weight": "x".repeat(60_000) } });
    stage.client.comes_home();
    let key = crate::cluster::new_token().unwrap();
    let begun = Instant::now();
    stage.client.submit_one(&task, &key).await.unwrap();
    begun.elapsed()
}
