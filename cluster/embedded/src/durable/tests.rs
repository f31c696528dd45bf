//! What happens when the disk fails, on a disk that can.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use etcd_client::proto::{PbKeyValue, PbLeaseGrantRequest, PbPutRequest, PbRangeRequest};
use redb::backends::InMemoryBackend;
use redb::{Builder, StorageBackend};

use super::Journal;
use super::journal::PENDING_BYTES_MAX;
use super::rows::{alarm, alarm_row};
use crate::engine::{Alarm, Effect, Engine, Lessor, Record, Store};
use crate::options::Options;
use crate::server::{Core, Gate};

/// A disk whose fsync can fail, and waits while somebody holds it.
#[derive(Debug)]
struct Disk {
    memory: InMemoryBackend,
    broken: Arc<AtomicBool>,
    held: Arc<Mutex<()>>,
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
        let _free = self.held.lock().expect("nobody panics while holding it");
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("no more disk"));
        }
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.memory.write(offset, data)
    }
}

/// Writes to a disk that breaks, or waits, when it is told to.
struct Writing {
    journal: Journal,
    gate: Arc<Gate>,
    broken: Arc<AtomicBool>,
    held: Arc<Mutex<()>>,
}

fn writing() -> Writing {
    let (broken, held) = (Arc::<AtomicBool>::default(), Arc::<Mutex<()>>::default());
    let disk = Disk {
        memory: InMemoryBackend::new(),
        broken: Arc::clone(&broken),
        held: Arc::clone(&held),
    };
    let database = Builder::new().create_with_backend(disk).unwrap();
    let gate = Arc::new(Gate::new(1));
    let journal = Journal::start(database, None, Vec::new(), Arc::clone(&gate)).unwrap();
    Writing {
        journal,
        gate,
        broken,
        held,
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

#[test]
fn who_raised_the_alarm_is_read_as_it_was_written() {
    for raised in [None, Some(Alarm::Quota), Some(Alarm::Asked)] {
        assert_eq!(alarm(Some(alarm_row(raised))), raised);
    }
    assert_eq!(alarm(None), None, "nothing was ever raised");
}

#[tokio::test]
async fn what_was_not_written_is_neither_acknowledged_nor_shown_and_nothing_goes_on() {
    let Writing {
        journal,
        gate,
        broken,
        ..
    } = writing();
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

#[test]
fn while_too_much_waits_for_the_disk_only_leases_are_renewed() {
    let Writing {
        journal,
        gate,
        held,
        ..
    } = writing();
    let identity = Options::default().identity();
    let engine = Engine::restore(identity, Store::default(), Lessor::default(), None);
    let core = Core::new(engine, None, gate, Some(journal));
    let put = |bytes: usize| {
        core.apply(move |engine, _| {
            engine.put(PbPutRequest {
                key: b"a".to_vec(),
                value: vec![0; bytes],
                ..PbPutRequest::default()
            })
        })
    };
    let read = PbRangeRequest {
        key: b"a".to_vec(),
        ..PbRangeRequest::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();

    let disk = held.lock().expect("nobody panics while holding it");
    let granted = core.control(|engine, now| {
        let request = PbLeaseGrantRequest { ttl: 5, id: 7 };
        engine.grant(now, &request).unwrap().id
    });
    let (waiting, refused, refused_read) = runtime.block_on(async {
        let mut waiting = Vec::new();
        // What the thread has taken for its next commit does not count, so some more than the bound.
        let refused = loop {
            let mut sent = Box::pin(put(1 << 20));
            match futures::poll!(&mut sent) {
                Poll::Pending => waiting.push(sent),
                Poll::Ready(answer) => break answer.unwrap_err(),
            }
        };
        let refused_read = core.apply(|engine, _| engine.range(&read)).await;
        let renewal = std::pin::pin!(core.keep_alive(granted));
        let Poll::Ready(Ok(renewed)) = futures::poll!(renewal) else {
            panic!("a renewal writes nothing and waits for nothing")
        };
        assert_eq!(renewed.ttl, 5);
        assert_eq!(renewed.header.unwrap().revision, 1, "what may be shown");
        let gone = std::pin::pin!(core.keep_alive(8));
        assert!(
            futures::poll!(gone).is_pending(),
            "that it is gone is told when it is written"
        );
        (waiting, refused, refused_read)
    });
    drop(disk);

    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert_eq!(refused.message(), "etcdserver: too many requests");
    assert!(refused_read.is_err());
    let taken = waiting.len() << 20;
    assert!(taken >= PENDING_BYTES_MAX, "refused after {taken}");
    assert!(taken <= 2 * PENDING_BYTES_MAX + (2 << 20), "{taken} taken");
    runtime.block_on(async {
        for answer in waiting {
            answer.await.unwrap();
        }
        put(1).await.unwrap();
    });
    core.close();
    core.join();
}
