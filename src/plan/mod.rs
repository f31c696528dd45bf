//! The pure middle: the leader's view folded from events, and what to do next; never reads a clock, never touches etcd.

#[cfg(test)]
#[path = "tests/ahead.rs"]
mod ahead;
mod assign;
mod next;
mod pace;
mod reclaim;
mod settle;
mod view;
mod window;
#[cfg(test)]
#[path = "tests/world.rs"]
mod world;

pub use assign::{Bounds, Numbers, assign};
pub use next::{Orphans, Rules, Turn, next};
pub use pace::Pace;
pub use reclaim::{promote, reclaim};
pub use settle::{Ending, Of, settle};
pub use view::{Node, Reserved, View};
pub use window::Window;
