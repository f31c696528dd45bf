//! Spreading work over time by stable hashes: `H` in expressions, and jitter.

use sha2::{Digest, Sha256};

use super::Part;

/// How much later than `due_ms` the schedule `seed` fires, 0 to `max_ms`: the first eight bytes of SHA-256 over seed, a zero
/// byte and `due_ms` (big-endian), modulo `max_ms + 1`. So any node finds the same, and it stays the same.
pub fn jitter(seed: &str, due_ms: u64, max_ms: u64) -> u64 {
    let Some(choices) = max_ms.checked_add(1) else {
        return hash(seed, &due_ms.to_be_bytes());
    };
    hash(seed, &due_ms.to_be_bytes()) % choices
}

/// Which of `choices` values an `H` of the schedule `name` takes in a part: as [`jitter`], over the part's name.
pub(super) fn pick(name: &str, part: Part, choices: u64) -> u64 {
    hash(name, part.as_str().as_bytes()) % choices
}

fn hash(seed: &str, what: &[u8]) -> u64 {
    let digest = Sha256::new()
        .chain_update(seed)
        .chain_update([0])
        .chain_update(what)
        .finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
