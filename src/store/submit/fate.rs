//! What an answer to a submit means for its tasks: one rule for single submits and batches. Pure.

use tenure_cluster::Answer;

use super::SubmitError;
use crate::store::commit::Verdict;
use crate::store::guard::GuardName;

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
    Unsure,
}

/// What this verdict means; `sent_before` tells of an earlier copy whose outcome is unknown, which may still be committed.
pub(super) fn fate(verdict: Verdict, sent_before: bool) -> Fate {
    match verdict {
        Verdict::Committed { revision } => Fate::Accepted { revision },
        Verdict::Refused {
            lost,
            reads,
            revision,
        } => refused(&lost, reads, revision),
        Verdict::Unknown(_) => Fate::Unsure,
        Verdict::Unavailable(_) if sent_before => Fate::Unsure,
        Verdict::Unavailable(failure) => Fate::Failed(SubmitError::Unavailable(failure)),
    }
}

/// What a refusal means. The pack decides where it is among the lost, for the others are lost by its own commit too.
fn refused(lost: &[GuardName], reads: Vec<Answer>, revision: i64) -> Fate {
    let mut fate = Fate::Taken { reads, revision };
    for guard in lost {
        match guard {
            // Nobody else makes these ids: an earlier copy of ours was committed.
            GuardName::Pack => return Fate::Accepted { revision },
            GuardName::Horizon => fate = Fate::Failed(SubmitError::ClockBehind),
            GuardName::Idem => {}
            GuardName::Term
            | GuardName::Lane
            | GuardName::Due
            | GuardName::Ready
            | GuardName::Waiting
            | GuardName::Node
            | GuardName::Run
            | GuardName::Stop
            | GuardName::Gc
            | GuardName::Rules
            | GuardName::Edited
            | GuardName::Want
            | GuardName::Hold
            | GuardName::Schedule
            | GuardName::Progress
            | GuardName::Deleted
            | GuardName::Death
            | GuardName::Failover => fate = Fate::Failed(SubmitError::Refused(*guard)),
        }
    }
    fate
}

#[cfg(test)]
mod tests {
    use super::super::late;
    use super::*;

    fn refused(lost: GuardName) -> Verdict {
        Verdict::Refused {
            lost: vec![lost],
            reads: Vec::new(),
            revision: 7,
        }
    }

    #[test]
    fn a_refusal_means_what_its_guard_says() {
        for sent_before in [false, true] {
            for guard in GuardName::ALL {
                let fate = fate(refused(guard), sent_before);
                let right = if guard == GuardName::Pack {
                    matches!(fate, Fate::Accepted { revision: 7 })
                } else if guard == GuardName::Horizon {
                    matches!(fate, Fate::Failed(SubmitError::ClockBehind))
                } else if guard == GuardName::Idem {
                    matches!(fate, Fate::Taken { revision: 7, .. })
                } else {
                    // One that a submit does not have yet is no used key.
                    matches!(fate, Fate::Failed(SubmitError::Refused(by)) if by == guard)
                };
                assert!(right, "{guard}: {fate:?}");
            }
        }
    }

    #[test]
    fn a_copy_that_was_committed_lost_by_its_own_key_too() {
        let verdict = Verdict::Refused {
            lost: vec![GuardName::Horizon, GuardName::Pack, GuardName::Idem],
            reads: Vec::new(),
            revision: 7,
        };
        assert!(matches!(
            fate(verdict, true),
            Fate::Accepted { revision: 7 }
        ));
    }

    #[test]
    fn no_answer_is_a_refusal_only_where_no_copy_is_on_its_way() {
        let unavailable = || Verdict::Unavailable(late());
        assert!(matches!(
            fate(unavailable(), false),
            Fate::Failed(SubmitError::Unavailable(_))
        ));
        assert!(matches!(fate(unavailable(), true), Fate::Unsure));
        for sent_before in [false, true] {
            let unknown = Verdict::Unknown(late());
            assert!(matches!(fate(unknown, sent_before), Fate::Unsure));
        }
    }
}
