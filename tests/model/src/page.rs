//! The tables of `docs/model.md`, from the tables in the code; the searches hold those to what is found.

use std::fmt::Write as _;

use crate::config;
use crate::table::{ROWS, Row};

/// Where the page's tables begin; what stands above is written by hand.
pub const MARK: &str =
    "<!-- What follows is written by the test `the_page_is_what_the_tables_say`. -->";

/// The tables.
pub fn tables() -> String {
    let mut page = String::from(MARK);
    page.push_str(
        "\n\n## Configurations\n\nEach is searched to its end, and keeps every promise.\n\n",
    );
    page.push_str("| configuration | what happens in it | unique states | longest shortest way |\n|---|---|---|---|\n");
    for config in config::ALL {
        let (states, depth) = config.size;
        line(
            &mut page,
            &[
                config.name,
                config.about,
                &thousands(states),
                &depth.to_string(),
            ],
        );
    }
    let all = config::ALL.iter().map(|config| config.size.0).sum();
    let _ = writeln!(page, "\n{} states in all.", thousands(all));
    page.push_str("\n## Weakenings\n\nEach takes one guard or rule away; the search names the promise that breaks, and the fewest steps to it.\n\n");
    page.push_str(
        "| without | what is different | breaks | steps | configuration |\n|---|---|---|---|---|\n",
    );
    for row in ROWS {
        if let Some((promise, steps)) = row.breaks {
            line(
                &mut page,
                &[
                    &code(row),
                    row.different,
                    promise,
                    &steps.to_string(),
                    row.config,
                ],
            );
        }
    }
    page.push_str("\n## Guards that safety does not need\n\nWithout these no promise breaks in the configuration named.\n\n");
    page.push_str("| without | why it is there | configuration |\n|---|---|---|\n");
    for row in ROWS.iter().filter(|row| row.breaks.is_none()) {
        line(&mut page, &[&code(row), row.different, row.config]);
    }
    page
}

fn code(row: &Row) -> String {
    format!("`{}`", row.name())
}

fn line(page: &mut String, cells: &[&str]) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
