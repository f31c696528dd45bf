//! Leases and space, one rule of etcd a row.

use std::time::Duration;

use etcd_client::proto::{PbCompactionRequest, PbLeaseTimeToLiveRequest, PbPutRequest};

use super::super::{Engine, Error, Identity};
use super::{deletes, engine, grant, put, puts, range, txn};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn leases_end_by_etcds_rules() {
    let mut engine = engine();
    let table = [
        (grant(1, 1), Ok(2)),
        (grant(2, -5), Ok(2)),
        (grant(3, 60), Ok(60)),
        (grant(3, 60), Err(Error::LeaseExists)),
        (grant(4, 9_000_000_001), Err(Error::LeaseTtlTooLarge)),
    ];
    for (request, ttl) in table {
        let answer = engine.grant(secs(0), &request).map(|answer| answer.ttl);
        assert_eq!(answer, ttl, "{request:?}");
    }
    engine
        .put(PbPutRequest {
            lease: 1,
            ..put(b"a", b"")
        })
        .unwrap();
    engine
        .put(PbPutRequest {
            lease: 3,
            ..put(b"a", b"")
        })
        .unwrap();
    engine
        .put(PbPutRequest {
            lease: 1,
            ..put(b"b", b"")
        })
        .unwrap();
    let ids = |engine: &Engine| {
        engine
            .leases()
            .leases
            .iter()
            .map(|lease| lease.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&engine), [1, 2, 3]);
    assert_eq!(engine.keep_alive(secs(1), 2), 2);

    engine.end_leases(secs(2));

    assert_eq!(ids(&engine), [2, 3]);
    assert_eq!(engine.store().revision(), 5);
    assert_eq!(engine.range(&range(b"\0", b"\0")).unwrap().count, 1);
    let request = PbLeaseTimeToLiveRequest { id: 3, keys: true };
    let left = engine.time_to_live(Duration::from_millis(2_500), &request);
    assert_eq!(
        (left.ttl, left.granted_ttl, left.keys),
        (57, 60, vec![b"a".to_vec()])
    );
    // Over, though no scan has seen it: not renewed.
    assert_eq!(engine.keep_alive(secs(3), 2), 0);
    engine.change_leader(secs(59));
    engine.end_leases(secs(119));
    assert_eq!(ids(&engine), [3]);
    engine.end_leases(secs(120));
    assert_eq!((ids(&engine), engine.store().get(b"a")), (vec![], None));
}

#[test]
fn a_full_quota_refuses_puts_and_grants_until_the_alarm_is_lowered() {
    let identity = Identity {
        member: 1,
        cluster: 2,
        quota_bytes: Some(2_000),
        lease_seed: 1,
    };
    let mut engine = Engine::new(identity);
    engine.put(put(b"a", &[0; 1_000])).unwrap();
    assert_eq!(
        engine.put(put(b"b", &[0; 1_000])).err(),
        Some(Error::NoSpace)
    );

    assert_eq!(engine.put(put(b"c", b"")).err(), Some(Error::NoSpace));
    assert_eq!(
        engine.grant(secs(0), &grant(0, 5)).err(),
        Some(Error::NoSpace)
    );
    assert_eq!(
        engine.txn(txn(vec![], vec![puts(b"c")], vec![])).err(),
        Some(Error::NoSpace)
    );
    assert_eq!(engine.status().errors.len(), 1);
    let gone = engine
        .txn(txn(vec![], vec![deletes(b"a", b"")], vec![]))
        .unwrap();
    engine
        .compact(&PbCompactionRequest {
            revision: gone.header.unwrap().revision,
            physical: false,
        })
        .unwrap();
    assert_eq!(engine.put(put(b"c", b"")).err(), Some(Error::NoSpace));

    engine.lower_no_space();
    assert!(engine.put(put(b"c", b"")).is_ok());
}
