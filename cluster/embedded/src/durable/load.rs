//! From rows back to a state machine's parts.

use std::path::Path;
use std::time::Duration;

use etcd_client::proto::PbKeyValue;
use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable};

use super::error::OpenError;
use super::rows::{
    FORMAT, LEASES, LOG, META, META_COMPACTED, META_FORMAT, META_NO_SPACE, META_OPENS,
    META_REVISION, alarm,
};
use crate::engine::{Alarm, Lessor, Record, RecordId, Store};

/// What a directory held.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) store: Store,
    pub(crate) lessor: Lessor,
    pub(crate) no_space: Option<Alarm>,
    /// How often the directory was opened before.
    pub(crate) opens: i64,
    /// Compacted, and still in the file.
    pub(crate) dropped: Vec<RecordId>,
}

/// Reads everything. Leases have their full TTL, as after a restart of etcd.
pub(crate) fn load(database: &Database, dir: &Path) -> Result<Loaded, OpenError> {
    let foreign = |found: String| OpenError::Foreign {
        dir: dir.to_owned(),
        found,
    };
    let broken = |error: redb::Error| OpenError::damaged(dir, &error);
    let read = database
        .begin_read()
        .map_err(|error| broken(error.into()))?;
    let meta = read
        .open_table(META)
        .map_err(|error| foreign(error.to_string()))?;
    let get = |name: &str| -> Result<Option<i64>, OpenError> {
        let found = meta.get(name).map_err(|error| broken(error.into()))?;
        Ok(found.map(|value| value.value()))
    };
    match get(META_FORMAT)? {
        Some(FORMAT) => {}
        Some(version) => {
            return Err(OpenError::Version {
                dir: dir.to_owned(),
                version,
            });
        }
        None => return Err(foreign("no format".to_owned())),
    }
    let revision = get(META_REVISION)?.unwrap_or(Store::default().revision());
    let compacted = get(META_COMPACTED)?.unwrap_or(Store::default().compacted());
    let records = records(&read, revision).map_err(|error| OpenError::damaged(dir, &error))?;
    let (store, dropped) = Store::rebuild(records, revision, compacted);
    let lessor = lessor(&read, &store).map_err(broken)?;
    Ok(Loaded {
        store,
        lessor,
        no_space: alarm(get(META_NO_SPACE)?),
        opens: get(META_OPENS)?.unwrap_or(0),
        dropped,
    })
}

fn records(read: &redb::ReadTransaction, revision: i64) -> Result<Vec<Record>, String> {
    let log = read.open_table(LOG).map_err(|error| error.to_string())?;
    let mut records = Vec::new();
    for row in log.iter().map_err(|error| error.to_string())? {
        let (id, kv) = row.map_err(|error| error.to_string())?;
        let (at, sub) = id.value();
        let kv = PbKeyValue::decode(kv.value())
            .map_err(|error| format!("row {sub} of revision {at}: {error}"))?;
        if kv.mod_revision != at || at > revision || kv.key.is_empty() {
            return Err(format!(
                "row {sub} of revision {at} is not of that revision"
            ));
        }
        records.push(Record { kv, sub });
    }
    Ok(records)
}

fn lessor(read: &redb::ReadTransaction, store: &Store) -> Result<Lessor, redb::Error> {
    let mut lessor = Lessor::default();
    for row in read.open_table(LEASES)?.iter()? {
        let (id, ttl_secs) = row?;
        // What was granted is not too large, and a table has no key twice.
        let _ = lessor.grant(Duration::ZERO, id.value(), ttl_secs.value());
    }
    lessor.renew_all(Duration::ZERO);
    for record in store.live() {
        lessor.attach(record.kv.lease, &record.kv.key);
    }
    Ok(lessor)
}
