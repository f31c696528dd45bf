//! Standing for leadership: when a node stands, when it gives way, and how it hands over. What is decided is decided by [`step`].

use std::collections::BTreeMap;
use std::sync::Arc;

use tenure_cluster::{Candidate, KeyValue, Members, MembershipChange, Outcome, Session, Term};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{RETRY, Shared};
use crate::leader::{self, Over, Post, Warm};
use crate::store::{self, Candidacy, txns};
use crate::worker::Duty;

/// A node's own place in the line for leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Own {
    /// It has none.
    Away,
    /// It waits under this key.
    Waits {
        key: String,
        /// Its create revision.
        revision: i64,
        /// Whether it stood as one that is drained.
        drained: bool,
    },
    /// It leads under this key.
    Leads { key: String },
}

/// Another place in that line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Other {
    revision: i64,
    drained: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing, until something changes.
    Stay,
    /// Take a place.
    Stand,
    /// Give the place up.
    Go,
    /// Never stand again.
    Done,
}

/// What a node does about leadership. Somebody has to lead: who is drained gives way to whoever is not, and stands, or goes on to
/// lead, only where nobody else is in line; of two who stood so at once, the later gives way. Who leaves hands over to whoever is in
/// line, or goes when its hands are empty. `others` are none where they are not known yet.
fn step(duty: Duty, own: &Own, others: Option<&[Other]>, emptied: bool) -> Step {
    let nobody = others.is_some_and(<[Other]>::is_empty);
    let any = |is: &dyn Fn(&Other) -> bool| others.is_some_and(|others| others.iter().any(is));
    let either = |is: bool, then: Step| if is { then } else { Step::Stay };
    match (duty, own) {
        (Duty::Work, Own::Away) => Step::Stand,
        (Duty::Work, Own::Waits { drained, .. }) => either(*drained, Step::Go),
        (Duty::Work, Own::Leads { .. }) => Step::Stay,
        (Duty::Drain, Own::Away) => either(nobody, Step::Stand),
        (Duty::Drain, Own::Waits { revision, .. }) => either(
            any(&|other| !other.drained || other.revision < *revision),
            Step::Go,
        ),
        (Duty::Drain, Own::Leads { .. }) => either(any(&|other| !other.drained), Step::Go),
        (Duty::Leave, Own::Away) => Step::Done,
        (Duty::Leave, Own::Waits { .. }) => Step::Go,
        (Duty::Leave, Own::Leads { .. }) => either(emptied || any(&|_| true), Step::Go),
    }
}

/// Everything that decides about a node's candidacy, as it changes.
struct Line<'a> {
    node: &'a Shared,
    duty: watch::Receiver<Duty>,
    /// The hands are empty, and the session is about to end.
    emptied: CancellationToken,
    /// Followed where it matters who else is in line.
    members: Option<Members>,
    seen: Option<BTreeMap<String, Other>>,
}

impl Line<'_> {
    /// What to do, once that is something.
    async fn step(&mut self, own: &Own) -> Step {
        loop {
            let duty = *self.duty.borrow_and_update();
            if duty == Duty::Work {
                (self.members, self.seen) = (None, None);
            }
            let others = self.others(own);
            let step = step(duty, own, others.as_deref(), self.emptied.is_cancelled());
            if step != Step::Stay {
                return step;
            }
            let (emptied, follows) = (self.emptied.clone(), duty != Duty::Work);
            let mut told = self.duty.clone();
            tokio::select! {
                changed = told.changed() => if changed.is_err() {
                    return Step::Done;
                },
                () = emptied.cancelled(), if !emptied.is_cancelled() => {}
                () = self.follow(), if follows => {}
            }
        }
    }

    /// Takes in one change of who is in line. May be dropped and called again.
    async fn follow(&mut self) {
        let (connection, keys) = (self.node.store.connection(), self.node.store.keys());
        let members = self
            .members
            .get_or_insert_with(|| Members::open(connection, &keys.elect_prefix()));
        match members.next().await {
            MembershipChange::Snapshot { members, .. } => {
                self.seen = Some(members.iter().map(entry).collect());
            }
            MembershipChange::Joined(kv) | MembershipChange::Updated(kv) => {
                self.seen.get_or_insert_default().extend([entry(&kv)]);
            }
            MembershipChange::Left { last, .. } => {
                self.seen.get_or_insert_default().remove(&last.key);
            }
        }
    }

    fn others(&self, own: &Own) -> Option<Vec<Other>> {
        let key = match own {
            Own::Away => "",
            Own::Waits { key, .. } | Own::Leads { key } => key,
        };
        let others = self.seen.as_ref()?.iter();
        let others = others.filter(|(other, _)| *other != key);
        Some(others.map(|(_, other)| *other).collect())
    }
}

fn entry(kv: &KeyValue) -> (String, Other) {
    // One that cannot be read stands all the same.
    let told = store::decode::<Candidacy>(&kv.key, &kv.value).ok();
    let other = Other {
        revision: kv.create_revision,
        drained: told.is_some_and(|told| told.drained),
    };
    (kv.key.clone(), other)
}

