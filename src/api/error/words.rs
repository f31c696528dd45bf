//! How problems are put in words; knows no status.

use tenure_cluster::Room;
use uuid::Uuid;

use super::FAULTS_MAX;
use crate::api::level::{Cause, Level};
use crate::api::wire::FieldError;
use crate::config::Role;
use crate::task::{Name, TaskId};

/// 32 ids are told: about as many as are granted in one transaction.
const IDS_TOLD_MAX: usize = 32;

pub(super) fn counted(faults: &[FieldError]) -> String {
    match faults {
        [one] if one.field.is_empty() => one.detail.clone(),
        [one] => format!("{}: {}", one.field, one.detail),
        [first, ..] if faults.len() > FAULTS_MAX => {
            format!(
                "{} faults, the first {FAULTS_MAX} are listed; {}: {}",
                faults.len(),
                first.field,
                first.detail
            )
        }
        [first, ..] => format!("{} faults; {}: {}", faults.len(), first.field, first.detail),
        [] => "invalid".to_owned(),
    }
}

pub(super) fn fence(now: Option<i64>) -> String {
    match now {
        Some(now) => {
            format!("it is held with fence {now}: a hold is given back by its own fence only")
        }
        None => "nobody outside holds it with this fence".to_owned(),
    }
}

pub(super) fn shed(queue: Option<&Name>, level: Level, why: Cause) -> String {
    let what = queue.map_or("all new work is".to_owned(), |queue| {
        format!("submits to queue `{queue}` are")
    });
    format!("service is {level}: {what} refused, because {why}; nothing was accepted")
}

pub(super) fn ambiguous(fence: i64, ids: &[Uuid]) -> String {
    let mut told: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    if told.len() > IDS_TOLD_MAX {
        told.truncate(IDS_TOLD_MAX);
        told.push(format!("and {} more", ids.len() - IDS_TOLD_MAX));
    }
    let told = told.join(", ");
    format!(
        "fence {fence} is or was of {} holds, which were granted at once: {told}; say which with `id` (--id)",
        ids.len()
    )
}

pub(super) fn full(room: &Room) -> String {
    let Room { in_use, quota, .. } = room;
    let until = if room.no_space {
        "etcd has raised its alarm NOSPACE: new work is refused until it has room and the alarm is disarmed; a node's own etcd disarms it itself, and `etcd-quota` gives it more room"
    } else {
        "new work is refused until ended tasks are collected or the quota is raised"
    };
    format!("etcd has {in_use} bytes of its quota of {quota} in use; {until}")
}

pub(super) fn overlap(schedule: &Name, open: &[TaskId]) -> String {
    let open: Vec<String> = open.iter().map(ToString::to_string).collect();
    format!(
        "schedule `{schedule}` has tasks that have not ended, and its rule of overlap forbids another: {}",
        open.join(", ")
    )
}

/// A role's name.
pub(in crate::api) fn word(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Submit => "submit",
        Role::Admin => "admin",
    }
}
