//! All randomness of the process, from the seed: stands in for the system's `getrandom`. Never asks the system.
//!
//! Keys of hash maps, the order in which `select!` looks, random ids and jitter all begin at `getrandom`, so one seed gives one
//! run. One process runs one seed: a second run in the same process would find the generator where the first left it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where the generator is. The same start for every process until [`sow`] is called.
static STATE: AtomicU64 = AtomicU64::new(0x7465_6e75_7265);

/// Starts the generator from a seed; called before anything else runs.
pub(crate) fn sow(seed: u64) {
    STATE.store(mixed(seed), Ordering::Relaxed);
}

/// The next 64 bits of `SplitMix64` (Steele, Lea, Flood 2014).
fn next() -> u64 {
    mixed(STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
}

fn mixed(state: u64) -> u64 {
    let a = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

/// What the system's function of this name does, but from the seed.
///
/// # Safety
/// As for the system's: `buffer` is writable for `len` bytes.
#[allow(
    unsafe_code,
    reason = "the symbol that the linker takes in place of the system's"
)]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, len: usize, _flags: u32) -> isize {
    let mut at = 0;
    while at < len {
        let word = next().to_le_bytes();
        let count = word.len().min(len - at);
        // SAFETY: at + count <= len, and the caller vouches for len bytes.
        unsafe { std::ptr::copy_nonoverlapping(word.as_ptr(), buffer.add(at), count) };
        at += count;
    }
    isize::try_from(len).expect("no buffer is longer than isize")
}
