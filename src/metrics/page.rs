//! docs/metrics.md, made from the table.

use std::fmt::Write as _;

use super::table;

/// The page, whole.
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         `GET /metrics` on any node, in Prometheus' text format. Where tokens are configured it takes one with the role read.\n\
         Queues and kinds beyond the first 200 share the label `other`. This page is made from the table in `src/metrics/table.rs`;\n\
         a test fails where the two differ.\n\n\
         | name | type | labels | meaning | what to do |\n|---|---|---|---|---|\n",
    );
    for metric in table() {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, kind, labels) = (metric.name, metric.kind.word(), labels.join(", "));
        writeln!(
            page,
            "| `{name}` | {kind} | {labels} | {} | {} |",
            metric.help, metric.act
        )
        .expect("a string takes all text");
    }
    page
}
