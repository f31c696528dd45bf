//! Prints the shortest way to break a promise: `cargo run -p tenure-model --example counterexample -- ReclaimByCreated`.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use tenure_model::search;
use tenure_model::table::ROWS;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let named = |row: &&tenure_model::table::Row| wanted.iter().any(|name| *name == row.name());
    for row in ROWS.iter().filter(named) {
        let found = search(row.config(), Some(row.without));
        let Some((promise, steps)) = found.broken else {
            println!(
                "{}: no promise is broken in {} states",
                row.name(),
                found.states
            );
            continue;
        };
        println!(
            "{}: \"{promise}\" is broken in {} steps",
            row.name(),
            steps.len()
        );
        for (nth, step) in (1..).zip(steps) {
            println!("{nth:3}. {step:?}");
        }
    }
}
