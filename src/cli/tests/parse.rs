//! What the parser takes and what it refuses.

use clap::{CommandFactory as _, Parser as _};

use crate::cli::Cli;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_tree_parses() {
    let id = "018f0000-0000-7000-8000-000000000000";
    for line in [
        "chaos run --scenario long --faults all,-upgrade",
        "chaos --help",
        "server --allow-command --lease-ttl 3s --etcd-endpoints http://a:1,http://b:1",
        "server --allow-command-path /bin/ls --allow-command-path /bin/cat --http-allow 10.0.0.0/8",
        "server --embedded --data-dir d --embedded-listen 127.0.0.1:2379",
        "server --embedded=memory",
        "dev",
        "dev --nodes 9 --data-dir d --listen 127.0.0.1:0 --embedded-listen 127.0.0.1:0 --slots 2",
        "task submit -- sha256sum /etc/hosts",
        "task submit --kind sleep --payload {\"ms\":1} --label a=b -l c=d --delay 5s",
        "task submit --file tasks.jsonl --idempotency-prefix p",
        "task run --queue q -- true",
        "task list --state dead --queue q --limit 5 --all",
        &format!("task get {id}"),
        &format!("task wait {id} --timeout 5s -o json"),
        &format!("task cancel {id} {id}"),
        &format!("task retry {id}"),
        "dead list --queue q",
        "dead retry --all -y",
        "schedule list --label a=b --paused --all",
        "schedule get nightly -o json",
        "schedule set nightly --cron @daily --tz Europe/Berlin --jitter 30s -- date",
        "schedule set n --every 90s --overlap queue_one --misfire fire_all --misfire-max 5 -k noop -q q --priority 7 -l a=b --task-label c=d",
        "schedule set n --at 2030-01-01T00:00:00Z --catch-up 1h --start-deadline 5m --version 0 -k noop",
        "schedule preview @hourly --tz UTC -n 3 --start 2030-01-01T00:00:00Z",
        "schedule next nightly -n 3",
        "schedule trigger nightly",
        "schedule pause nightly --reason moving",
        "schedule resume nightly",
        "schedule backfill nightly 2026-01-01T00:00:00Z 2026-01-02T00:00:00Z --dry-run",
        "schedule history nightly --limit 5",
        "schedule delete nightly --version 7",
        "node list",
        "node get n1 -o json",
        "node drain n1 --reason kernel --wait --timeout 5m",
        "node undrain n1",
        "leader get",
        "leader history",
        "leader resign",
        "queue list",
        "breaker list",
        "breaker reset http --host a:80 --node n1",
        "apply -f a.toml -f dir --dry-run --prune -y",
        "diff --file dir --prune",
        "export -o json",
        "status -s http://x:1",
        "healthcheck --live",
        "debug state -o json",
        "debug bundle --file b.tar.gz",
        "debug profile cpu --time 5s --file cpu.pb",
        "config show --origin --slots 3",
        "config example",
        "check --etcd-endpoints http://a:1 --cluster c",
        "config validate f.toml",
        "completion bash",
        "version",
    ] {
        let words = std::iter::once("tenure").chain(line.split(' '));
        Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_the_parser() {
    for line in [
        "task get not-an-id",
        "node get a/b",
        "task submit --file f --queue q",
        "task submit --file f --label a=b",
        "task list --state waiting",
        "task submit --file f --run-at 2030-01-01T00:00:00Z",
        "schedule set n --every 90s --cron @daily -- date",
        "schedule set n -- date",
        "schedule set n --every 90s --overlap never -- date",
        "schedule set n --every 90s --run-at 2030-01-01T00:00:00Z -- date",
        "schedule next n -n 101",
        "schedule history n --limit 601",
        "task list --limit 0",
        "dead retry",
        "apply",
        "diff -f a --dry-run",
        "healthcheck --live --ready",
        "debug profile cpu --time 500ms --file cpu.pb",
        "debug profile cpu --time 1500ms --file cpu.pb",
        "debug profile cpu --time 61s --file cpu.pb",
        "server --colour red",
        "server --nodes 3",
        "dev --nodes 0",
        "dev --nodes 10",
    ] {
        let words = std::iter::once("tenure").chain(line.split(' '));
        assert!(Cli::try_parse_from(words).is_err(), "{line}");
    }
}
