//! The pure middle: the leader's view folded from events, and what to do next; never reads a clock, never touches etcd.

#[cfg(test)]
#[path = "tests/ahead.rs"]
mod ahead;
mod assign;
#[cfg(test)]
#[path = "tests/beyond.rs"]
mod beyond;
mod failovers;
#[cfg(test)]
#[path = "tests/failovers.rs"]
mod failovers_told;
mod gates;
mod limits;
#[cfg(test)]
#[path = "tests/limits_any.rs"]
mod limits_any;
#[cfg(test)]
#[path = "tests/limits.rs"]
mod limits_hold;
mod line;
mod next;
mod pace;
mod reclaim;
mod reserved;
mod room;
mod settle;
mod turns;
mod view;
mod window;
#[cfg(test)]
#[path = "tests/world.rs"]
mod world;

pub use assign::{Bounds, Numbers, assign};
pub use failovers::{At, Book, FOLLOWED, Job, OPEN_MAX, Untold, Wrote};
pub use limits::{Limits, Want};
pub use next::{Orphans, Rules, Turn, next};
pub use pace::Pace;
pub use reclaim::{promote, reclaim};
pub use reserved::{Reserved, less};
pub use settle::{Ending, Of, settle};
pub use turns::Turns;
pub use view::{Node, View};
pub use window::Window;
