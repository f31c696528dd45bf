//! Bugs planted on purpose, to see that they are found: a switch by name, one for the process. Without the feature `planted`,
//! which no release has, there is no switch and none is on.

#[cfg(feature = "planted")]
static PLANTED: std::sync::OnceLock<&'static str> = std::sync::OnceLock::new();

/// Plants a bug for the rest of the process.
///
/// # Panics
/// One is planted already.
#[cfg(feature = "planted")]
pub fn plant(name: &'static str) {
    PLANTED.set(name).expect("one bug to a process");
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(name: &str) -> bool {
    PLANTED.get().is_some_and(|planted| *planted == name)
}

/// Whether this bug is planted: never in this build.
#[cfg(not(feature = "planted"))]
#[must_use]
#[inline]
pub const fn is(_name: &str) -> bool {
    false
}
