//! What a scenario is where its file does not say.

use super::Length;

pub(super) fn duration() -> Length {
    Length::secs(90)
}
pub(super) fn chapter() -> Length {
    Length::secs(300)
}
pub(super) fn one() -> u8 {
    1
}
pub(super) fn three() -> u8 {
    3
}
pub(super) fn slots() -> u32 {
    12
}
pub(super) fn gap_ms() -> [u64; 2] {
    [500, 2_000]
}
pub(super) fn clients() -> u16 {
    4
}
pub(super) fn pause_ms() -> [u64; 2] {
    [60, 180]
}
pub(super) fn reads_ms() -> u64 {
    500
}
pub(super) fn share() -> u32 {
    1
}
pub(super) fn batch() -> [u64; 2] {
    [1, 1]
}
pub(super) fn weight() -> [u64; 2] {
    [1, 1]
}
pub(super) fn held_ms() -> [u64; 2] {
    [100, 600]
}
pub(super) fn ttl_ms() -> u64 {
    15_000
}
pub(super) fn changed_ms() -> u64 {
    3_000
}
