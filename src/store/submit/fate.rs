//! What an answer to a submit means for its tasks: one rule for single submits and batches. Pure.

use tenure_cluster::{Answer, Failure};

use super::SubmitError;
use crate::store::commit::Verdict;

/// What became of a submit.
#[derive(Debug)]
pub(super) enum Fate {
    /// Its tasks are in the store, at this revision or before.
    Accepted {
        /// The revision.
        revision: i64,
    },
    /// It was refused by a used idempotency key; what was read instead says by which.
    Taken {
        /// What was read.
        reads: Vec<Answer>,
        /// The revision it was refused at.
        revision: i64,
    },
    /// It was not accepted and never will be.
    Failed(SubmitError),
    /// It may be accepted, now or later: send it again as it is.
    Unsure(Failure),
}

/// What this verdict means; `sent_before` tells of an earlier copy whose outcome is unknown, which may still be committed.
pub(super) fn fate(verdict: Verdict, sent_before: bool) -> Fate {
    match verdict {
        Verdict::Committed { revision } => Fate::Accepted { revision },
        // Nobody else makes these ids: an earlier copy of ours was committed.
        Verdict::Refused { lost, revision, .. } if lost.contains(&"pack") => {
            Fate::Accepted { revision }
        }
        Verdict::Refused { lost, .. } if lost.contains(&"horizon") => {
            Fate::Failed(SubmitError::ClockBehind)
        }
        Verdict::Refused {
            reads, revision, ..
        } => Fate::Taken { reads, revision },
        Verdict::Unknown(failure) => Fate::Unsure(failure),
        Verdict::Unavailable(failure) if sent_before => Fate::Unsure(failure),
        Verdict::Unavailable(failure) => Fate::Failed(SubmitError::Unavailable(failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::late;
    use super::*;

    fn refused(lost: &'static str) -> Verdict {
        Verdict::Refused {
            lost: vec![lost],
            reads: Vec::new(),
            revision: 7,
        }
    }

    #[test]
    fn a_refusal_means_what_its_guard_says() {
        for sent_before in [false, true] {
            let fate = |lost| fate(refused(lost), sent_before);
            assert!(matches!(fate("pack"), Fate::Accepted { revision: 7 }));
            assert!(matches!(
                fate("horizon"),
                Fate::Failed(SubmitError::ClockBehind)
            ));
            assert!(matches!(fate("idem"), Fate::Taken { revision: 7, .. }));
        }
    }

    #[test]
    fn no_answer_is_a_refusal_only_where_no_copy_is_on_its_way() {
        let unavailable = || Verdict::Unavailable(late());
        assert!(matches!(
            fate(unavailable(), false),
            Fate::Failed(SubmitError::Unavailable(_))
        ));
        assert!(matches!(fate(unavailable(), true), Fate::Unsure(_)));
        for sent_before in [false, true] {
            let unknown = Verdict::Unknown(late());
            assert!(matches!(fate(unknown, sent_before), Fate::Unsure(_)));
        }
    }
}
