//! The bounds of a schedule, each refused by name: used by the server on every request, and by the CLI before it sends one.

use serde_json::Value;

use super::{BackfillRequest, Misfire, Overlap, ScheduleRequest};
use crate::api::wire::check::Faults;
use crate::api::wire::read::type_name;
use crate::api::wire::{FieldError, OnLost, diagnose};
use crate::task::timing::{EVERY_MS_MAX, EVERY_MS_MIN, Timing, When};
use crate::task::{
    FIRE_ALL_MAX, JITTER_MS_MAX, LOCKS_MAX, Name, SCHEDULE_NAME_CHARS_MAX, WINDOW_MS_MAX,
};

/// 100 due times to a preview.
pub const NEXT_MAX: usize = 100;

/// 1,000 ms: the shortest deadline of a start.
const DEADLINE_MS_MIN: i64 = 1_000;

/// 600 lines of a ledger at most, some more than are kept.
pub const LINES_MAX: usize = 600;

/// 64 characters are told of a text that is no instant.
const TOLD_CHARS_MAX: usize = 64;

/// What no schedule is called: a path has this word there.
const PREVIEW: &str = "preview";

/// The name of a schedule.
///
/// # Errors
/// It is no name, or too long for a schedule's, or a word of the API.
pub fn schedule_name(text: &str) -> Result<Name, String> {
    let name: Name = text
        .parse()
        .map_err(|wrong: crate::task::NameError| wrong.to_string())?;
    if text.len() > SCHEDULE_NAME_CHARS_MAX {
        let bound = format!("a schedule's has at most {SCHEDULE_NAME_CHARS_MAX}");
        return Err(format!("`{text}` has {} characters; {bound}", text.len()));
    }
    if text == PREVIEW {
        return Err(format!("`{PREVIEW}` is a word of the API, and no schedule"));
    }
    Ok(name)
}

impl ScheduleRequest {
    /// Reads one from JSON.
    ///
    /// # Errors
    /// As [`super::super::SubmitRequest::read`], with pointers such as `/task/priority`; where the text as a whole is wrong the field is
    /// `schedule`.
    pub fn read(json: &[u8]) -> Result<Self, Vec<FieldError>> {
        // Fields by their place in an array would be read as well.
        if json.trim_ascii_start().first() != Some(&b'{') {
            let value = serde_json::from_slice::<Value>(json);
            let kind = value.map_err(|error| vec![whole(&error.to_string())])?;
            let kind = type_name(&kind);
            let detail = format!("a schedule is a JSON object, not {kind}");
            return Err(vec![whole(&detail)]);
        }
        let mut reader = serde_json::Deserializer::from_slice(json);
        let wrong = match serde_path_to_error::deserialize(&mut reader) {
            Ok(request) => match reader.end() {
                Ok(()) => return Ok(request),
                Err(error) => return Err(vec![whole(&error.to_string())]),
            },
            Err(wrong) => wrong,
        };
        let value = serde_json::from_slice::<Value>(json);
        let value = value.map_err(|error| vec![whole(&error.to_string())])?;
        let task = value.get("task").filter(|task| !task.is_null());
        let mut faults = task.map(diagnose).unwrap_or_default();
        faults = faults.into_iter().map(under_task).collect();
        let path = wrong.path().to_string();
        let detail = wrong.inner().to_string();
        match path.split('.').next().unwrap_or_default() {
            "task" if !faults.is_empty() => {}
            "" => faults.push(whole(&detail)),
            _ => faults.push(FieldError::new(&path, detail)),
        }
        Err(faults)
    }

    /// Every field that is out of its bound, but for when it is due, which [`Self::timing`] says; empty when all are good.
    /// `payload_bytes_max` is the server's limit.
    pub fn check(&self, payload_bytes_max: usize) -> Vec<FieldError> {
        let mut found = Faults::default();
        let window_max = WINDOW_MS_MAX.cast_signed();
        found.range("jitter_ms", self.jitter_ms, 0, JITTER_MS_MAX.cast_signed());
        found.range("catch_up_ms", self.catch_up_ms, 0, window_max);
        if let Some(deadline) = self.start_deadline_ms {
            found.range("start_deadline_ms", deadline, DEADLINE_MS_MIN, window_max);
        }
        if let Some(max) = self.misfire_max {
            found.range("misfire_max", max, 1, i64::from(FIRE_ALL_MAX));
            if self.misfire != Misfire::FireAll {
                found.add("misfire_max", "is for `fire_all` only".to_owned());
            }
        }
        found.labels(&self.labels);
        if let Some(task) = &self.task {
            let faults = task.check(payload_bytes_max);
            found.0.extend(faults.into_iter().map(under_task));
            found
                .0
                .extend(self.of_template().into_iter().map(under_task));
        }
        found.0
    }

