//! What Tenure promises, in the words of `docs/guarantees.md`, and which properties judge each promise.

use crate::check::Property;

/// One promise.
#[derive(Debug)]
pub(super) struct Promise {
    /// `P1` to `P10`.
    pub(super) name: &'static str,
    /// In a few words.
    pub(super) title: &'static str,
    /// What is promised.
    pub(super) sentence: &'static str,
    /// What it is judged by.
    pub(super) properties: &'static [Property],
}

/// All promises in order. `docs/guarantees.md` says the same; a test compares them.
pub(super) const PROMISES: [Promise; 10] = [
    Promise {
        name: "P1",
        title: "accepted is never lost",
        sentence: "A task whose submit was acknowledged ends once (succeeded or cancelled) or waits, visible, among the dead \
                   letters, whatever dies.",
        properties: &[
            Property::AcceptedNeverLost,
            Property::Idempotency,
            Property::CancelHolds,
            Property::ReadYourWrites,
        ],
    },
    Promise {
        name: "P2",
        title: "outcomes commit once",
        sentence: "An attempt has one committed outcome; what a reclaimed attempt says later is refused.",
        properties: &[
            Property::OneTerminalState,
            Property::StaleReportRefused,
            Property::ConcurrentRuns,
            Property::NothingFromNowhere,
        ],
    },
    Promise {
        name: "P3",
        title: "one leader acts",
        sentence: "A leader's writes count only while it leads.",
        properties: &[Property::OneActingLeader, Property::AnswersTrue],
    },
    Promise {
        name: "P4",
        title: "limits hold",
        sentence: "No grant makes the weight held on a semaphore exceed the limit in force at its revision. A lowered limit \
                   takes nothing away. Permits never leak.",
        properties: &[
            Property::SemaphoreLimits,
            Property::QueueLimits,
            Property::RateLimits,
            Property::OutsideHolds,
        ],
    },
    Promise {
        name: "P5",
        title: "locks exclude",
        sentence: "At most one holder per lock at any revision; each hold has a token greater than all before it.",
        properties: &[Property::LocksExclude, Property::OutsideHolds],
    },
    Promise {
        name: "P6",
        title: "attempts are bounded",
        sentence: "Failures and node deaths are counted apart, each with a budget; a task that kills its nodes ends among the \
                   dead letters.",
        properties: &[Property::AttemptsBounded],
    },
    Promise {
        name: "P7",
        title: "a schedule fires once",
        sentence: "At most one task for each due time of a schedule; none skipped but by its rules, and then it is on record.",
        properties: &[Property::SchedulesFireOnce],
    },
    Promise {
        name: "P8",
        title: "death is noticed",
        sentence: "A crashed process is noticed at once; a silent node's work is reclaimed, and a silent leader replaced, \
                   within the lease TTL and a second.",
        properties: &[Property::ReclaimBounded, Property::FailoverBounded],
    },
    Promise {
        name: "P9",
        title: "it heals",
        sentence: "When faults stop, runnable work drains, and one leader remains.",
        properties: &[Property::Heals, Property::PriorityOrder],
    },
    Promise {
        name: "P10",
        title: "it stays bounded",
        sentence: "A leader's memory and its take-over do not grow with the backlog; etcd's history is compacted; new work is \
                   refused before etcd is full.",
        properties: &[Property::Bounded],
    },
];

/// The first promise that a property judges.
pub(super) fn promise_of(property: Property) -> Option<&'static Promise> {
    let mut promises = PROMISES.iter();
    promises.find(|promise| promise.properties.contains(&property))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_those_of_the_documentation() {
        let text = include_str!("../../../docs/guarantees.md");
        let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");

        for promise in &PROMISES {
            let told = promise.sentence.to_owned();
            assert!(plain.contains(&format!("**{told}")), "{}", promise.name);
            let names = promise.properties.iter().map(|one| format!("`{one}`"));
            let row = format!(
                "| {} | {} |",
                promise.name,
                names.collect::<Vec<_>>().join(", ")
            );
            assert!(text.contains(&row), "{row}");
        }
    }

    #[test]
    fn each_property_judges_a_promise() {
        for property in Property::ALL {
            assert!(promise_of(property).is_some(), "{property}");
            assert!(property.sentence().ends_with('.'), "{property}");
        }
    }
}
