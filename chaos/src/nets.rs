//! Ways between networks that are broken by the kernel: by nftables where packets come in, and by tc where they go out. What is broken
//! is planned first, as text, and then told to the kernel of each place at once; each barrier has a name, under which it is removed.
//!
//! Open connections are affected as new ones are. The network of this machine itself is never touched. Nothing comes later by this: not
//! every kernel has netem, a proxy has.

mod plan;

use self::plan::{Means, Step, steps};
use crate::target::{How, Made};
use crate::tools::{Ran, configure};
use std::net::Ipv4Addr;

/// One end of a way: a network that can be entered from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The words before a program that put it there, never none.
    pub(crate) entrance: Vec<String>,
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// What it sends through, such as `eth0`.
    pub(crate) device: String,
}

/// A way that is broken, or is going to be: what `from` sends to `to`, and with `both` also what `to` sends to `from`.
#[derive(Clone, Debug)]
pub(crate) struct Barrier {
    /// Two barriers of one name are one.
    pub(crate) name: String,
    pub(crate) from: Vec<Place>,
    pub(crate) to: Vec<Place>,
    pub(crate) both: bool,
    pub(crate) how: How,
}

impl Barrier {
    /// Sets it up; where it stands already, anew. A reset is made when something comes along, so a connection that is silent stays open
    /// until somebody speaks; new ones are refused. Of what is narrow, a place that sends has one at a time.
    ///
    /// # Errors
    /// When a tool does not end, or refuses what it was told for another reason than that it is not permitted. What was set up is removed
    /// again as far as that is possible.
    pub(crate) async fn set(&self) -> anyhow::Result<Made> {
        let steps = match steps(self) {
            Ok(steps) => steps,
            Err(why) => return Ok(Made::Cannot(why)),
        };
        for (nth, step) in steps.iter().enumerate() {
            let made = step.set().await;
            if !matches!(made, Ok(Made::Yes)) {
                for before in &steps[..nth] {
                    before.lift().await?;
                }
                return made;
            }
        }
        Ok(Made::Yes)
    }

    /// Removes it, and nothing else; where it does not stand, nothing.
    ///
    /// # Errors
    /// As `set`; it may stand in part.
    pub(crate) async fn lift(&self) -> anyhow::Result<Made> {
        let steps = match steps(self) {
            Ok(steps) => steps,
            Err(why) => return Ok(Made::Cannot(why)),
        };
        for step in &steps {
            let lifted = step.lift().await?;
            if lifted != Made::Yes {
                return Ok(lifted);
            }
        }
        Ok(Made::Yes)
    }
}

/// Who shapes what a place sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shaper {
    Nobody,
    Us,
    Another,
}

impl Step {
    async fn set(&self) -> anyhow::Result<Made> {
        match &self.means {
            Means::Rules { set, .. } => self.told(&["nft", "-f", "-"], set).await,
            Means::Shape { set, .. } => match self.shaped().await? {
                Err(why) => Ok(Made::Cannot(why)),
                Ok(Shaper::Us) => Ok(Made::Yes),
                Ok(Shaper::Another) => Ok(Made::Cannot(
                    "tc: what is sent there is shaped by something else already".to_owned(),
                )),
                Ok(Shaper::Nobody) => {
                    let made = self.told(&["tc", "-batch", "-"], set).await;
                    if !matches!(made, Ok(Made::Yes)) {
                        // The first lines of it may have been obeyed.
                        self.lift().await?;
                    }
                    made
                }
            },
        }
    }

    async fn lift(&self) -> anyhow::Result<Made> {
        match &self.means {
            Means::Rules { lift, .. } => self.told(&["nft", "-f", "-"], lift).await,
            Means::Shape { lift, .. } => match self.shaped().await? {
                Err(why) => Ok(Made::Cannot(why)),
                Ok(Shaper::Nobody | Shaper::Another) => Ok(Made::Yes),
                Ok(Shaper::Us) => self.told(&["tc", "-batch", "-"], lift).await,
            },
        }
    }

    /// Whether what the place sends is shaped, and under our name; or why that cannot be known.
    async fn shaped(&self) -> anyhow::Result<Result<Shaper, String>> {
        let Means::Shape { device, handle, .. } = &self.means else {
            return Ok(Ok(Shaper::Nobody));
        };
        let words = ["tc", "qdisc", "show", "dev", device];
        Ok(match configure(&self.entrance, &words, "").await? {
            Ran::Done(said) => Ok(shaped_by(&said, handle)),
            Ran::Cannot(why) => Err(why),
            Ran::Refused(why) => anyhow::bail!(why),
        })
    }

    async fn told(&self, words: &[&str], input: &str) -> anyhow::Result<Made> {
        match configure(&self.entrance, words, input).await? {
            Ran::Done(_) => Ok(Made::Yes),
            Ran::Cannot(why) => Ok(Made::Cannot(why)),
            Ran::Refused(why) => anyhow::bail!(why),
        }
    }
}

/// By what `tc qdisc show` says, such as `qdisc htb 8a1: root refcnt 2`; what the kernel puts there by itself has the handle `0:`.
fn shaped_by(said: &str, handle: &str) -> Shaper {
    let root = said.lines().find_map(|line| {
        let mut words = line.split(' ').skip(2);
        let handle = words.next()?;
        (words.next() == Some("root")).then_some(handle)
    });
    match root {
        None | Some("0:") => Shaper::Nobody,
        Some(other) if other == handle => Shaper::Us,
        Some(_) => Shaper::Another,
    }
}

#[cfg(test)]
#[path = "nets/tests.rs"]
mod tests;
