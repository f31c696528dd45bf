//! Who holds and who waits, as it stands in the keys. Never a fence.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::read::{KeyValue, Range, ReadError};

/// Holders or waiters at one revision: a look, which may have changed when you read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The revision at which it is so.
    pub revision: i64,
    /// Oldest first.
    pub entries: Vec<Listed>,
}

/// Who holds or waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// The text given to `acquire`; the whole value where that cannot be read.
    pub holder: String,
    /// How much it holds or waits for; 0 where the value cannot be read.
    pub weight: u32,
    /// The key's create revision: the fencing token of who holds, the place in the queue of who waits.
    pub revision: i64,
    /// The lease it goes with.
    pub lease: i64,
}

/// The value of an entry or permit.
#[derive(Serialize, Deserialize)]
struct Card {
    holder: String,
    weight: u32,
}

impl Listing {
    /// How many revisions ago an entry came into being.
    pub fn age(&self, entry: &Listed) -> i64 {
        self.revision.saturating_sub(entry.revision)
    }
}

/// The value by which a holder is told, in JSON.
pub(super) fn card(holder: &str, weight: u32) -> Bytes {
    let holder = holder.to_owned();
    let card = serde_json::to_vec(&Card { holder, weight });
    card.expect("text and a number are JSON").into()
}

/// What a key's value says, or nothing where it cannot be read.
pub(super) fn read(kv: &KeyValue) -> Option<Listed> {
    let card: Card = serde_json::from_slice(&kv.value).ok()?;
    Some(Listed {
        key: kv.key.clone(),
        holder: card.holder,
        weight: card.weight,
        revision: kv.create_revision,
        lease: kv.lease,
    })
}

/// Lists what is below a prefix, but for one key.
pub(super) async fn list(
    connection: &Connection,
    prefix: &str,
    but: &str,
) -> Result<Listing, ReadError> {
    let page = connection.range(&Range::prefix(prefix)).await?;
    let others = page.kvs.iter().filter(|kv| kv.key != but);
    let mut entries: Vec<Listed> = others.map(listed).collect();
    entries.sort_by_key(|entry| entry.revision);
    Ok(Listing {
        revision: page.revision,
        entries,
    })
}

fn listed(kv: &KeyValue) -> Listed {
    read(kv).unwrap_or_else(|| Listed {
        key: kv.key.clone(),
        holder: String::from_utf8_lossy(&kv.value).into_owned(),
        weight: 0,
        revision: kv.create_revision,
        lease: kv.lease,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_reads_as_it_was_written_and_nonsense_is_shown_as_it_is() {
        let kv = |value: Bytes| KeyValue {
            key: "/s/queue/1".into(),
            value,
            create_revision: 7,
            mod_revision: 9,
            version: 2,
            lease: 3,
        };
        let entry = |holder: &str, weight| Listed {
            key: "/s/queue/1".into(),
            holder: holder.into(),
            weight,
            revision: 7,
            lease: 3,
        };

        assert_eq!(
            card("a \"b\"", 2),
            r#"{"holder":"a \"b\"","weight":2}"#.as_bytes()
        );
        assert_eq!(listed(&kv(card("a", 2))), entry("a", 2));
        assert_eq!(listed(&kv("by hand".into())), entry("by hand", 0));
        assert!(read(&kv(r#"{"holder":"a","weight":-1}"#.into())).is_none());
    }
}
