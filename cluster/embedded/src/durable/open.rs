//! Opens a directory, or refuses it. A new one is made under another name and renamed when complete.

use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Builder, Database, DatabaseError};

use super::error::OpenError;
use super::load::{Loaded, load};
use super::rows::{FORMAT, LEASES, LOG, META, META_FORMAT, META_OPENS};

/// What a directory holds, and the name the file has until it is complete.
const STORE: &str = "store.redb";
const UNFINISHED: &str = "store.redb.new";
const LOCK: &str = "lock";

/// 16 MiB of the file's pages kept in memory: what is read is in the state machine already.
const CACHE_BYTES: usize = 16 << 20;

/// An open directory. Whoever holds the file holds its lock.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) lock: File,
    pub(crate) loaded: Loaded,
}

/// Opens a directory, making it where there is none.
///
/// # Errors
/// It is in use, not ours, damaged, or cannot be read or written.
pub(crate) fn open(dir: &Path) -> Result<Opened, OpenError> {
    let io = |source| OpenError::Io {
        dir: dir.to_owned(),
        source,
    };
    fs::create_dir_all(dir).map_err(io)?;
    refuse_foreign(dir)?;
    let lock = lock(dir)?;
    if !dir.join(STORE).try_exists().map_err(io)? {
        create(dir)?;
    }
    // redb checks its pages, and in some places by an assertion.
    let opened = catch_unwind(AssertUnwindSafe(|| read(dir)));
    let (database, loaded) =
        opened.unwrap_or_else(|_| Err(OpenError::damaged(dir, &"redb gave up on it")))?;
    Ok(Opened {
        database,
        lock,
        loaded,
    })
}

impl OpenError {
    pub(super) fn damaged(dir: &Path, reason: &dyn ToString) -> Self {
        Self::Damaged {
            dir: dir.to_owned(),
            reason: reason.to_string(),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "redb's list of errors is open; what is neither of these is damage"
    )]
    fn of_redb(dir: &Path, error: &redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse {
                dir: dir.to_owned(),
            },
            redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => Self::Io {
                dir: dir.to_owned(),
                source: io::Error::new(source.kind(), source.to_string()),
            },
            other => Self::damaged(dir, other),
        }
    }
}

/// Refuses a directory with anything in it but what we make.
fn refuse_foreign(dir: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io {
        dir: dir.to_owned(),
        source,
    };
    if dir.join(STORE).try_exists().map_err(io)? {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if name != LOCK && name != UNFINISHED {
            return Err(OpenError::Foreign {
                dir: dir.to_owned(),
                found: format!("{} is there, {STORE} is not", name.display()),
            });
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io {
        dir: dir.to_owned(),
        source,
    };
    let file = File::create(dir.join(LOCK)).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

fn create(dir: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io {
        dir: dir.to_owned(),
        source,
    };
    let unfinished = dir.join(UNFINISHED);
    if unfinished.try_exists().map_err(io)? {
        fs::remove_file(&unfinished).map_err(io)?;
    }
    let made = (|| -> Result<(), redb::Error> {
        let database = Builder::new().create(&unfinished)?;
        let transaction = database.begin_write()?;
        transaction.open_table(LOG)?;
        transaction.open_table(LEASES)?;
        transaction.open_table(META)?.insert(META_FORMAT, FORMAT)?;
        transaction.commit()?;
        Ok(())
    })();
    made.map_err(|error| OpenError::of_redb(dir, &error))?;
    fs::rename(&unfinished, dir.join(STORE)).map_err(io)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)
}

fn read(dir: &Path) -> Result<(Database, Loaded), OpenError> {
    let of_redb = |error: redb::Error| OpenError::of_redb(dir, &error);
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    let mut database = builder
        .open(dir.join(STORE))
        .map_err(|error: DatabaseError| of_redb(error.into()))?;
    // Every page's checksum; a file that was not closed in order was already brought back to its last commit.
    let whole = database
        .check_integrity()
        .map_err(|error| of_redb(error.into()))?;
    if !whole {
        return Err(OpenError::damaged(dir, &"a checksum is wrong"));
    }
    let loaded = load(&database, dir)?;
    count_opening(&database, loaded.opens + 1).map_err(of_redb)?;
    Ok((database, loaded))
}

fn count_opening(database: &Database, opens: i64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(META_OPENS, opens)?;
    transaction.commit()?;
    Ok(())
}
