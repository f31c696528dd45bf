//! The lanes of the picture, from top to bottom.

use std::fmt::Write as _;

use super::scale::round_up;
use super::{LEFT, Plot, RIGHT, ROW, ROWS_MAX, decades, share};
use crate::summary::draw::{Anchor, float, width_of};
use crate::summary::words::{duration, number};
use crate::summary::{Bar, Track};

/// 26 units: who led.
const REIGNS: f64 = 26.0;
/// 1.6 units: a gap of a millisecond is seen in a run of an hour.
const GAP_MIN: f64 = 1.6;
/// 2.4 units: so is a fault.
const BAR_MIN: f64 = 2.4;
/// 96 units: how many tasks ended.
const ENDED: f64 = 96.0;
/// 130 units: how long failovers took.
const FAILOVERS: f64 = 130.0;
/// 320 steps: each is three units wide.
const STEPS_MAX: usize = 320;
/// 22 letters of a fault's name are told.
const NAME_CHARS: usize = 22;

impl Plot<'_> {
    /// Each track with when it began, in milliseconds since the start.
    fn tracks(&self) -> Vec<(u64, Track)> {
        let begins = self.axis.spans().into_iter().map(|(from_ms, _)| from_ms);
        begins.zip(self.summary.tracks.iter().cloned()).collect()
    }

    pub(super) fn leadership(&mut self) {
        self.heading("Leadership");
        if self.nodes.is_empty() {
            return self.nothing("nobody was seen to lead");
        }
        self.canvas
            .rect("p-lane", [LEFT, self.y, RIGHT - LEFT, REIGNS], "");
        for (begun_ms, track) in self.tracks() {
            for reign in &track.reigns {
                let Some(acted_ms) = reign.acted_ms else {
                    continue;
                };
                let class = self.colour(&reign.node);
                let lasted = duration(reign.until_ms.saturating_sub(acted_ms));
                let hint = format!("{} led for {lasted}", reign.node);
                let span = (begun_ms + acted_ms, begun_ms + reign.until_ms);
                self.span(&class, span, REIGNS, 0.0, &hint);
            }
            for (from_ms, to_ms) in track.gaps() {
                let hint = format!("nobody led for {}", duration(to_ms - from_ms));
                let span = (begun_ms + from_ms, begun_ms + to_ms);
                self.span("p-gap", span, REIGNS, GAP_MIN, &hint);
            }
        }
        self.lanes.push((self.y, self.y + REIGNS));
        self.y += REIGNS + 20.0;
        self.legend_of_nodes();
    }

    fn legend_of_nodes(&mut self) {
        let mut entries: Vec<(String, String)> = Vec::new();
        for node in &self.nodes {
            entries.push((self.colour(node), (*node).to_owned()));
        }
        let nobody = duration(self.summary.leadership.nobody_ms);
        entries.push(("p-gap".to_owned(), format!("nobody led ({nobody} in all)")));
        let mut x = LEFT;
        for (class, name) in entries {
            let wide = 18.0 + width_of(&name) + 18.0;
            if x + wide > RIGHT {
                (x, self.y) = (LEFT, self.y + 18.0);
            }
            self.canvas.rect(&class, [x, self.y - 10.0, 11.0, 11.0], "");
            self.canvas
                .text("p-soft", (x + 17.0, self.y), Anchor::Start, &name);
            x += wide;
        }
    }

    pub(super) fn faults(&mut self) {
        self.heading("Faults");
        let summary = self.summary;
        let occurred = summary.faults.iter();
        let occurred = occurred.filter(|(_, counts)| counts.installed + counts.indeterminate > 0);
        let (mut rows, mut more, top) = (0, 0_u64, self.y);
        for (kind, counts) in occurred {
            if rows == ROWS_MAX {
                more += 1;
                continue;
            }
            rows += 1;
            let times = number(counts.installed + counts.indeterminate);
            self.row(kind, &times);
        }
        self.lanes.extend((rows > 0).then_some((top, self.y)));
        if more > 0 {
            return self.nothing(&format!("and {more} more kinds"));
        }
        if rows == 0 {
            self.nothing("no fault was made");
        }
    }

    fn row(&mut self, kind: &str, times: &str) {
        let name: String = kind.chars().take(NAME_CHARS).collect();
        let base = self.y + ROW - 5.0;
        self.canvas
            .text("p-text", (24.0, base), Anchor::Start, &name);
        self.canvas
            .text("p-soft", (LEFT - 8.0, base), Anchor::End, times);
        self.canvas
            .rect("p-lane", [LEFT, self.y + 2.0, RIGHT - LEFT, ROW - 4.0], "");
        self.y += 2.0;
        for (begun_ms, track) in self.tracks() {
            for bar in track.bars.iter().filter(|bar| bar.kind == kind) {
                self.bar(begun_ms, bar);
            }
        }
        self.y += ROW - 2.0;
    }

    fn bar(&mut self, begun_ms: u64, bar: &Bar) {
        let lasted = duration(bar.to_ms - bar.from_ms);
        let (class, hint) = if bar.certain {
            ("p-fault", format!("{}, {lasted}", bar.kind))
        } else {
            (
                "p-maybe",
                format!("{}, {lasted}, may not have been there", bar.kind),
            )
        };
        let span = (begun_ms + bar.from_ms, begun_ms + bar.to_ms);
        self.span(class, span, ROW - 4.0, BAR_MIN, &hint);
    }

    /// A span of time of this height at the place where the lane is; at least so wide.
    fn span(&mut self, class: &str, span: (u64, u64), height: f64, least: f64, hint: &str) {
        let (from, to) = (self.axis.place(span.0), self.axis.place(span.1));
        let wide = (to - from).max(least);
        let from = from.min(RIGHT - wide);
        self.canvas.rect(class, [from, self.y, wide, height], hint);
    }

    pub(super) fn throughput(&mut self) {
        self.heading("Tasks ended per second");
        let tracks = self.tracks();
        let together = self.together();
        let rates = tracks.iter().flat_map(|(_, track)| rates(track, together));
        let most = rates.map(|(_, _, rate)| rate).fold(0.0, f64::max);
        if most <= 0.0 {
            return self.nothing("no task ended");
        }
        let top = round_up(most);
        self.y += 4.0;
        let floor = self.y + ENDED;
        for part in [0.0, 0.5, 1.0] {
            let y = floor - part * ENDED;
            self.canvas.line("p-grid", (LEFT, y), (RIGHT, y));
            let label = format!("{}", top * part);
            self.canvas
                .text("p-soft", (LEFT - 8.0, y + 4.0), Anchor::End, &label);
        }
        for (begun_ms, track) in &tracks {
            self.steps(*begun_ms, track, top, floor);
        }
        self.lanes.push((floor - ENDED, floor));
        self.y = floor;
    }

    /// How many spans of a series are one step, so that steps can be told apart.
    fn together(&self) -> usize {
        let spans = self
            .summary
            .tracks
            .iter()
            .map(|track| track.ended.counts.len());
        spans.sum::<usize>().div_ceil(STEPS_MAX).max(1)
    }

    /// The rates of a chapter as steps.
    fn steps(&mut self, begun_ms: u64, track: &Track, top: f64, floor: f64) {
        let (mut edge, mut first, mut last) = (String::new(), None, 0.0);
        for (from_ms, to_ms, rate) in rates(track, self.together()) {
            let (from, to) = (
                self.axis.place(begun_ms + from_ms),
                self.axis.place(begun_ms + to_ms),
            );
            let y = floor - share(rate, top, ENDED);
            let command = if first.is_none() { 'M' } else { 'L' };
            first.get_or_insert(from);
            let written = write!(edge, "{command}{from:.1} {y:.1}L{to:.1} {y:.1}");
            written.expect("writing to a string does not fail");
            last = to;
        }
        if let Some(first) = first {
            let area = format!("{edge}L{last:.1} {floor:.1}L{first:.1} {floor:.1}Z");
            self.canvas.path("p-area", &area);
            self.canvas.path("p-edge", &edge);
        }
    }

    pub(super) fn failovers(&mut self) {
        self.heading("Failover");
        let tracks = self.tracks();
        let samples = tracks.iter().map(|(_, track)| track);
        let samples = samples.flat_map(|track| [&track.failovers, &track.failovers_from_crash]);
        let (mut n, mut most_ms) = (0, 10_000);
        for one in samples {
            (n, most_ms) = (n + one.n, most_ms.max(one.max_ms));
        }
        if n == 0 {
            return self.nothing("no leader was lost");
        }
        self.legend_of_failovers();
        let (top, floor) = (decades(most_ms).ceil(), self.y + FAILOVERS);
        self.decades(top, floor);
        let limits = &self.summary.limits;
        let bounds = [
            ("p-bound", limits.failover_ms),
            ("p-bound2", limits.lease_ms + limits.failover_ms),
        ];
        for (class, bound_ms) in bounds {
            let y = floor - share(decades(bound_ms), top, FAILOVERS);
            self.canvas.line(class, (LEFT, y), (RIGHT, y));
        }
        for (begun_ms, track) in &tracks {
            for [at_ms, ms] in &track.failovers_from_crash.kept {
                let y = floor - share(decades(*ms), top, FAILOVERS);
                let hint = format!("{} after the leader's crash", duration(*ms));
                self.canvas
                    .circle("p-ring", [self.axis.place(begun_ms + at_ms), y, 4.5], &hint);
            }
            for [at_ms, ms] in &track.failovers.kept {
                let y = floor - share(decades(*ms), top, FAILOVERS);
                let hint = format!("{} after the end of the leader's key", duration(*ms));
                self.canvas
                    .circle("p-dot", [self.axis.place(begun_ms + at_ms), y, 3.0], &hint);
            }
        }
        self.lanes.push((floor - FAILOVERS, floor));
        self.y = floor;
    }

    /// Lines at 1 ms, 10 ms, 100 ms and so on.
    fn decades(&mut self, top: f64, floor: f64) {
        let mut ms = 1_u64;
        while decades(ms) <= top {
            let y = floor - share(decades(ms), top, FAILOVERS);
            self.canvas.line("p-grid", (LEFT, y), (RIGHT, y));
            let label = if ms < 1_000 {
                format!("{ms} ms")
            } else {
                format!("{} s", ms / 1_000)
            };
            self.canvas
                .text("p-soft", (LEFT - 8.0, y + 4.0), Anchor::End, &label);
            ms *= 10;
        }
    }

    fn legend_of_failovers(&mut self) {
        let limits = &self.summary.limits;
        let key = format!(
            "from the end of the leader's key, promised {}",
            duration(limits.failover_ms)
        );
        let crash = format!(
            "from its crash, promised {}",
            duration(limits.lease_ms + limits.failover_ms)
        );
        let (y, mut x) = (self.y - 14.0, LEFT);
        for (dot, bound, text) in [("p-dot", "p-bound", key), ("p-ring", "p-bound2", crash)] {
            self.canvas.circle(dot, [x + 5.0, y, 4.0], "");
            self.canvas.line(bound, (x + 15.0, y), (x + 37.0, y));
            self.canvas
                .text("p-soft", (x + 44.0, y + 4.0), Anchor::Start, &text);
            x += 44.0 + width_of(&text) + 24.0;
        }
        self.canvas.text(
            "p-soft",
            (x, y + 4.0),
            Anchor::Start,
            "while nothing stands in the way",
        );
        self.y += 8.0;
    }
}

/// From, to, in milliseconds of the chapter, and tasks that ended per second, so many spans together. What is left of the last
/// step is told where it is half of one.
fn rates(track: &Track, together: usize) -> Vec<(u64, u64, f64)> {
    let steps = track.ended.counts.chunks(together);
    let step_ms = track.ended.bucket_ms.max(1) * u64::try_from(together).unwrap_or(u64::MAX);
    let mut rates = Vec::new();
    for (nth, counts) in (0..).zip(steps) {
        let from_ms = nth * step_ms;
        let to_ms = (from_ms + step_ms).min(track.length_ms);
        let lasted_ms = to_ms.saturating_sub(from_ms);
        if lasted_ms * 2 >= step_ms {
            let count = float(counts.iter().sum());
            rates.push((from_ms, to_ms, count * 1_000.0 / float(lasted_ms)));
        }
    }
    rates
}
