//! The process groups that this process has started, the leashes they are on, and the guard that is told of both. One for the whole
//! process, since `kill -9` ends a whole process. Never holds its lock while it waits.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process_group};

use super::boot::Boot;
use super::link::Link;
use super::ward::kill;
use super::words::{Group, LeashId, Word};

/// 2 ms between looks whether killed groups are gone.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// 8 guards that the kernel holds though they were killed: a machine in which another would not help.
const DISMISSED_MAX: usize = 8;

static ROSTER: Mutex<Roster> = Mutex::new(Roster {
    groups: BTreeMap::new(),
    leashes: BTreeMap::new(),
    leash: 0,
    link: None,
    dismissed: Vec::new(),
});

struct Roster {
    groups: BTreeMap<Group, Entry>,
    leashes: BTreeMap<LeashId, Held>,
    /// The last one that was given out.
    leash: LeashId,
    link: Option<Link>,
    /// Guards that were killed and have not ended, [`DISMISSED_MAX`] before there is another.
    dismissed: Vec<Link>,
}

/// A group that is there.
struct Entry {
    /// 0 for none.
    leash: LeashId,
    /// Whether its leash has run out, once.
    cut: bool,
}

#[derive(Default)]
struct Held {
    until: Option<Boot>,
    /// Groups that were killed and not waited for.
    killed: Vec<Group>,
}

/// Locked for one look or change of the maps and a write to a pipe that does not block; a poisoned one still holds whole entries.
fn roster() -> MutexGuard<'static, Roster> {
    ROSTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until when the runs of one session may go on, whoever has to end them. Clones are the same; with the last it is no more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leash(Option<Arc<Owner>>);

#[derive(Debug)]
struct Owner(LeashId);

impl Leash {
    /// One without an end, until it is told one.
    pub(crate) fn new() -> Self {
        let mut roster = roster();
        roster.leash += 1;
        let id = roster.leash;
        roster.leashes.insert(id, Held::default());
        Self(Some(Arc::new(Owner(id))))
    }

    /// None: what is on it is ended with the process only.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    fn id(&self) -> LeashId {
        self.0.as_ref().map_or(0, |owner| owner.0)
    }

    /// It is good until then. Where it had run out before, what was on it is killed first, whoever was to do that.
    pub(crate) fn until(&self, until: Boot) {
        let (mut roster, id) = (roster(), self.id());
        if roster.is_over(id, Boot::now()) {
            roster.cut_all(|entry| entry.leash == id);
        }
        if let Some(held) = roster.leashes.get_mut(&id) {
            held.until = Some(until);
            roster.tell(Word::Until(id, until));
        }
    }

    /// Until when it is good; none where it was told no end.
    #[cfg(test)]
    pub(crate) fn ends(&self) -> Option<Boot> {
        roster().leashes.get(&self.id()).and_then(|held| held.until)
    }

    /// How many groups are on it.
    pub(crate) fn groups(&self) -> usize {
        let (roster, id) = (roster(), self.id());
        let on_it = roster.groups.values().filter(|entry| entry.leash == id);
        on_it.count()
    }

    /// Waits until nothing is left of the groups that were killed without anybody waiting for them.
    pub(crate) async fn gone(&self) {
        while self.leaves() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn leaves(&self) -> bool {
        let mut roster = roster();
        let Some(held) = roster.leashes.get_mut(&self.id()) else {
            return false;
        };
        held.killed.retain(|group| is_there(*group));
        !held.killed.is_empty()
    }
}

fn is_there(group: Group) -> bool {
    Pid::from_raw(group).is_some_and(|group| test_kill_process_group(group).is_ok())
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut roster = roster();
        roster.leashes.remove(&self.0);
        roster.tell(Word::Off(self.0));
    }
}

/// A group's place in the roster. Dropped before its leader is reaped, which would give its number away.
#[derive(Debug)]
pub(crate) struct Member {
    group: Group,
    leash: Leash,
}

impl Member {
    /// Enters a group, and tells the guard of it.
    pub(super) fn enter(group: Group, leash: Leash) -> Self {
        let mut roster = roster();
        let entry = Entry {
            leash: leash.id(),
            cut: false,
        };
        roster.groups.insert(group, entry);
        roster.tell(Word::Here(group, leash.id()));
        drop(roster);
        Self { group, leash }
    }

