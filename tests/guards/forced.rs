//! Holds of those who are no task, taken away by an admin.

use tenure::store::{Change, Grant, Outside, Released, encode, txns};
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
    async fn wanted(&self) -> Grant {
        let lease = self.lease().await;
        self.must(&txns::want(self.keys(), &gate(), ID, &asked(), lease))
            .await;
        Grant {
            gate: gate(),
            id: ID,
            want: self.seen(&self.keys().want(&gate(), ID)).await,
            lease,
            rules: 0,
            now_ms: NOW + 1,
        }
    }

    /// Somebody holds; the fence.
    async fn held(&self) -> i64 {
        let grant = self.wanted().await;
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
    let old = lab.keys().released(1);
    lab.must(&Txn::new().put(&old, encode(&taken(1)))).await;
    let force = txns::force_release(lab.keys(), &taken(fence), std::slice::from_ref(&old));
    let (hold, record) = (lab.keys().hold(&gate(), ID), lab.keys().released(fence));
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
