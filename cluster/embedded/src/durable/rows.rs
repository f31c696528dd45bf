//! What the file holds: tables, and how an effect becomes rows.

use std::collections::VecDeque;

use prost::Message;
use redb::{Database, TableDefinition};

use crate::engine::{Alarm, Effect, RecordId};

/// The version of all below; another one is refused.
pub(crate) const FORMAT: i64 = 1;

/// By revision and place in it: the key as written, or its key and revision alone where it was deleted.
pub(crate) const LOG: TableDefinition<'_, RecordId, &[u8]> = TableDefinition::new("log");
/// By id: the TTL in seconds.
pub(crate) const LEASES: TableDefinition<'_, i64, i64> = TableDefinition::new("leases");
/// By name, those below.
pub(crate) const META: TableDefinition<'_, &str, i64> = TableDefinition::new("tenure-embedded");

/// [`FORMAT`].
pub(crate) const META_FORMAT: &str = "format";
/// The last revision.
pub(crate) const META_REVISION: &str = "revision";
/// The compacted revision.
pub(crate) const META_COMPACTED: &str = "compacted";
/// The alarm about space: 0 none, 1 raised by the quota, 2 by a client.
pub(crate) const META_NO_SPACE: &str = "no-space";
/// How often the directory was opened.
pub(crate) const META_OPENS: &str = "opens";

/// 2,000 rows of compacted history dropped in one commit: a few milliseconds beside its fsync.
const DROPPED_PER_COMMIT: usize = 2_000;

/// The row of an alarm.
pub(super) fn alarm_row(raised: Option<Alarm>) -> i64 {
    match raised {
        None => 0,
        Some(Alarm::Quota) => 1,
        Some(Alarm::Asked) => 2,
    }
}

/// The alarm of a row; what is not known is none.
pub(crate) fn alarm(row: Option<i64>) -> Option<Alarm> {
    match row {
        Some(1) => Some(Alarm::Quota),
        Some(2) => Some(Alarm::Asked),
        _ => None,
    }
}

/// Writes effects and drops some of what was compacted, in one transaction that is on disk when this returns.
pub(crate) fn commit(
    database: &Database,
    effects: &[Effect],
    dropped: &mut VecDeque<RecordId>,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut log = transaction.open_table(LOG)?;
        let mut leases = transaction.open_table(LEASES)?;
        let mut meta = transaction.open_table(META)?;
        for effect in effects {
            match effect {
                Effect::Wrote(records) => {
                    for record in records {
                        let id = (record.kv.mod_revision, record.sub);
                        log.insert(id, record.kv.encode_to_vec().as_slice())?;
                        meta.insert(META_REVISION, record.kv.mod_revision)?;
                    }
                }
                Effect::Granted { id, ttl_secs } => drop(leases.insert(id, ttl_secs)?),
                Effect::Ended { id } => drop(leases.remove(id)?),
                Effect::Compacted {
                    revision,
                    dropped: rows,
                } => {
                    meta.insert(META_COMPACTED, revision)?;
                    dropped.extend(rows);
                }
                Effect::NoSpace(raised) => drop(meta.insert(META_NO_SPACE, alarm_row(*raised))?),
            }
        }
        for id in dropped.drain(..dropped.len().min(DROPPED_PER_COMMIT)) {
            log.remove(id)?;
        }
    }
    transaction.commit()?;
    Ok(())
}
