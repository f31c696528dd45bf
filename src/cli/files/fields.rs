//! What is declared, field by field in one normal form, so that a file and a cluster can be compared; pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::api::wire::{
    MISFIRE_MAX_DEFAULT, Misfire, QueueRulesRequest, ScheduleRequest, SemaphoreRequest,
    SubmitRequest, Time, canonical,
};

/// A field whose own fields are compared one by one.
const TASK: &str = "task";

/// A thing's fields by name, `task.priority` among them; those at their default are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(BTreeMap<String, Field>);

/// The value of a field: equal where the canonical form is.
#[derive(Clone, Debug)]
pub(super) struct Field(Box<RawValue>);

impl Field {
    /// The JSON.
    pub(super) fn json(&self) -> &RawValue {
        &self.0
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        canonical(&self.0) == canonical(&other.0)
    }
}

impl Eq for Field {}

impl Fields {
    /// Of a schedule.
    pub(super) fn schedule(request: ScheduleRequest) -> Self {
        let default = ScheduleRequest {
            task: Some(SubmitRequest::new("", serde_json::Value::Null)),
            ..ScheduleRequest::default()
        };
        Self::beside(&normal(request), &default)
    }

    /// Of a queue's rules.
    pub(super) fn queue(mut rules: QueueRulesRequest) -> Self {
        if let Some(rate) = &mut rules.rate {
            rate.burst = rate.burst.or(Some(rate.tasks));
        }
        Self::beside(&rules, &QueueRulesRequest::default())
    }

    /// Of a semaphore.
    pub(super) fn semaphore(request: &SemaphoreRequest) -> Self {
        Self(parts(request))
    }

    /// Whether all fields are at their defaults.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each field that is not the same: its name, what it is here and what it is there.
    pub(super) fn differ<'a>(
        &'a self,
        other: &'a Self,
    ) -> Vec<(&'a str, Option<&'a Field>, Option<&'a Field>)> {
        let mut names: Vec<&str> = self
            .0
            .keys()
            .chain(other.0.keys())
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        let both = names
            .into_iter()
            .map(|name| (name, self.0.get(name), other.0.get(name)));
        both.filter(|(_, here, there)| here != there).collect()
    }

    /// As a file has them: those of the task below `task`.
    pub(super) fn nested(&self) -> BTreeMap<&str, Box<RawValue>> {
        let (mut nested, mut task) = (BTreeMap::new(), BTreeMap::new());
        for (name, field) in &self.0 {
            let inner = name.strip_prefix(TASK);
            if let Some(inner) = inner.and_then(|name| name.strip_prefix('.')) {
                task.insert(inner, &*field.0);
            } else {
                nested.insert(name.as_str(), field.0.clone());
            }
        }
        if !task.is_empty() {
            nested.insert(TASK, raw(&task));
        }
        nested
    }

    /// Those that are not as in the other.
    fn beside<T: Serialize>(of: &T, default: &T) -> Self {
        let default = parts(default);
        let mut fields = parts(of);
        fields.retain(|name, field| default.get(name) != Some(field));
        Self(fields)
    }
}

/// As the server tells it: defaults that are said are the same as those that are not.
fn normal(mut request: ScheduleRequest) -> ScheduleRequest {
    if request.stored_when().is_some_and(|when| when.has_zone()) {
        request.timezone.get_or_insert_with(|| "UTC".to_owned());
    }
    if request.misfire == Misfire::FireAll {
        request.misfire_max = request.misfire_max.or(Some(MISFIRE_MAX_DEFAULT));
    }
    for text in [&mut request.at, &mut request.start, &mut request.end] {
        let time = text.as_deref().and_then(|text| text.parse().ok());
        *text =
            time.map(|time: jiff::Timestamp| Time::from_millis(time.as_millisecond()).to_string());
    }
    if let Some(task) = &mut request.task {
        let semaphore = |permit: &crate::api::wire::Permit| permit.semaphore.clone();
        task.permits.sort_by_key(semaphore);
        task.locks.sort_unstable();
    }
    request
}

fn parts(of: &impl Serialize) -> BTreeMap<String, Field> {
    let mut fields = BTreeMap::new();
    for (name, value) in split(&raw(of)) {
        if name == TASK {
            let inner = split(&value).into_iter();
            fields.extend(inner.map(|(inner, value)| (format!("{TASK}.{inner}"), Field(value))));
        } else {
            fields.insert(name, Field(value));
        }
    }
    fields
}

fn split(json: &RawValue) -> BTreeMap<String, Box<RawValue>> {
    serde_json::from_str(json.get()).expect("a request is a JSON object")
}

fn raw(of: &impl Serialize) -> Box<RawValue> {
    to_raw_value(of).expect("a request has string keys")
}
