//! `tenure check`: looks at etcd itself, as a node with these settings would. It writes nothing.

use std::time::Duration;

use serde_json::json;
use tenure_cluster::{Connection, MemberHealth, MemberStatus, Range, Room};
use tokio::time::Instant;

use super::client::Client;
use super::table::{bytes, table};
use super::{Exit, Failure, Global, Output, out, settings};
use crate::clock;
use crate::config::{Config, Embedded, Flags, Invalid};
use crate::store::Keys;
use crate::task::NameError;

/// The oldest etcd without known defects that matter here (its changelog: lease and watch fixes).
const ETCD_VERSION_MIN: (u32, u32, u32) = (3, 5, 16);
/// Reads that the latency is measured with.
const READS: usize = 20;
/// The median from which on reads are called slow: a tenth of the shortest lease leaves little.
const READ_SLOW: Duration = Duration::from_millis(100);
/// How far clocks may be apart: a Date header is cut to the second, and tasks start by the clock.
const CLOCKS_APART_MS_MAX: i64 = 2_000;

/// What one check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Ok,
    Warning,
    Failed,
}

/// One check.
#[derive(Debug, PartialEq, Eq)]
struct Checked {
    name: &'static str,
    result: Found,
    detail: String,
}

impl Found {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

fn checked(name: &'static str, result: Found, detail: impl Into<String>) -> Checked {
    Checked {
        name,
        result,
        detail: detail.into(),
    }
}

pub(super) async fn run(global: &Global, flags: &Flags) -> Result<Exit, Failure> {
    let config = settings::load(flags)?.config;
    config
        .validate()
        .map_err(|invalid| Failure::usage(invalid.to_string()))?;
    if config.embedded != Embedded::No {
        return Err(Failure::usage(
            "embedded: the etcd of a node is open while the node runs; give the address of its embedded-listen as --etcd-endpoints",
        ));
    }
    let options = config.etcd_options();
    let options = options.map_err(|fault| Failure::usage(Invalid(vec![fault]).to_string()))?;
    let connection =
        Connection::open(options).map_err(|error| Failure::usage(error.to_string()))?;
    let members = connection.status().await;
    let mut found: Vec<Checked> = members.iter().map(member).collect();
    let healthy: Vec<&MemberHealth> = members
        .iter()
        .filter_map(|m| m.health.as_ref().ok())
        .collect();
    if !healthy.is_empty() {
        found.push(latency(&connection, &config).await);
        found.extend(healthy.iter().map(|health| room(health, &config)));
        found.push(alarms(&healthy));
    }
    found.push(clocks(&Client::new(global)?).await);
    print(global.output, &found)?;
    match (
        healthy.is_empty(),
        found.iter().any(|check| check.result == Found::Failed),
    ) {
        (true, _) => Err(Failure::new(
            Exit::Unreachable,
            "no endpoint of etcd answers",
        )),
        (false, true) => Ok(Exit::Failed),
        (false, false) => Ok(Exit::Done),
    }
}

fn print(output: Output, found: &[Checked]) -> Result<(), Failure> {
    let row = |c: &Checked| {
        vec![
            c.name.to_owned(),
            c.result.as_str().to_owned(),
            c.detail.clone(),
        ]
    };
    match output {
        Output::Table => out::line(&table(
            &["CHECK", "RESULT", "DETAIL"],
            found.iter().map(row),
        )),
        Output::Json => {
            let checks = found.iter().map(
                |c| json!({ "name": c.name, "result": c.result.as_str(), "detail": c.detail }),
            );
            out::line(&json!({ "checks": checks.collect::<Vec<_>>() }).to_string())
        }
    }
}

/// Whether it answers, and is new enough.
fn member(member: &MemberStatus) -> Checked {
    let at = &member.endpoint;
    let health = match &member.health {
        Ok(health) => health,
        Err(why) => return checked("etcd", Found::Failed, format!("{at}: {why}")),
    };
    let role = if health.is_leader { ", leads etcd" } else { "" };
    let detail = format!(
        "{at}: version {}, answers in {:.1?}{role}",
        health.version, health.latency
    );
    match version(&health.version) {
        Some(seen) if seen >= ETCD_VERSION_MIN => checked("etcd", Found::Ok, detail),
        Some(_) | None => {
            let (major, minor, patch) = ETCD_VERSION_MIN;
            let least = format!("{detail}; at least {major}.{minor}.{patch} is advised");
            checked("etcd", Found::Warning, least)
        }
    }
}

/// `3.5.30` or `3.6.0-rc.1` as numbers.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let core = text.split('-').next()?;
    let mut parts = core.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// Linearizable reads, which a quorum has to agree on.
async fn latency(connection: &Connection, config: &Config) -> Checked {
    let key = match config.cluster.parse() {
        Ok(cluster) => Keys::new(&cluster).horizon(),
        Err(error) => return checked("latency", Found::Failed, NameError::to_string(&error)),
    };
    let mut took = Vec::with_capacity(READS);
    for _ in 0..READS {
        let asked = Instant::now();
        if let Err(error) = connection.range(&Range::key(key.as_str())).await {
            return checked("latency", Found::Failed, error.to_string());
        }
        took.push(asked.elapsed());
    }
    judged_latency(&mut took)
}

fn judged_latency(took: &mut [Duration]) -> Checked {
    took.sort_unstable();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    let worst = took.last().copied().unwrap_or_default();
    let detail = format!(
        "{} reads: median {median:.1?}, slowest {worst:.1?}",
        took.len()
    );
    let result = if median > READ_SLOW {
        Found::Warning
    } else {
        Found::Ok
    };
    checked("latency", result, detail)
}

fn room(health: &MemberHealth, config: &Config) -> Checked {
    let room = Room::of(
        health,
        i64::try_from(config.etcd_quota.0).unwrap_or(i64::MAX),
    );
    let [in_use, quota, size] =
        [room.in_use, room.quota, room.size].map(|size| u64::try_from(size).unwrap_or(0));
    let whence = if health.quota.is_some() {
        ""
    } else {
        " (etcd-quota; etcd does not tell)"
    };
    let detail = format!(
        "{} of {}{whence} in use, {} on disk",
        bytes(in_use),
        bytes(quota),
        bytes(size)
    );
    if room.full(config.quota_refuse) {
        return checked(
            "room",
            Found::Failed,
            format!("{detail}: new work is refused"),
        );
    }
    checked("room", Found::Ok, detail)
}

fn alarms(healthy: &[&MemberHealth]) -> Checked {
    let mut errors: Vec<&str> = healthy
        .iter()
        .flat_map(|health| health.errors.iter().map(String::as_str))
        .collect();
    errors.sort_unstable();
    errors.dedup();
    if errors.is_empty() {
        return checked("alarms", Found::Ok, "none");
    }
    checked("alarms", Found::Failed, errors.join("; "))
}

/// This machine's clock against that of the node at `--server`.
async fn clocks(client: &Client) -> Checked {
    let Some((theirs, took)) = client.clock().await else {
        let server = client.base();
        let detail = format!("not compared: no node answers at {server} (--server)");
        return checked("clock", Found::Ok, detail);
    };
    judged_clocks(
        clock::now().as_millisecond() - theirs.as_millisecond(),
        took,
    )
}

/// `apart_ms` is ours less theirs; theirs is cut to the second and as old as the answer took.
fn judged_clocks(apart_ms: i64, took: Duration) -> Checked {
    let took_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    let least = match apart_ms {
        0.. => (apart_ms - 1_000).saturating_sub(took_ms).max(0),
        _ => -apart_ms,
    };
    if least > CLOCKS_APART_MS_MAX {
        let detail = format!("this machine and the node are at least {least} ms apart");
        return checked("clock", Found::Warning, detail);
    }
    checked("clock", Found::Ok, "as the node's, to the second")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(version: &str, in_use: i64, quota: Option<i64>) -> MemberHealth {
        MemberHealth {
            version: version.to_owned(),
            db_size: 4 << 30,
            db_size_in_use: in_use,
            quota,
            is_leader: false,
            raft_term: 1,
            revision: 1,
            errors: Vec::new(),
            latency: Duration::ZERO,
        }
    }

    #[test]
    fn an_old_etcd_is_a_warning() {
        for (text, result) in [
            ("3.5.16", Found::Ok),
            ("3.6.0-rc.1", Found::Ok),
            ("3.5.15", Found::Warning),
            ("3.4.23", Found::Warning),
            ("unknown", Found::Warning),
        ] {
            let status = MemberStatus {
                endpoint: "x".to_owned(),
                health: Ok(health(text, 0, None)),
            };
            assert_eq!(member(&status).result, result, "{text}");
        }
    }

    #[test]
    fn room_is_judged_by_the_quota_told_or_else_by_the_one_configured() {
        let config = Config::default();
        assert_eq!(
            room(&health("3.6.0", 79, Some(100)), &config).result,
            Found::Ok
        );
        assert_eq!(
            room(&health("3.6.0", 80, Some(100)), &config).result,
            Found::Failed
        );
        assert_eq!(
            room(&health("3.5.30", 1 << 30, None), &config).result,
            Found::Ok
        );
        assert_eq!(
            room(&health("3.5.30", 2 << 30, None), &config).result,
            Found::Failed
        );
    }

    #[test]
    fn alarms_fail_and_are_named_once() {
        let mut bad = health("3.6.0", 0, None);
        bad.errors = vec!["alarm:NOSPACE".to_owned()];
        assert_eq!(
            alarms(&[&bad, &bad]),
            checked("alarms", Found::Failed, "alarm:NOSPACE")
        );
        assert_eq!(alarms(&[&health("3.6.0", 0, None)]).result, Found::Ok);
    }

    #[test]
    fn slow_reads_and_clocks_apart_are_warnings() {
        let ms = Duration::from_millis;
        assert_eq!(
            judged_latency(&mut [ms(1), ms(200), ms(2)]).result,
            Found::Ok
        );
        assert_eq!(
            judged_latency(&mut [ms(1), ms(200), ms(201)]).result,
            Found::Warning
        );
        assert_eq!(judged_clocks(2_900, ms(10)).result, Found::Ok);
        assert_eq!(judged_clocks(4_000, ms(10)).result, Found::Warning);
        assert_eq!(judged_clocks(-2_500, ms(10)).result, Found::Warning);
    }
}
