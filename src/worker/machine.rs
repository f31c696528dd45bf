//! What the machine has left, from the files of the Linux kernel: how much of processors and memory is in use, and how long work
//! stalls for want of them. Decides nothing.
//!
//! Where the node's own cgroup (v2) has a limit, what is scarcer counts: the machine or the cgroup. Limits of groups above it are
//! not looked for. What a file that is missing or not understood would tell is unknown, never guessed.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// What was read: shares from 0 to 1; none where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Of the processors' time, what was in use since the last reading.
    pub cpu: Option<f64>,
    /// Of the time since the last reading, that in which some work waited for a processor.
    pub cpu_stalled: Option<f64>,
    /// Of the memory, what is in use and could not be freed at once.
    pub memory: Option<f64>,
    /// Of the time since the last reading, that in which some work waited for memory.
    pub memory_stalled: Option<f64>,
}

/// A machine to be read; clones are the same.
#[derive(Clone, Default)]
pub struct Machine(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    Kernel,
    Given(Arc<dyn Fn() -> Reading + Send + Sync>),
}

impl Machine {
    /// A machine that is as this says.
    pub fn of(reading: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self(Source::Given(Arc::new(reading)))
    }

    /// Reads it from outside of this room.
    pub fn gauge(&self) -> Gauge {
        Gauge(self.meter())
    }

    pub(super) fn meter(&self) -> Meter {
        Meter {
            source: self.0.clone(),
            last: None,
        }
    }
}

/// Reads a machine again and again for whoever is no worker.
pub struct Gauge(Meter);

impl Gauge {
    /// What came since the last reading, read on a thread that nobody waits for.
    ///
    /// # Panics
    /// Where reading does.
    pub async fn read(self) -> (Self, Reading) {
        let Self(mut meter) = self;
        if let Some(reading) = meter.given() {
            return (Self(meter), reading);
        }
        let mut reads = JoinSet::new();
        reads.spawn_blocking(move || {
            let reading = meter.read();
            (Self(meter), reading)
        });
        let read = reads.join_next().await.expect("it was spawned just now");
        read.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
    }
}

/// Reads a machine again and again: of what only grows, it tells what came since the last time, nothing at the first.
pub(super) struct Meter {
    source: Source,
    last: Option<Sample>,
}

impl Meter {
    /// What it tells where no file has to be read for it.
    pub(super) fn given(&self) -> Option<Reading> {
        match &self.source {
            Source::Given(reading) => Some(reading()),
            Source::Kernel => None,
        }
    }

    /// Reads some small files, which may take milliseconds: not on a thread that others wait for.
    pub(super) fn read(&mut self) -> Reading {
        if let Some(reading) = self.given() {
            return reading;
        }
        let sample = Sample::of(&Texts::read(), Instant::now());
        let reading = sample.since(self.last.as_ref());
        self.last = Some(sample);
        reading
    }
}

/// The files, as far as they are there.
#[derive(Clone, Debug, Default)]
struct Texts {
    /// `/proc/stat`.
    stat: Option<String>,
    /// `/proc/meminfo`.
    meminfo: Option<String>,
    /// `cpu.stat` and `cpu.max` of the cgroup.
    group_cpu: [Option<String>; 2],
    /// `memory.current`, `memory.max` and `memory.stat` of the cgroup.
    group_memory: [Option<String>; 3],
    /// `cpu.pressure` and `memory.pressure` of the cgroup, or else of the machine.
    pressure: [Option<String>; 2],
}

impl Texts {
    fn read() -> Self {
        let file = |path: &str| fs::read_to_string(path).ok();
        let group = file("/proc/self/cgroup")
            .as_deref()
            .and_then(own_group)
            .map(|path| format!("/sys/fs/cgroup{}", path.trim_end_matches('/')));
        let of_group = |name: &str| file(&format!("{}/{name}", group.as_ref()?));
        let pressure = |name: &str| {
            of_group(&format!("{name}.pressure"))
                .or_else(|| file(&format!("/proc/pressure/{name}")))
        };
        Self {
            stat: file("/proc/stat"),
            meminfo: file("/proc/meminfo"),
            group_cpu: ["cpu.stat", "cpu.max"].map(of_group),
            group_memory: ["memory.current", "memory.max", "memory.stat"].map(of_group),
            pressure: ["cpu", "memory"].map(pressure),
        }
    }
}

