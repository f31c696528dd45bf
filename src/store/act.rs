//! What users do to tasks that exist: cancel and revive; looks, sends, and looks again when it lost a race.

use std::time::Duration;

use tenure_cluster::{Failure, Guard};
use tokio::time::Instant;

use super::change::{Act, Change, StopRuns, Waiting};
use super::commit::{Store, Verdict};
use super::keys::{Origin, Place};
use super::locate::{Found, Held, LookError};
use crate::planted::{self, Bug};
use crate::task::{Event, Illegal, State, TaskId, Which};

/// 10 s: each loss means that the task's record moved; a task that is still moving then is reported as busy.
const ACT_DEADLINE: Duration = Duration::from_secs(10);

/// 5 ms: the longest pause after the first loss, about a look and a commit; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_millis(5);

/// 640 ms: the longest pause of all. Hundreds of acts on one record, as on the tasks of one pack, need that much room.
const PAUSE_MAX: Duration = Duration::from_millis(640);

/// Why an act was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ActError {
    /// There is no such task, or it has been collected.
    #[error("there is no task {0}")]
    NoTask(TaskId),
    /// The task's state does not allow it.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// It could not be looked at.
    #[error(transparent)]
    Look(#[from] LookError),
    /// It may or may not have been done.
    #[error("outcome unknown: {0}")]
    Unknown(Failure),
    /// It was not done.
    #[error("not done: {0}")]
    Unavailable(Failure),
    /// It kept moving.
    #[error("task {0} kept moving, try again")]
    Busy(TaskId),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acted {
    /// The state afterwards. A cancelled run is still `running` until its node has stopped it.
    pub state: State,
    /// The revision it was done at.
    pub revision: i64,
}

/// What comes next, by what was found.
enum Step {
    /// This change; the state it leads to.
    Send(Box<Change>, State),
    /// Nothing: it is done, and this is the state.
    Done(State),
    /// Another look: it was on its way.
    Look,
}

impl Store {
    /// Cancels a task. What waits is cancelled at once; what runs is asked to stop, durably. `act` names the act.
    ///
    /// # Errors
    /// [`ActError`]; a task that has ended is [`ActError::Illegal`].
    pub async fn cancel(&self, id: TaskId, act: u128, now_ms: u64) -> Result<Acted, ActError> {
        self.cancelled(id, act, now_ms, None).await
    }

    /// The same under the leader's fence, where it has one.
    pub(super) async fn cancelled(
        &self,
        id: TaskId,
        act: u128,
        now_ms: u64,
        fence: Option<&Guard>,
    ) -> Result<Acted, ActError> {
        self.acted(id, act, fence, |found, sent_before| {
            if sent_before && found.state == State::Cancelled {
                // Our stop had been committed, and the node was quick.
                return Ok(Step::Done(State::Cancelled));
            }
            let state = found.state.next(&Event::Cancelled)?;
            if let Some(act) = waiting(found, act, now_ms) {
                return Ok(Step::Send(Box::new(Change::Cancel(act)), state));
            }
            Ok(match found.running.as_ref().map(|held| stop(found, held)) {
                Some(Some(stop)) => Step::Send(Box::new(Change::Stop(stop)), State::Running),
                Some(None) => Step::Done(State::Running),
                None => Step::Look,
            })
        })
        .await
    }

    /// Makes a dead task ready again, with new budgets. `act` names the act.
    ///
    /// # Errors
    /// [`ActError`]; a task that is not dead is [`ActError::Illegal`].
    pub async fn revive(&self, id: TaskId, act: u128, now_ms: u64) -> Result<Acted, ActError> {
        self.acted(id, act, None, |found, _| {
            let state = found.state.next(&Event::Revived)?;
            let act = waiting(found, act, now_ms).filter(|act| act.from.place == Place::Dead);
            Ok(act.map_or(Step::Look, |act| {
                Step::Send(Box::new(Change::Revive(act)), state)
            }))
        })
        .await
    }

    /// Looks, does what `step` says of what was found, and looks again where that lost a race. `step` hears, too, whether the
    /// act was sent before with an unknown outcome.
    async fn acted(
        &self,
        id: TaskId,
        act: u128,
        fence: Option<&Guard>,
        step: impl Fn(&Found, bool) -> Result<Step, Illegal> + Send + Sync,
    ) -> Result<Acted, ActError> {
        let mut unsure = None;
        let deadline = Instant::now() + ACT_DEADLINE;
        let mut pause_max = PAUSE_FIRST;
        while Instant::now() < deadline {
            let found = self.found(id, unsure.as_ref()).await?;
            let ours = |(origin, _): &(Origin, _)| *origin == Origin::Act(act);
            let step = if found.attempts.iter().any(ours) {
                Step::Done(found.state)
            } else {
                step(&found, unsure.is_some())?
            };
            let acted = match step {
                Step::Send(change, state) => self.sent(&change, state, fence, &mut unsure).await?,
                Step::Done(state) => {
                    let revision = found.revision;
                    Some(Acted { state, revision })
                }
                Step::Look => None,
            };
            if let Some(acted) = acted {
                return Ok(acted);
            }
            tokio::time::sleep(somewhere_in(pause_max)).await;
            pause_max = (pause_max * 2).min(PAUSE_MAX);
        }
        Err(unsure.map_or(ActError::Busy(id), ActError::Unknown))
    }

    /// A look that fails after an act of unknown outcome leaves that outcome unknown.
    async fn found(&self, id: TaskId, unsure: Option<&Failure>) -> Result<Found, ActError> {
        match (self.task(id).await, unsure) {
            (Ok((found, _)), _) => found.ok_or(ActError::NoTask(id)),
            (Err(_), Some(failure)) => Err(ActError::Unknown(failure.clone())),
            (Err(problem), None) => Err(problem.into()),
        }
    }

    /// None where it was refused: look again. An unknown outcome is repeated once as it is, for its compare is monotone; what was
    /// unknown once stays so until a look or an answer says otherwise.
    async fn sent(
        &self,
        change: &Change,
        state: State,
        fence: Option<&Guard>,
        unsure: &mut Option<Failure>,
    ) -> Result<Option<Acted>, ActError> {
        let verdict = match self.commit_under(fence, change).await {
            Verdict::Unknown(_) if planted::is(Bug::CancelUnknownIsDone) => {
                let revision = self.connection().seen_revision();
                return Ok(Some(Acted { state, revision }));
            }
            Verdict::Unknown(failure) => {
                *unsure = Some(failure);
                self.commit_under(fence, change).await
            }
            known @ (Verdict::Committed { .. }
            | Verdict::Refused { .. }
            | Verdict::Unavailable(_)) => known,
        };
        match (verdict, unsure.as_ref()) {
            (Verdict::Committed { revision }, _) => Ok(Some(Acted { state, revision })),
            (Verdict::Refused { .. }, _) => Ok(None),
            (Verdict::Unknown(failure), _) => Err(ActError::Unknown(failure)),
            (Verdict::Unavailable(_), Some(failure)) => Err(ActError::Unknown(failure.clone())),
            (Verdict::Unavailable(failure), None) => Err(ActError::Unavailable(failure)),
        }
    }
}

/// Some part of a pause, so that those who lost to each other do not meet again.
fn somewhere_in(pause_max: Duration) -> Duration {
    let [.., draw] = uuid::Uuid::new_v4().into_bytes();
    pause_max * u32::from(draw) / 256
}

fn waiting(found: &Found, act: u128, now_ms: u64) -> Option<Act> {
    let (place, id, seen) = found.waiting.clone()?;
    let which = Which::only(found.id.index());
    Some(Act {
        act,
        from: Waiting {
            id,
            place,
            seen,
            now_ms,
        },
        which,
    })
}

/// The stop that covers this task too; none where there is one already.
fn stop(found: &Found, held: &Held) -> Option<StopRuns> {
    let before = held
        .stop
        .as_ref()
        .map_or(Which::NONE, |stop| stop.value.which);
    (!before.contains(found.id.index())).then(|| StopRuns {
        node: held.node.clone(),
        claim: held.claim,
        modified: held.run.modified,
        stop: held.stop.as_ref().map_or(0, |stop| stop.modified),
        which: before.or(Which::only(found.id.index())),
    })
}
