//! The guard: a process of this program that knows every process group of a node's commands, and kills them all once the node is gone,
//! or those of a leash once that has run out. Never talks to anybody but the node that started it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use rustix::process::{Pid, Signal, getppid, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};

use super::boot::{Boot, LOOK_EVERY};
use super::words::{Group, LeashId, Word};

/// The word that makes this program a guard.
pub(super) const WORD: &str = "tenure-guard";

/// Signals that are sent to many at once, and that a guard outlives.
const OUTLIVED: [SignalKind; 5] = [
    SignalKind::terminate(),
    SignalKind::interrupt(),
    SignalKind::hangup(),
    SignalKind::quit(),
    SignalKind::pipe(),
];

/// The groups that are there, and until when.
#[derive(Debug, Default)]
struct Ward {
    groups: BTreeMap<Group, LeashId>,
    leashes: BTreeMap<LeashId, Boot>,
}

impl Ward {
    fn fold(&mut self, word: Word) {
        match word {
            Word::Here(group, leash) => {
                self.groups.insert(group, leash);
            }
            Word::Over(group) => {
                self.groups.remove(&group);
            }
            Word::Until(leash, until) => {
                self.leashes.insert(leash, until);
            }
            Word::Off(leash) => {
                self.leashes.remove(&leash);
            }
            Word::Ping => {}
        }
    }

    /// Groups whose leash has run out.
    fn due(&self, now: Boot) -> impl Iterator<Item = Group> + '_ {
        let out = move |leash: &LeashId| self.leashes.get(leash).is_some_and(|until| *until <= now);
        let due = self.groups.iter().filter(move |(_, leash)| out(leash));
        due.map(|(group, _)| *group)
    }
}

/// Guards until the pipe ends.
pub(super) fn run() -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let guarded = runtime.and_then(|runtime| runtime.block_on(guard()));
    std::process::exit(i32::from(guarded.is_err()))
}

async fn guard() -> io::Result<()> {
    let _outlived = outlive()?;
    let mut lines = hear()?;
    // It is ready: nothing that is sent to many ends it from here on.
    answer();
    let mut kept = Ward::default();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let node = getppid();
    loop {
        tokio::select! {
            // All that was said first: a longer leash and the end of a group may wait in the pipe, also where this process was stopped.
            biased;
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { break };
                let Ok(word) = line.parse() else { continue };
                kept.fold(word);
                if word == Word::Ping {
                    answer();
                }
            }
            _ = ticks.tick() => {
                // Something that the node forked and that became no other program keeps the pipe open.
                if getppid() != node {
                    break;
                }
                kept.due(Boot::now()).for_each(kill);
            }
        }
    }
    kept.groups.into_keys().for_each(kill);
    Ok(())
}

/// Where it fails, nobody listens.
fn answer() {
    let _nobody_listens = io::stdout()
        .write_all(b".")
        .and_then(|()| io::stdout().flush());
}

/// Fails only where nothing is left of it, which is what this is for. The number is the group's as long as the node has not said that it
/// is over, which it says before it lets go of the number.
pub(super) fn kill(group: Group) {
    if let Some(group) = Pid::from_raw(group) {
        let _gone = kill_process_group(group, Signal::KILL);
    }
}

/// Lines of standard input as they come.
pub(crate) type Heard = Lines<BufReader<Receiver>>;

/// # Errors
/// It is no pipe.
pub(crate) fn hear() -> io::Result<Heard> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    Ok(BufReader::new(Receiver::from_owned_fd(stdin)?).lines())
}

/// From here on they do not end this process. Nobody reads them.
///
/// # Errors
/// The system refuses.
pub(crate) fn outlive() -> io::Result<Vec<tokio::signal::unix::Signal>> {
    OUTLIVED.into_iter().map(signal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_due_with_its_leash_as_it_was_told_last() {
        let mut ward = Ward::default();
        let at = |nanos| Boot::at(nanos);
        let due = |ward: &Ward, now| ward.due(at(now)).collect::<Vec<_>>();
        for word in [
            Word::Until(1, at(10)),
            Word::Until(2, at(20)),
            Word::Here(100, 1),
            Word::Here(200, 2),
            Word::Here(300, 0),
        ] {
            ward.fold(word);
        }
        assert!(due(&ward, 9).is_empty());
        assert_eq!(due(&ward, 10), [100]);
        assert_eq!(due(&ward, 99), [100, 200]);

        ward.fold(Word::Until(1, at(30)));
        ward.fold(Word::Over(200));
        assert!(due(&ward, 29).is_empty());
        assert_eq!(due(&ward, 30), [100]);

        ward.fold(Word::Off(1));
        assert!(due(&ward, 99).is_empty());
        assert_eq!(ward.groups.into_keys().collect::<Vec<_>>(), [100, 300]);
    }
}
