//! What happens when the disk fails, on a disk that can.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_client::proto::PbKeyValue;
use redb::backends::InMemoryBackend;
use redb::{Builder, StorageBackend};

use super::Journal;
use crate::engine::{Effect, Record};
use crate::server::Gate;

/// A disk whose fsync can fail.
#[derive(Debug)]
struct Disk {
    memory: InMemoryBackend,
    broken: Arc<AtomicBool>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("no more disk"));
        }
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.memory.write(offset, data)
    }
}

fn wrote(revision: i64) -> Vec<Effect> {
    let kv = PbKeyValue {
        key: b"a".to_vec(),
        version: 1,
        create_revision: revision,
        mod_revision: revision,
        ..PbKeyValue::default()
    };
    vec![Effect::Wrote(vec![Arc::new(Record { kv, sub: 0 })])]
}

#[tokio::test]
async fn what_was_not_written_is_neither_acknowledged_nor_shown_and_nothing_goes_on() {
    let broken = Arc::new(AtomicBool::new(false));
    let disk = Disk {
        memory: InMemoryBackend::new(),
        broken: Arc::clone(&broken),
    };
    let database = Builder::new().create_with_backend(disk).unwrap();
    let gate = Arc::new(Gate::new(1));
    let journal = Journal::start(database, None, Vec::new(), Arc::clone(&gate)).unwrap();
    let written = journal.push(wrote(2), 2);
    gate.settled(written).await.unwrap();
    assert_eq!(gate.visible(), 2);

    broken.store(true, Ordering::SeqCst);
    let lost = journal.push(wrote(3), 3);

    let error = gate.settled(lost).await.unwrap_err();
    assert!(error.message().contains("no more disk"), "{error}");
    assert_eq!(gate.visible(), 2);
    assert!(gate.failure().await.contains("no more disk"));
    let refused = gate.refuse_closed().unwrap_err();
    assert!(refused.message().contains("no more disk"), "{refused}");
    assert!(gate.generation().is_err());
}
