//! Bugs planted on purpose: each is a way in which such systems have lost or doubled work, and the simulation has to find each.
//! Without the feature `planted`, which no release has, none can be on.

use std::fmt;
use std::str::FromStr;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bug {
    /// A leader's batch does not compare the leader's key.
    WriteWithoutTerm,
    /// A report does not compare its claim.
    ReportWithoutClaim,
    /// A submit whose outcome is unknown is acknowledged.
    SubmitUnknownIsDone,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::WriteWithoutTerm,
        Self::ReportWithoutClaim,
        Self::SubmitUnknownIsDone,
    ];

    /// Its name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WriteWithoutTerm => "write-without-term",
            Self::ReportWithoutClaim => "report-without-claim",
            Self::SubmitUnknownIsDone => "submit-unknown-is-done",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|bug| bug.name() == text);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|bug| bug.name()).collect();
            format!("`{text}` is not one of {}", names.join(", "))
        })
    }
}

/// Plants a bug for the rest of the process.
///
/// # Panics
/// One is planted already.
#[cfg(feature = "planted")]
pub fn plant(bug: Bug) {
    tenure_cluster::planted::plant(bug.name());
}

/// Whether this bug is planted.
#[inline]
pub(crate) fn is(bug: Bug) -> bool {
    tenure_cluster::planted::is(bug.name())
}
