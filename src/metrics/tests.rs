use std::path::Path;
use std::time::Duration;

use super::*;

/// With `TENURE_UPDATE_DOCS=1` the page is written instead.
#[test]
fn the_documented_metrics_are_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("TENURE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let documented = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        documented == page(),
        "docs/metrics.md is not the table: run this test with TENURE_UPDATE_DOCS=1"
    );
}

#[test]
fn what_is_recorded_is_in_the_table_with_its_labels_and_kind() {
    let recorder = crate::telemetry::recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        tasks_submitted("q", "k", 1);
        task_attempts("q", "k", Outcome::Succeeded, 1);
        tasks_finished("q", "k", Outcome::Succeeded, 1);
        task_retries("q", "k", 1);
        tasks_dead("q", "k", 1);
        schedule_to_start("q", Duration::from_millis(1));
        run_duration("q", "k", Duration::from_millis(1));
        queue_tasks("q", State::Pending, 1);
        queue_oldest_pending("q", Duration::from_secs(1));
        worker_slots(1, 2);
        slots(3);
        peer_links(2, 1);
        peer_link_broke("lives");
        peer_evidence("refused");
        peer_revoke("done");
        false_death();
        slots_decision(Ordering::Greater, "waits");
        dispatched(Duration::from_millis(1), 7);
        schedule_occurrences("clock", 1);
        schedule_lateness(Duration::from_millis(1));
        schedules(1, 0);
        leader_status(Leads::Yes);
        leader_changed(7);
        view_ready(true, Duration::from_millis(1));
        nodes(1, 0, 0);
        failover(true, "lease");
        failover_untold("full");
        failover_detection("refused", Duration::from_millis(1));
        failover_leaderless(Duration::from_millis(1));
        failover_waits(Duration::from_millis(1), 2);
        etcd_size(1, 1, 2);
        service_level(1);
        submits_shed("reduced");
        http_request("GET", "/livez", "200", Duration::from_millis(1));
        fencing_rejected("report");
        txn_conflict("assign");
        hold_wakeups(1);
        report_shrunk();
        runtime_late(Duration::from_millis(1));
        runtime_stalled();
        runtime_longest(Duration::from_millis(1));
        depth("submits", 1, Some(2));
        growing("runtime_tasks", Grows::Only);
        fencing_margin(0.5);
        watchdog_killed(1);
        guard_replaced();
        outcomes_dropped("late", 1);
        pack_collected();
        pack_skipped();
        task_deferred("k");
        breaker_opened("k");
        breakers("k", 1, 0);
        build(None);
    });

    let text = handle.render();

    let foreign = ["tenure_etcd_req", "tenure_etcd_watch", "tenure_lease"];
    for metric in table().filter(|metric| !foreign.iter().any(|name| metric.name.starts_with(name)))
    {
        let declared = format!("# TYPE {} {}\n", metric.name, metric.kind.word());
        assert!(text.contains(&declared), "{declared} is not in\n{text}");
        let suffix = if metric.kind == Kind::Histogram {
            "_count"
        } else {
            ""
        };
        let prefix = format!("{}{suffix}", metric.name);
        let line = text.lines().find(|line| line.starts_with(&prefix)).unwrap();
        for label in metric.labels {
            assert!(
                line.contains(&format!("{label}=\"")),
                "{line} lacks {label}"
            );
        }
    }
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(
            table().any(|metric| metric.name == name),
            "{name} is not in the table"
        );
    }
}

#[test]
fn values_beyond_the_bound_share_one_label() {
    let known = Known::default();
    for nth in 0..VALUES_MAX {
        assert_eq!(known.label(&nth.to_string()).as_ref(), nth.to_string());
    }
    assert_eq!(known.label("one too many").as_ref(), OTHER);
    assert_eq!(known.label("7").as_ref(), "7");
}
