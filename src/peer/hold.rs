//! Keeps a link as long as it holds: beats for the other side to hear, and listens to its words; judges nothing.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::wire::{Talk, Word};

/// 15 s without a word from the other side: nothing gets through, and the link is given up.
const QUIET: Duration = Duration::from_secs(15);

/// Until the link breaks or is quiet for too long. Tells of each word; of one that this version does not know as none.
pub(super) async fn hold(talk: &mut Talk, beat: Duration, hears: impl FnMut(Option<Word>)) {
    hold_for(talk, beat, QUIET, hears).await;
}

async fn hold_for(
    talk: &mut Talk,
    beat: Duration,
    quiet: Duration,
    mut hears: impl FnMut(Option<Word>),
) {
    let mut beats = interval(beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        let done = tokio::select! {
            word = talk.word() => word.map(|word| {
                last = Instant::now();
                hears(word);
            }),
            _ = beats.tick() => talk.say(&Word::Beat).await,
            () = sleep_until(last + quiet) => return,
        };
        if done.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_link_is_kept_while_words_come_and_given_up_after_silence() {
        let (one, other) = tokio::io::duplex(1024);
        let (mut ours, mut theirs) = (Talk::new(Box::new(one)), Talk::new(Box::new(other)));
        let quiet = Duration::from_millis(50);
        theirs.say(&Word::Beat).await.unwrap();
        theirs.say(&"a word of another version").await.unwrap();
        let (began, mut words) = (Instant::now(), Vec::new());

        hold_for(&mut ours, BEAT, quiet, |word| words.push(word)).await;

        assert_eq!(words, [Some(Word::Beat), None]);
        assert!(began.elapsed() >= quiet);
        // It said at once that it is there.
        assert_eq!(theirs.word().await.unwrap(), Some(Word::Beat));
    }

    #[tokio::test]
    async fn a_link_that_breaks_is_over_at_once() {
        let (one, other) = tokio::io::duplex(1024);
        let mut ours = Talk::new(Box::new(one));
        drop(other);
        hold(&mut ours, BEAT, |_| {}).await;
    }
}
