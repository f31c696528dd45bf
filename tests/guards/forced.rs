//! Holds of those who are no task, taken away by an admin.

use tenure::store::{Change, Grant, Outside, Released, Verdict, encode, txns};
use tenure::task::Gate;
use tenure_cluster::Txn;

use super::common::{Lab, NOW, Writes, name};

const ID: u128 = 0x0192_f0c1_6c00_7abc_8def_0123_4567_8900;

fn gate() -> Gate {
    Gate::Lock(name("deploy"))
}

fn asked() -> Outside {
    Outside {
        weight: 1,
        holder: "somebody".to_owned(),
        since_ms: NOW,
        ttl_ms: 60_000,
    }
}

impl Lab {
    async fn lease(&self) -> i64 {
        let granted = self.store.connection().grant(60).await;
        granted.expect("etcd grants a lease").0
    }

    /// Somebody waits.
    async fn wanted_as(&self, gate: &Gate, id: u128) -> Grant {
        let lease = self.lease().await;
        self.must(&txns::want(self.keys(), gate, id, &asked(), lease))
            .await;
        Grant {
            gate: gate.clone(),
            id,
            want: self.seen(&self.keys().want(gate, id)).await,
            lease,
            rules: 0,
            now_ms: NOW + 1,
        }
    }

    /// Somebody holds; the fence.
    async fn held(&self) -> i64 {
        let grant = self.wanted_as(&gate(), ID).await;
        self.done(&Change::Grant(grant)).await
    }

    async fn wrote(&self, txn: &Txn) -> Writes {
        let before = self.all().await;
        self.must(txn).await;
        Writes::between(&before, &self.all().await)
    }
}

fn taken(fence: i64) -> Released {
    Released {
        gate: gate(),
        id: uuid::Uuid::from_u128(ID),
        fence,
        hold: asked(),
        at_ms: NOW,
        reason: "stuck".to_owned(),
    }
}

#[tokio::test]
async fn force_release_writes_the_hold_gone_and_a_record_and_the_oldest_record_gone() {
    let lab = Lab::start().await;
    let fence = lab.held().await;
    let old = lab.keys().released(1, &gate(), ID);
    lab.must(&Txn::new().put(&old, encode(&taken(1)))).await;
    let force = txns::force_release(lab.keys(), &taken(fence), std::slice::from_ref(&old));
    let (hold, record) = (
        lab.keys().hold(&gate(), ID),
        lab.keys().released(fence, &gate(), ID),
    );
    let expected = Writes::of(&[record], &[], &[hold, old]);
    assert_eq!(lab.wrote(&force).await, expected);
}

#[tokio::test]
async fn force_release_loses_by_hold_where_it_is_over() {
    let lab = Lab::start().await;
    let fence = lab.held().await;
    lab.must(&txns::release(lab.keys(), &gate(), ID, fence))
        .await;
    let force = txns::force_release(lab.keys(), &taken(fence), &[]);
    lab.refused_txn(&force, "hold").await;
}

#[tokio::test]
async fn force_release_loses_by_hold_to_its_own_copy() {
    let lab = Lab::start().await;
    let fence = lab.held().await;
    let force = txns::force_release(lab.keys(), &taken(fence), &[]);
    lab.must(&force).await;
    lab.refused_txn(&force, "hold").await;
}

#[tokio::test]
async fn force_release_loses_by_hold_where_the_hold_of_this_id_is_a_newer_one() {
    let lab = Lab::start().await;
    let fence = lab.held().await;
    let force = txns::force_release(lab.keys(), &taken(fence), &[]);
    lab.must(&txns::release(lab.keys(), &gate(), ID, fence))
        .await;
    assert!(lab.held().await > fence, "fences rise");
    lab.refused_txn(&force, "hold").await;
}

/// Also of one whose record is, by whatever is wrong with the records, among those that go: etcd refuses a put and a delete of one key.
#[tokio::test]
async fn force_release_writes_its_own_record_and_never_forgets_it() {
    let lab = Lab::start().await;
    let fence = lab.held().await;
    let record = lab.keys().released(fence, &gate(), ID);
    let force = txns::force_release(lab.keys(), &taken(fence), std::slice::from_ref(&record));
    let hold = lab.keys().hold(&gate(), ID);
    assert_eq!(lab.wrote(&force).await, Writes::of(&[record], &[], &[hold]));
}

#[tokio::test]
async fn force_release_of_one_of_those_with_one_fence_takes_no_other_and_each_has_its_record() {
    let lab = Lab::start().await;
    // One id under two names, and two ids under one.
    let holds = [
        (gate(), ID),
        (gate(), ID + 1),
        (Gate::Lock(name("other")), ID),
    ];
    let mut grants = Vec::new();
    for (gate, id) in &holds {
        grants.push(Change::Grant(lab.wanted_as(gate, *id).await));
    }
    let verdicts = lab.store.commit_batch(None, &grants).await;
    let fences = verdicts.iter().map(|verdict| match verdict {
        Verdict::Committed { revision } => *revision,
        other @ (Verdict::Refused { .. } | Verdict::Unknown(_) | Verdict::Unavailable(_)) => {
            panic!("{other:?}")
        }
    });
    let fences: Vec<i64> = fences.collect();
    assert!(fences.iter().all(|fence| *fence == fences[0]), "{fences:?}");

    for (gate, id) in &holds {
        let taken = Released {
            gate: gate.clone(),
            id: uuid::Uuid::from_u128(*id),
            ..taken(fences[0])
        };
        let record = lab.keys().released(fences[0], gate, *id);
        let hold = lab.keys().hold(gate, *id);
        let force = txns::force_release(lab.keys(), &taken, &[]);
        assert_eq!(lab.wrote(&force).await, Writes::of(&[record], &[], &[hold]));
    }
}