    /// What a task may have and a template may not.
    fn of_template(&self) -> Vec<FieldError> {
        let mut found = Faults::default();
        let Some(task) = &self.task else {
            return Vec::new();
        };
        for (field, given) in [
            ("run_at", task.run_at.is_some()),
            ("delay_ms", task.delay_ms.is_some()),
            ("idempotency_key", task.idempotency_key.is_some()),
        ] {
            if given {
                let detail = "is not for the task of a schedule, which is made when it is due";
                found.add(field, detail.to_owned());
            }
        }
        if self.overlap != Overlap::Allow && task.on_lost == OnLost::Finish {
            let why = "`finish` needs `overlap` to be `allow`: its tasks take a lock of the schedule otherwise";
            found.add("on_lost", why.to_owned());
        }
        if self.overlap != Overlap::Allow && task.locks.len() == LOCKS_MAX {
            let most = LOCKS_MAX - 1;
            let why = "unless `overlap` is `allow`, its tasks take a lock of the schedule as well";
            found.add(
                "locks",
                format!("has {LOCKS_MAX}; at most {most} are allowed: {why}"),
            );
        }
        found.0
    }

    /// When it is due. `name` is what `H` in an expression is spread by; what is never due after `now_ms` is a fault.
    ///
    /// # Errors
    /// The fields at fault, at least one; where in an expression is in the detail.
    pub fn timing(&self, name: &str, now_ms: u64) -> Result<Timing, Vec<FieldError>> {
        let mut found = Faults::default();
        let start = found.instant("start", self.start.as_deref());
        let end = found.instant("end", self.end.as_deref());
        let when = self.when(&mut found);
        let Some(when) = when.filter(|_| found.0.is_empty()) else {
            return Err(found.0);
        };
        Timing::new(name, &when, self.timezone.as_deref(), start, end, now_ms).map_err(|wrong| {
            let detail = match wrong.position {
                Some(at) => format!("{at}: {}", wrong.detail),
                None => wrong.detail,
            };
            vec![FieldError::new(wrong.field.as_str(), detail)]
        })
    }

    fn when(&self, found: &mut Faults) -> Option<When> {
        let at = found.instant("at", self.at.as_deref());
        match (&self.cron, self.every_ms, &self.at) {
            (Some(cron), None, None) => Some(When::Cron(cron.clone())),
            (None, Some(ms), None) => {
                let every = u64::try_from(ms).ok();
                if every.is_none() {
                    let (min, max) = (EVERY_MS_MIN.cast_signed(), EVERY_MS_MAX.cast_signed());
                    found.range("every_ms", ms, min, max);
                }
                every.map(When::Every)
            }
            (None, None, Some(_)) => at.map(When::At),
            (None, None, None) => {
                let detail = "one of `cron`, `every_ms` and `at` has to say when it is due";
                found.add("cron", detail.to_owned());
                None
            }
            (Some(_), Some(_), _) | (_, Some(_), Some(_)) | (Some(_), None, Some(_)) => {
                let detail = "exactly one of `cron`, `every_ms` and `at` says when it is due";
                let field = if self.cron.is_some() {
                    "cron"
                } else {
                    "every_ms"
                };
                found.add(field, detail.to_owned());
                None
            }
        }
    }

    /// When it is due, as it is stored; none where that is at fault.
    pub fn stored_when(&self) -> Option<When> {
        self.when(&mut Faults::default())
    }
}

impl BackfillRequest {
    /// From when to when, in milliseconds since 1970.
    ///
    /// # Errors
    /// Every field that is at fault.
    pub fn span(&self, now_ms: u64) -> Result<(u64, u64), Vec<FieldError>> {
        let mut found = Faults::default();
        let from = found.instant("from", Some(&self.from));
        let to = found.instant("to", Some(&self.to));
        let (Some(from), Some(to)) = (from, to) else {
            return Err(found.0);
        };
        if to < from {
            found.add("to", "is before `from`".to_owned());
        }
        if to > now_ms {
            found.add("to", "is in the future".to_owned());
        }
        if found.0.is_empty() {
            return Ok((from, to));
        }
        Err(found.0)
    }
}

/// An instant in milliseconds since 1970; none where the text is not one.
pub(in crate::api) fn instant(text: &str) -> Option<u64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

impl Faults {
    fn instant(&mut self, field: &str, text: Option<&str>) -> Option<u64> {
        let text = text?;
        let found = instant(text);
        if found.is_none() {
            let text: String = text.chars().take(TOLD_CHARS_MAX).collect();
            let example = "an RFC 3339 time since 1970 such as 2026-01-31T12:00:00Z";
            self.add(field, format!("`{text}` is not {example}"));
        }
        found
    }
}

fn under_task(fault: FieldError) -> FieldError {
    fault.under("/task")
}

fn whole(detail: &str) -> FieldError {
    FieldError {
        pointer: String::new(),
        field: "schedule".to_owned(),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
