//! How much of submits a node holds at once, in bytes: what is over it is refused before it is held.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{NewTask, SubmitError};

/// 32 MiB of submits in flight on a node: 32 of the largest batches, or the whole line of 8,192 single submits at 4 KiB each. The
/// line alone would hold 2 GiB of the largest payloads.
pub const IN_FLIGHT_BYTES_MAX: usize = 32 << 20;

/// 512 bytes for what a task takes beside its payload, labels and metadata: names, policy, its place in the line.
const BESIDE_BYTES: usize = 512;

/// What is left of [`IN_FLIGHT_BYTES_MAX`]. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

/// A part of it; given back when dropped.
#[derive(Debug)]
pub struct Space {
    held: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX)))
    }

    /// How many bytes are taken.
    pub(super) fn taken(&self) -> usize {
        IN_FLIGHT_BYTES_MAX - self.0.available_permits().min(IN_FLIGHT_BYTES_MAX)
    }

    /// So many bytes, at once or not at all.
    ///
    /// # Errors
    /// [`SubmitError::Busy`].
    pub(super) fn take(&self, bytes: usize) -> Result<Space, SubmitError> {
        let held = taken(&self.0, bytes)?;
        Ok(Space { held })
    }
}

impl Space {
    /// So many bytes more, at once or not at all: for what is still arriving.
    ///
    /// # Errors
    /// [`SubmitError::Busy`]; what was held before stays.
    pub fn grow(&mut self, bytes: usize) -> Result<(), SubmitError> {
        let more = taken(self.held.semaphore(), bytes)?;
        self.held.merge(more);
        Ok(())
    }
}

fn taken(of: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, SubmitError> {
    let bytes = u32::try_from(bytes).map_err(|_| SubmitError::Busy)?;
    let taken = Arc::clone(of).try_acquire_many_owned(bytes);
    taken.map_err(|_| SubmitError::Busy)
}

/// What a task takes while it waits, in bytes.
pub(super) fn weight(task: &NewTask) -> usize {
    let spec = &task.spec;
    let labels = spec
        .labels
        .iter()
        .map(|(key, value)| key.len() + value.len());
    let metadata = spec.metadata.as_ref().map_or(0, |text| text.get().len());
    BESIDE_BYTES + spec.payload.get().len() + labels.sum::<usize>() + metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_bound_is_refused_until_something_is_given_back() {
        let budget = Budget::new();
        let most = budget.take(IN_FLIGHT_BYTES_MAX - 100).unwrap();
        assert!(matches!(budget.take(101), Err(SubmitError::Busy)));
        let rest = budget.take(100).unwrap();
        assert!(matches!(budget.take(1), Err(SubmitError::Busy)));
        drop(rest);
        let mut small = budget.take(0).unwrap();
        small.grow(60).unwrap();
        assert!(matches!(small.grow(41), Err(SubmitError::Busy)));
        small.grow(40).unwrap();
        assert!(matches!(budget.take(1), Err(SubmitError::Busy)));
        drop(small);
        assert!(budget.take(100).is_ok());
        drop(most);
        assert!(budget.take(IN_FLIGHT_BYTES_MAX).is_ok());
        assert!(matches!(
            budget.take(IN_FLIGHT_BYTES_MAX + 1),
            Err(SubmitError::Busy)
        ));
    }
}
