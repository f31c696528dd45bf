//! A token bucket: so many bits come through in a second, whoever sends them, and a little at once.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// 4 KiB come through at once after a while without any.
const BURST_BYTES: usize = 4 << 10;

/// When the last bytes that were taken have gone through at the set pace; what is earlier than now means a full bucket.
#[derive(Default)]
pub(super) struct Bucket(Mutex<Option<Instant>>);

impl Bucket {
    /// Takes so many bytes out; when they may go. Who asks first goes first.
    pub(super) fn take(&self, now: Instant, bytes: usize, kbit_s: NonZeroU32) -> Instant {
        // Short: what is done under it waits for nobody.
        let mut through = self.0.lock().expect("nobody panics holding it");
        let from = through.map_or(now, |through| through.max(now));
        *through = Some(from + length(bytes, kbit_s));
        let burst = length(BURST_BYTES, kbit_s);
        from.checked_sub(burst).map_or(now, |at| at.max(now))
    }
}

/// How long so many bytes take.
fn length(bytes: usize, kbit_s: NonZeroU32) -> Duration {
    let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
    Duration::from_micros(bits.saturating_mul(1000) / u64::from(kbit_s.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_packet_after_the_other_at_the_set_pace() {
        let (bucket, now) = (Bucket::default(), Instant::now());
        let kbit_s = NonZeroU32::new(8).unwrap();

        let waits: Vec<u128> = (0..8)
            .map(|_| bucket.take(now, 1024, kbit_s) - now)
            .map(|wait| wait.as_millis())
            .collect();

        assert_eq!(waits, [0, 0, 0, 0, 0, 1024, 2048, 3072]);
    }

    #[test]
    fn a_bucket_that_was_left_alone_is_full_again_and_no_fuller() {
        let (bucket, now) = (Bucket::default(), Instant::now());
        let kbit_s = NonZeroU32::new(8).unwrap();
        bucket.take(now, 8192, kbit_s);

        let later = now + Duration::from_mins(1);

        assert_eq!(bucket.take(later, 8192, kbit_s), later);
        assert_eq!(
            bucket.take(later, 1, kbit_s) - later,
            Duration::from_millis(4096)
        );
    }
}
