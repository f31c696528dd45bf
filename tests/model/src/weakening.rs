//! The switches: each takes one guard or one rule away from the protocol.

/// One guard or rule taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Weakening {
    /// The leader's transactions do not compare its term.
    NoTerm,
    /// Submit does not compare the pack.
    SubmitWithoutPack,
    /// Submit does not compare the idempotency key.
    SubmitWithoutIdem,
    /// Submit does not compare the horizon.
    SubmitWithoutHorizon,
    /// A submit of unknown outcome is acknowledged.
    SubmitUnknownTakenAsDone,
    /// A submit of unknown outcome is sent again under a new pack id.
    SubmitUnknownUnderNewId,
    /// Promote compares the create revision of its record.
    PromoteByCreated,
    /// Assign compares the create revision of its record.
    AssignByCreated,
    /// Assign does not compare its record.
    AssignWithoutReady,
    /// Assign does not compare the node's session.
    AssignWithoutNode,
    /// An assign of unknown outcome is taken as failed, without a touch.
    AssignUnknownTakenAsFailed,
    /// The touch does not compare its record.
    TouchWithoutWaiting,
    /// Two transactions of one batch may write one key.
    BatchesOverlap,
    /// Report compares the create revision of its claim.
    ReportByCreated,
    /// Report does not compare the stop.
    ReportWithoutStop,
    /// A report of unknown outcome is built anew.
    ReportUnknownBuiltAnew,
    /// A report of unknown outcome is taken as done.
    ReportUnknownTakenAsDone,
    /// A report that leaves something of the claim does not count `n` on.
    ReportKeepsNumber,
    /// Stop does not compare the claim.
    StopWithoutRun,
    /// Stop does not compare the stop there is.
    StopWithoutStop,
    /// A cancel of running work only asks the node.
    StopOnlyAsks,
    /// Reclaim compares the create revision of its claim.
    ReclaimByCreated,
    /// Reclaim does not compare the stop.
    ReclaimWithoutStop,
    /// Reclaim does not compare the node's key.
    ReclaimWithoutNode,
    /// Reclaim forgets the failures there were.
    ReclaimForgetsFailures,
    /// Claims go with their node's lease.
    ClaimsAreLeased,
    /// Cancel compares the create revision of its record.
    CancelByCreated,
    /// Revive compares the create revision of its record.
    ReviveByCreated,
    /// Collect does not compare the horizon.
    CollectWithoutHorizon,
    /// Collect does not compare the mark.
    CollectWithoutMark,
    /// Unmark does not compare the mark.
    UnmarkWithoutMark,
    /// A node that starts overwrites its key.
    NodeOverwritten,
    /// Records are named by a number alone.
    RecordsByNumber,
    /// The horizon is raised just above the pack that is collected, not above what was made soon after its end.
    RaiseJustAbove,
    /// Assign does not compare the rules.
    AssignWithoutRules,
    /// Grant does not compare the rules.
    GrantWithoutRules,
    /// The limit is changed without the rules.
    EditWithoutRules,
    /// Grant does not compare the want.
    GrantWithoutWant,
    /// A hold of somebody outside has no lease.
    HoldWithoutLease,
    /// Release deletes whatever holds, whoever made it.
    ReleaseByName,
    /// A leader believes that what it reclaimed still holds its permits.
    ReclaimKeepsPermits,
    /// A leader does not count what it has on its way.
    FlightsHoldNothing,
    /// A claim takes all tasks of a pack with a lock.
    LockTakesAll,
    /// Park does not compare its record.
    ParkWithoutReady,
    /// What is parked is not looked at again.
    ParkedIsForgotten,
}
