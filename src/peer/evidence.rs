//! What a broken link shows: whether the process at its other end is gone, judged from what came of the attempts to reach it again. Knows
//! no clock, no socket.
//!
//! Only two things are evidence, and only of a process with which a handshake had been completed:
//! - its machine refuses connections at the very address where it listened, twice in a row and some time apart: it lives, and nothing
//!   listens there any more;
//! - another process of its name completes a handshake there.
//!
//! Silence is none, and neither is an unreachable host, nor a connection that breaks, nor a handshake that fails.

use std::time::Duration;

use crate::store::EvidenceKind;

/// 2 refusals in a row: the first may meet a listener that is being closed and opened.
pub const REFUSALS: usize = 2;

/// 10 ms between the first two attempts: a process that is killed closes its listener within one.
pub const PAUSE: Duration = Duration::from_millis(10);

/// 20 ms between later ones.
pub const PAUSE_LATER: Duration = Duration::from_millis(20);

/// 12 attempts, some 200 ms: what has not shown itself by then is left to the lease.
pub const ATTEMPTS_MAX: usize = 12;

/// What came of one attempt to reach the process again where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// The machine answered that nobody listens there.
    Refused,
    /// The same process completed a handshake.
    Same,
    /// Another process completed one, under the same name.
    Another,
    /// Another process completed one, under a name of its own: the address leads elsewhere now.
    Stranger,
    /// It connected, and the connection broke, or the handshake did not end well.
    Broke,
    /// No answer in time, no way there, or anything else.
    Silent,
}

/// What the attempts so far show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The process is gone.
    Gone(EvidenceKind),
    /// It lives: only the link had broken.
    Lives,
    /// Nothing; the lease will tell.
    Nothing,
    /// Not enough: another attempt after this pause.
    Again(Duration),
}

/// Judges all attempts since the link broke, the oldest first; `said_goodbye` where the last word over the link was that it leaves.
pub fn judge(attempts: &[Attempt], said_goodbye: bool) -> Verdict {
    let gone = |kind| {
        Verdict::Gone(if said_goodbye {
            EvidenceKind::Left
        } else {
            kind
        })
    };
    match attempts.last() {
        Some(Attempt::Same) => return Verdict::Lives,
        Some(Attempt::Another) => return gone(EvidenceKind::Replaced),
        Some(Attempt::Silent | Attempt::Stranger) => return Verdict::Nothing,
        Some(Attempt::Refused | Attempt::Broke) | None => {}
    }
    let refusals = attempts.iter().rev();
    let refusals = refusals.take_while(|attempt| **attempt == Attempt::Refused);
    if refusals.count() >= REFUSALS {
        return gone(EvidenceKind::Refused);
    }
    match attempts.len() {
        0 => Verdict::Again(Duration::ZERO),
        1 => Verdict::Again(PAUSE),
        more if more < ATTEMPTS_MAX => Verdict::Again(PAUSE_LATER),
        _ => Verdict::Nothing,
    }
}

/// Whether evidence that was held back still stands, by one more attempt.
pub fn stands(attempt: Attempt) -> bool {
    match attempt {
        Attempt::Refused | Attempt::Another => true,
        Attempt::Same | Attempt::Stranger | Attempt::Broke | Attempt::Silent => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Attempt::{Another, Broke, Refused, Same, Silent, Stranger};
    use super::*;

    #[test]
    fn only_refusals_and_another_process_are_evidence() {
        let refused = Verdict::Gone(EvidenceKind::Refused);
        let replaced = Verdict::Gone(EvidenceKind::Replaced);
        let (soon, later) = (Verdict::Again(PAUSE), Verdict::Again(PAUSE_LATER));
        let cases: &[(&[Attempt], Verdict)] = &[
            (&[], Verdict::Again(Duration::ZERO)),
            (&[Refused], soon),
            (&[Refused, Refused], refused),
            (&[Broke], soon),
            (&[Broke, Refused], later),
            (&[Broke, Refused, Refused], refused),
            (&[Refused, Broke, Refused], later),
            (&[Refused, Another], replaced),
            (&[Another], replaced),
            (&[Same], Verdict::Lives),
            (&[Refused, Same], Verdict::Lives),
            (&[Silent], Verdict::Nothing),
            (&[Refused, Silent], Verdict::Nothing),
            (&[Stranger], Verdict::Nothing),
            (&[Refused, Stranger], Verdict::Nothing),
            (&[Broke; ATTEMPTS_MAX], Verdict::Nothing),
        ];
        for (attempts, verdict) in cases {
            assert_eq!(judge(attempts, false), *verdict, "{attempts:?}");
        }
    }

    #[test]
    fn who_had_said_goodbye_left() {
        let left = Verdict::Gone(EvidenceKind::Left);
        assert_eq!(judge(&[Refused, Refused], true), left);
        assert_eq!(judge(&[Another], true), left);
        assert_eq!(judge(&[Silent], true), Verdict::Nothing);
    }

    fn attempt() -> impl Strategy<Value = Attempt> {
        prop::sample::select(vec![Refused, Same, Another, Stranger, Broke, Silent])
    }

    proptest! {
        #[test]
        fn whatever_is_tried_there_is_an_end_and_no_evidence_without_a_sign(
            attempts in prop::collection::vec(attempt(), 0..=2 * ATTEMPTS_MAX),
        ) {
            let verdict = judge(&attempts, false);
            if attempts.len() >= ATTEMPTS_MAX {
                prop_assert!(!matches!(verdict, Verdict::Again(_)));
            }
            let last = attempts.iter().rev().take(REFUSALS).copied().collect::<Vec<_>>();
            match verdict {
                Verdict::Gone(EvidenceKind::Refused) => prop_assert_eq!(last, vec![Refused; REFUSALS]),
                Verdict::Gone(EvidenceKind::Replaced) => prop_assert_eq!(last[0], Another),
                Verdict::Gone(EvidenceKind::Left) => prop_assert!(false, "nobody said goodbye"),
                Verdict::Lives => prop_assert_eq!(last[0], Same),
                Verdict::Nothing | Verdict::Again(_) => {}
            }
        }
    }
}
