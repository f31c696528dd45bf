//! Tables for people, and times as people say them.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;

use crate::api::wire::Time;

/// A table without lines. Columns whose head starts with `>` are numbers, to the right.
pub(super) fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(
        heads
            .iter()
            .map(|head| Cell::new(head.trim_start_matches('>'))),
    );
    for row in rows {
        table.add_row(row.into_iter().map(Cell::new));
    }
    for (at, head) in heads.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 2));
            if head.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    trimmed(&table.to_string())
}

/// Pairs, one a line.
pub(super) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows.iter().filter(|(_, value)| !value.is_empty());
    let text: String = lines.fold(String::new(), |text, (name, value)| {
        text + &format!("{name:width$}  {value}\n")
    });
    trimmed(&text)
}

fn trimmed(text: &str) -> String {
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// `5s ago`, `in 2m`, `now`.
pub(super) fn relative(at: Time, now: Timestamp) -> String {
    let millis = now.as_millisecond() - at.0.as_millisecond();
    let whole = millis.unsigned_abs() / 1_000 * 1_000;
    match millis {
        -999..=999 => "now".to_owned(),
        1_000.. => format!("{} ago", length_ms(whole)),
        _ => format!("in {}", length_ms(whole)),
    }
}

/// `850ms`, `1.9s`, `12s`, `3m 20s`, `4h 5m`, `3d 2h`.
pub(super) fn length_ms(millis: u64) -> String {
    let (secs, mins, hours) = (millis / 1_000, millis / 60_000, millis / 3_600_000);
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit} {small}{small_unit}"),
    };
    match (hours, mins, secs) {
        (0, 0, 0) => format!("{millis}ms"),
        (0, 0, secs @ 1..10) if millis % 1_000 >= 100 => {
            format!("{secs}.{}s", millis % 1_000 / 100)
        }
        (0, 0, secs) => format!("{secs}s"),
        (0, mins, secs) => two(mins, "m", secs % 60, "s"),
        (hours @ 1..48, mins, _) => two(hours, "h", mins % 60, "m"),
        (hours, _, _) => two(hours / 24, "d", hours % 24, "h"),
    }
}

/// A text cut to `chars`, on one line.
pub(super) fn short(text: &str, chars: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= chars {
        return line.to_owned();
    }
    line.chars()
        .take(chars.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// A count, marked where it is only a lower bound.
pub(super) fn count(number: u64, exact: bool) -> String {
    if exact {
        number.to_string()
    } else {
        format!("{number}+")
    }
}

/// Bytes as people say them.
pub(super) fn bytes(number: u64) -> String {
    match number {
        0..1024 => format!("{number} B"),
        1024..1_048_576 => format!("{} KiB", number / 1024),
        1_048_576.. => format!("{} MiB", number / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let table = [
            (0, "now"),
            (5_900, "5s ago"),
            (-120_000, "in 2m"),
            (200_000, "3m 20s ago"),
            (4 * 3_600_000 + 300_000, "4h 5m ago"),
            (50 * 3_600_000, "2d 2h ago"),
        ];
        for (before_ms, words) in table {
            let at = Time::from_millis(now.as_millisecond() - before_ms);
            assert_eq!(relative(at, now), words);
        }
    }

    #[test]
    fn lengths_are_said_to_a_tenth_below_ten_seconds() {
        for (millis, words) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_999, "1.9s"),
            (9_050, "9s"),
            (9_999, "9.9s"),
            (10_900, "10s"),
            (61_500, "1m 1s"),
        ] {
            assert_eq!(length_ms(millis), words);
        }
    }

    #[test]
    fn a_table_has_no_trailing_space_and_numbers_to_the_right() {
        let text = table(
            &["NAME", ">N"],
            [vec!["a".into(), "5".into()], vec!["bb".into(), "10".into()]],
        );
        assert_eq!(text, "NAME   N\na      5\nbb    10");
    }
}