    /// Whether its time was over, so that it may have been killed from outside.
    pub(crate) fn was_cut(&self) -> bool {
        let roster = roster();
        let entry = roster.groups.get(&self.group);
        entry.is_some_and(|entry| entry.cut || roster.is_over(entry.leash, Boot::now()))
    }

    /// Says that it was killed and nobody waits for its end, see [`Leash::gone`].
    pub(crate) fn killed(&self) {
        if let Some(held) = roster().leashes.get_mut(&self.leash.id()) {
            held.killed.push(self.group);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut roster = roster();
        roster.groups.remove(&self.group);
        roster.tell(Word::Over(self.group));
    }
}

impl Roster {
    /// Kills these groups, each once; how many.
    fn cut_all(&mut self, over: impl Fn(&Entry) -> bool) -> usize {
        let entries = self.groups.iter_mut();
        let mut cut = 0;
        for (group, entry) in entries.filter(|(_, entry)| !entry.cut && over(entry)) {
            kill(*group);
            entry.cut = true;
            cut += 1;
        }
        cut
    }

    fn is_over(&self, leash: LeashId, now: Boot) -> bool {
        let until = self.leashes.get(&leash).and_then(|held| held.until);
        until.is_some_and(|until| until <= now)
    }

    /// A guard that cannot be told is of no use; the watchdog, or the next command, starts another.
    fn tell(&mut self, word: Word) {
        if let Some(link) = &mut self.link
            && link.tell(word).is_err()
        {
            self.dismiss();
        }
    }

    /// Has the guard killed. It is waited for later: one that the kernel holds would hold up everybody here.
    fn dismiss(&mut self) {
        self.dismissed.extend(self.link.take());
        self.dismissed.retain_mut(|link| !link.is_over());
    }

    /// Tells a new guard everything.
    fn brief(&self, link: &mut Link) -> io::Result<()> {
        for (leash, held) in &self.leashes {
            if let Some(until) = held.until {
                link.tell(Word::Until(*leash, until))?;
            }
        }
        for (group, entry) in &self.groups {
            link.tell(Word::Here(*group, entry.leash))?;
        }
        Ok(())
    }
}

/// Has a guard started where there is none.
///
/// # Errors
/// It cannot be started, or too many that were killed do not end.
pub(super) fn guarded() -> io::Result<()> {
    {
        let mut roster = roster();
        roster.dismissed.retain_mut(|link| !link.is_over());
        if roster.link.is_some() {
            return Ok(());
        }
        if roster.dismissed.len() >= DISMISSED_MAX {
            return Err(io::Error::other("guards that were killed do not end"));
        }
    }
    // It takes a moment, for which nobody else may have to wait.
    let mut link = Link::start()?;
    let mut roster = roster();
    if roster.link.is_none() {
        roster.brief(&mut link)?;
        roster.link = Some(link);
    }
    Ok(())
}

/// Whether there are groups, and no guard of them that lives; asks it where `ask`.
pub(super) fn unguarded(ask: bool) -> bool {
    let mut roster = roster();
    if roster.link.as_mut().is_some_and(|link| !link.lives(ask)) {
        roster.dismiss();
    }
    roster.link.is_none() && !roster.groups.is_empty()
}

/// Kills the groups whose leash has run out, each once; how many.
pub(super) fn cut(now: Boot) -> usize {
    let mut roster = roster();
    let held = roster.leashes.iter();
    let over = held.filter(|(_, held)| held.until.is_some_and(|until| until <= now));
    let over: BTreeSet<LeashId> = over.map(|(leash, _)| *leash).collect();
    roster.cut_all(|entry| over.contains(&entry.leash))
}

/// When a leash runs out next.
pub(super) fn next_cut(now: Boot) -> Option<Boot> {
    let roster = roster();
    let ends = roster.leashes.values().filter_map(|held| held.until);
    ends.filter(|until| *until > now).min()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::Command;

    use super::*;

    #[test]
    fn what_was_to_be_over_is_killed_before_its_leash_is_good_again() {
        // It ends by itself where nobody kills it.
        let mut child = Command::new("sleep")
            .arg("5")
            .process_group(0)
            .spawn()
            .unwrap();
        let leash = Leash::new();
        let member = Member::enter(i32::try_from(child.id()).unwrap(), leash.clone());
        leash.until(Boot::now());
        assert!(member.was_cut());

        leash.until(Boot::now().after(Duration::from_hours(1)));

        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(member.was_cut(), "and is known to have been");
    }
}
