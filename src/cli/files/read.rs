//! Reads what files declare, TOML or JSON; every fault with its file, its table and its field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::compare::{Id, Sort};
use super::fields::Fields;
use super::source::{Source, unplaced};
use crate::api::wire::check::PAYLOAD_BYTES_MAX;
use crate::api::wire::{
    FieldError, QueueRulesRequest, ScheduleRequest, SemaphoreRequest, schedule_name,
};
use crate::cli::Failure;
use crate::task::Name;

/// 10,000 files of one directory.
const FILES_MAX: usize = 10_000;

/// 20 faults are told; the rest is counted.
const FAULTS_TOLD: usize = 20;

/// What is declared.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// Each thing, field by field.
    pub(super) fields: BTreeMap<Id, Fields>,
    /// Each thing as it is sent.
    pub(super) bodies: BTreeMap<Id, Vec<u8>>,
    /// The sections that are there, also empty ones.
    pub(super) sections: BTreeSet<Sort>,
    files: BTreeMap<Id, PathBuf>,
    faults: Vec<String>,
}

type Section = Once<Box<RawValue>>;

/// Things by name, none of which is there twice.
struct Once<T>(BTreeMap<String, T>);

/// All that these files and directories declare.
pub(super) fn read(paths: &[PathBuf]) -> Result<Declared, Failure> {
    let mut declared = Declared::default();
    for file in files(paths)? {
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
        declared.add(&file, &text);
    }
    declared.finished()
}

impl Declared {
    /// What a text of this name declares.
    pub(super) fn of(file: &Path, text: &str) -> Result<Self, Failure> {
        let mut declared = Self::default();
        declared.add(file, text);
        declared.finished()
    }

    /// The file that has a thing.
    pub(super) fn file(&self, id: &Id) -> Option<&Path> {
        self.files.get(id).map(PathBuf::as_path)
    }

    fn finished(self) -> Result<Self, Failure> {
        if self.faults.is_empty() {
            return Ok(self);
        }
        let told = self.faults.iter().take(FAULTS_TOLD).cloned();
        let mut lines: Vec<String> = told.collect();
        if self.faults.len() > FAULTS_TOLD {
            lines.push(format!("and {} more", self.faults.len() - FAULTS_TOLD));
        }
        Err(Failure::usage(lines.join("\n")))
    }

    fn add(&mut self, file: &Path, text: &str) {
        let is_json = file.extension().is_some_and(|end| end == "json");
        let read = if is_json { json(text) } else { toml(text) };
        let source = Source::of(text, is_json);
        let sections = match read {
            Ok(sections) => sections,
            Err(problem) => return self.faults.push(format!("{}: {problem}", file.display())),
        };
        for (section, things) in sections.0 {
            let Some(sort) = Sort::ALL.into_iter().find(|sort| sort.section() == section) else {
                let known = Sort::ALL.map(Sort::section).join(", ");
                let fault = format!("there is no section `{section}`, only {known}");
                self.faults.push(format!("{}: {fault}", file.display()));
                continue;
            };
            self.sections.insert(sort);
            for (name, thing) in things.0 {
                self.thing(file, &source, Id { sort, name }, &thing);
            }
        }
    }

    fn thing(&mut self, file: &Path, source: &Source<'_>, id: Id, thing: &RawValue) {
        let table = format!("{}: {}.{}", file.display(), id.sort.section(), id.name);
        if let Some(other) = self.files.get(&id) {
            let fault = format!("{table}: {} has it too", other.display());
            return self.faults.push(fault);
        }
        match declared(&id, thing) {
            Ok((fields, body)) => {
                self.fields.insert(id.clone(), fields);
                self.bodies.insert(id.clone(), body);
            }
            Err(faults) => {
                let lines = faults.into_iter().map(|fault| {
                    let (fault, at) = unplaced(fault);
                    let line = source.line(&id, &fault.pointer, thing, at);
                    let line = line.map_or(String::new(), |line| format!(" (line {line})"));
                    format!("{table}{}{line}", told(&fault))
                });
                self.faults.extend(lines);
            }
        }
        self.files.insert(id, file.to_owned());
    }
}

/// `.task.priority: 10 is not in 1 to 9`.
pub(super) fn told(fault: &FieldError) -> String {
    let path = fault.pointer.replace('/', ".");
    format!("{path}: {}", fault.detail)
}