/// What the files said at one time: counters that only grow, and how memory stands.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    at: Instant,
    /// The machine's processors, in ticks: in use, and altogether.
    ticks: Option<(u64, u64)>,
    /// The cgroup's use of processors in microseconds, and how many processors it may use.
    group_cpu: Option<(u64, f64)>,
    /// Stalls for want of a processor, in microseconds.
    cpu_stalled: Option<u64>,
    memory: Option<f64>,
    /// Stalls for want of memory, in microseconds.
    memory_stalled: Option<u64>,
}

impl Sample {
    fn of(texts: &Texts, at: Instant) -> Self {
        let [cpu_stat, cpu_max] = texts.group_cpu.each_ref().map(Option::as_deref);
        let usage = cpu_stat.and_then(|text| field(text, "usage_usec"));
        let group_cpu = usage.zip(cpu_max.and_then(processors));
        let [cpu_pressure, memory_pressure] = texts.pressure.each_ref().map(Option::as_deref);
        Self {
            at,
            ticks: texts.stat.as_deref().and_then(ticks),
            group_cpu,
            cpu_stalled: cpu_pressure.and_then(stalled),
            memory: scarcer(
                texts.meminfo.as_deref().and_then(machine_memory),
                group_memory(&texts.group_memory),
            ),
            memory_stalled: memory_pressure.and_then(stalled),
        }
    }

    fn since(&self, last: Option<&Self>) -> Reading {
        let Some(last) = last else {
            return Reading {
                memory: self.memory,
                ..Reading::default()
            };
        };
        let elapsed = self.at.duration_since(last.at);
        let machine = self.ticks.zip(last.ticks).and_then(|(now, then)| {
            let [busy, all] = [now.0.checked_sub(then.0)?, now.1.checked_sub(then.1)?];
            share(count(busy), count(all))
        });
        let group = self.group_cpu.zip(last.group_cpu).and_then(|(now, then)| {
            let used = count(now.0.checked_sub(then.0)?);
            share(used, micros(elapsed) * now.1)
        });
        let stalled = |now: Option<u64>, then: Option<u64>| {
            share(count(now?.checked_sub(then?)?), micros(elapsed))
        };
        Reading {
            cpu: scarcer(machine, group),
            cpu_stalled: stalled(self.cpu_stalled, last.cpu_stalled),
            memory: self.memory,
            memory_stalled: stalled(self.memory_stalled, last.memory_stalled),
        }
    }
}

/// The greater share of what is known.
fn scarcer(machine: Option<f64>, group: Option<f64>) -> Option<f64> {
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.max(group)),
        (machine, group) => machine.or(group),
    }
}

fn share(part: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| (part / of).clamp(0.0, 1.0))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes, ticks and microseconds stay far below 2^52, or matter to a percent only"
)]
fn count(number: u64) -> f64 {
    number as f64
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// The path of a process' own cgroup below the root of v2: `0::/path`.
fn own_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// `cpu  user nice system idle iowait irq softirq steal …`: all but idle and iowait is in use; what follows is part of the first.
fn ticks(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [_, _, _, idle, waits, ..] = ticks[..] else {
        return None;
    };
    let all: u64 = ticks.iter().sum();
    Some((all - idle - waits, all))
}

/// `200000 100000`: microseconds of processors in each period of so many; `max` where there is no limit.
fn processors(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0).then(|| count(quota) / count(period))
}

/// `some avg10=… avg60=… avg300=… total=<microseconds>`.
fn stalled(pressure: &str) -> Option<u64> {
    let some = pressure
        .lines()
        .find_map(|line| line.strip_prefix("some "))?;
    let total = some.split(' ').find_map(|word| word.strip_prefix("total="));
    total?.parse().ok()
}

/// What the kernel could not hand out: all but `MemAvailable`.
fn machine_memory(meminfo: &str) -> Option<f64> {
    let [all, left] = ["MemTotal:", "MemAvailable:"].map(|name| field(meminfo, name));
    let (all, left) = all.zip(left)?;
    share(count(all.saturating_sub(left)), count(all))
}

/// What the cgroup holds, less the files it has not touched for long, which go first.
fn group_memory([current, max, stat]: &[Option<String>; 3]) -> Option<f64> {
    let max: u64 = max.as_deref()?.trim().parse().ok()?;
    let current: u64 = current.as_deref()?.trim().parse().ok()?;
    let files = field(stat.as_deref()?, "inactive_file")?;
    share(count(current.saturating_sub(files)), count(max))
}

/// The number after a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let of = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    };
    text.lines().find_map(of)
}