impl Shared {
    /// Stands for leadership, leads, and stands again, as long as the duty is not to leave. `emptied` is told when nothing but leadership is
    /// left to be handed over.
    pub(super) async fn stand(
        &self,
        session: &Session,
        duty: watch::Receiver<Duty>,
        emptied: CancellationToken,
    ) {
        let mut line = Line {
            node: self,
            duty,
            emptied,
            members: None,
            seen: None,
        };
        let post = Arc::new(self.post());
        while line.step(&Own::Away).await == Step::Stand {
            let drained = *line.duty.borrow() != Duty::Work;
            let Some(mut candidate) = self.candidate(session, &mut line, drained).await else {
                continue;
            };
            let own = Own::Waits {
                key: candidate.key().to_owned(),
                revision: candidate.revision(),
                drained,
            };
            let (mut warm, ahead) = (Warm::default(), candidate.ahead());
            let led = tokio::select! {
                led = candidate.lead() => led,
                never = warm.keep(&post, ahead) => match never {},
                _ = line.step(&own) => {
                    candidate.withdraw().await;
                    continue;
                }
            };
            match led {
                Ok(term) => self.lead(&post, (term, warm), &mut line).await,
                Err(problem) => warn!(%problem, "candidacy ended"),
            }
        }
    }

    /// A place in the line; none where that did not work out, after a while, or where the node is to leave.
    async fn candidate(
        &self,
        session: &Session,
        line: &mut Line<'_>,
        drained: bool,
    ) -> Option<Candidate> {
        let value = store::encode(&Candidacy {
            node: self.name.clone(),
            address: self.address.clone(),
            drained,
        });
        let prefix = self.store.keys().elect_prefix();
        let standing = Candidate::stand(self.store.connection(), session, &prefix, value);
        let mut duty = line.duty.clone();
        let leaves = async {
            let _ = duty.wait_for(|duty| *duty == Duty::Leave).await;
        };
        // What is dropped here, the session deletes.
        let stood = tokio::select! {
            stood = standing => stood,
            () = leaves => return None,
        };
        match stood {
            Ok(candidate) => Some(candidate),
            Err(problem) => {
                warn!(%problem, "could not stand for leadership, trying again");
                tokio::time::sleep(RETRY).await;
                None
            }
        }
    }

    /// Leads until the term is lost, or until it is to be handed over.
    async fn lead(&self, post: &Arc<Post>, (term, warm): (Term, Warm), line: &mut Line<'_>) {
        let (asked, key) = (CancellationToken::new(), term.key().to_owned());
        let own = Own::Leads { key };
        let over = {
            let leading = leader::lead(Arc::clone(post), &term, warm, &asked);
            tokio::pin!(leading);
            tokio::select! {
                over = &mut leading => over,
                _ = line.step(&own) => {
                    asked.cancel();
                    leading.await
                }
            }
        };
        let Over::Asked(record) = over else {
            return;
        };
        let history = txns::history(self.store.keys(), term.revision(), &record);
        match term.resign(vec![history]).await {
            Outcome::Committed(_) => info!("resigned"),
            Outcome::Refused(_) => info!("the term had ended"),
            Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                error!(%failure, "resignation not confirmed, the lease's end will do it");
            }
        }
    }

    fn post(&self) -> Post {
        Post {
            store: self.store.clone(),
            node: self.name.clone(),
            address: self.address.clone(),
            window: self.config.window as usize,
            deaths_max: self.config.death_budget,
            retention: self.config.retention,
            compaction: self.config.compaction.0,
            quota: i64::try_from(self.config.etcd_quota.0).unwrap_or(i64::MAX),
            full: self.full.subscribe(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(revision: i64, drained: bool) -> Own {
        let key = "own".to_owned();
        Own::Waits {
            key,
            revision,
            drained,
        }
    }

    fn leads() -> Own {
        let key = "own".to_owned();
        Own::Leads { key }
    }

    fn other(revision: i64, drained: bool) -> Other {
        Other { revision, drained }
    }

    #[test]
    fn somebody_leads_and_one_that_is_drained_only_where_nobody_else_would() {
        let (free, drained) = ([other(9, false)], [other(9, true)]);
        let rows: [(Duty, Own, Option<&[Other]>, Step); 18] = [
            (Duty::Work, Own::Away, None, Step::Stand),
            (Duty::Work, waits(5, false), None, Step::Stay),
            (Duty::Work, waits(5, true), None, Step::Go),
            (Duty::Work, leads(), None, Step::Stay),
            (Duty::Drain, Own::Away, None, Step::Stay),
            (Duty::Drain, Own::Away, Some(&[]), Step::Stand),
            (Duty::Drain, Own::Away, Some(&drained), Step::Stay),
            (Duty::Drain, waits(5, false), None, Step::Stay),
            (Duty::Drain, waits(5, true), Some(&drained), Step::Stay),
            (Duty::Drain, waits(10, true), Some(&drained), Step::Go),
            (Duty::Drain, waits(5, true), Some(&free), Step::Go),
            (Duty::Drain, leads(), Some(&[]), Step::Stay),
            (Duty::Drain, leads(), Some(&drained), Step::Stay),
            (Duty::Drain, leads(), Some(&free), Step::Go),
            (Duty::Leave, Own::Away, None, Step::Done),
            (Duty::Leave, waits(5, false), None, Step::Go),
            (Duty::Leave, leads(), Some(&[]), Step::Stay),
            (Duty::Leave, leads(), Some(&drained), Step::Go),
        ];
        for (duty, own, others, expected) in rows {
            let told = step(duty, &own, others, false);
            assert_eq!(told, expected, "{duty:?} {own:?} {others:?}");
        }
        assert_eq!(step(Duty::Leave, &leads(), Some(&[]), true), Step::Go);
        assert_eq!(step(Duty::Leave, &leads(), None, true), Step::Go);
    }
}