fn declared(id: &Id, thing: &RawValue) -> Result<(Fields, Vec<u8>), Vec<FieldError>> {
    let whole = |detail: String| {
        vec![FieldError {
            pointer: String::new(),
            field: String::new(),
            detail,
        }]
    };
    let name = match id.sort {
        Sort::Schedule => schedule_name(&id.name).map(drop),
        Sort::Queue | Sort::Semaphore => {
            let name: Result<Name, _> = id.name.parse();
            name.map(drop).map_err(|wrong| wrong.to_string())
        }
    };
    name.map_err(whole)?;
    let json = thing.get();
    if !json.starts_with('{') {
        return Err(whole("is no table".to_owned()));
    }
    match id.sort {
        Sort::Schedule => {
            let request = ScheduleRequest::read(json.as_bytes())?;
            let mut faults = request.check(PAYLOAD_BYTES_MAX);
            if request.task.is_none() {
                faults.push(FieldError::new("task", "is missing"));
            }
            // What is over was good once: whether it is due any more matters only where it is sent.
            faults.extend(request.timing(&id.name, 0).err().into_iter().flatten());
            good(faults, &request, |request| {
                Fields::schedule(request.clone())
            })
        }
        Sort::Queue => {
            let rules: QueueRulesRequest = fielded(json)?;
            good(rules.check(), &rules, |rules| Fields::queue(rules.clone()))
        }
        Sort::Semaphore => {
            let request: SemaphoreRequest = fielded(json)?;
            good(request.check(), &request, Fields::semaphore)
        }
    }
}

fn good<T: serde::Serialize>(
    faults: Vec<FieldError>,
    of: &T,
    fields: impl FnOnce(&T) -> Fields,
) -> Result<(Fields, Vec<u8>), Vec<FieldError>> {
    if !faults.is_empty() {
        return Err(faults);
    }
    let body = serde_json::to_vec(of).expect("a request has string keys");
    Ok((fields(of), body))
}

fn fielded<T: DeserializeOwned>(json: &str) -> Result<T, Vec<FieldError>> {
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader).map_err(|wrong| {
        let (path, problem) = (wrong.path().to_string(), wrong.inner().to_string());
        let mut fault = FieldError::new(&path, problem);
        if path == "." {
            fault.pointer.clear();
        }
        vec![fault]
    })
}

fn json(text: &str) -> Result<Once<Section>, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn toml(text: &str) -> Result<Once<Section>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        format!("line {line}: {}", error.message())
    })?;
    let section = |(name, section): (String, toml::Value)| {
        let toml::Value::Table(things) = section else {
            return Err(format!("`{name}` is no section"));
        };
        let things = things.into_iter().map(|(name, thing)| {
            let thing = to_raw_value(&plain(thing)).expect("a JSON value always encodes");
            (name, thing)
        });
        Ok((name, Once(things.collect())))
    };
    let sections = table.into_iter().map(section);
    sections.collect::<Result<_, _>>().map(Once)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Once<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Names(PhantomData))
    }
}

/// Reads [`Once`]: of two of one name a map would keep the last, without a word.
struct Names<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Names<T> {
    type Value = Once<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("things by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once<T>, A::Error> {
        let mut things = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let thing = map.next_value()?;
            if things.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            things.insert(name, thing);
        }
        Ok(Once(things))
    }
}

/// TOML as JSON; a time is its text.
fn plain(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from(number),
        toml::Value::Boolean(is) => Value::Bool(is),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(values) => values.into_iter().map(plain).collect(),
        toml::Value::Table(table) => {
            let fields = table.into_iter().map(|(name, value)| (name, plain(value)));
            Value::Object(fields.collect())
        }
    }
}

/// The files that are named, and those of directories that end in `.toml` or `.json`, in order.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        let mut found = Vec::new();
        for entry in entries {
            let file = entry.map_err(|error| unreadable(path, &error))?.path();
            let ends = file.extension();
            if ends.is_some_and(|end| end == "toml" || end == "json") && file.is_file() {
                found.push(file);
            }
            if found.len() > FILES_MAX {
                let many = format!("{} has more than {FILES_MAX} files", path.display());
                return Err(Failure::usage(many));
            }
        }
        if found.is_empty() {
            let none = format!("{} has no file that ends in .toml or .json", path.display());
            return Err(Failure::usage(none));
        }
        found.sort_unstable();
        files.extend(found);
    }
    Ok(files)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", path.display()))
}
