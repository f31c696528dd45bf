//! The course of a run as one picture: who led, which faults were there, how many tasks ended and how long failovers took, on
//! one axis of time, chapter after chapter.

mod lanes;
mod scale;

use std::collections::BTreeSet;

use super::Summary;
use super::draw::{Anchor, COLOURS, Canvas, float};
use super::words;
use scale::Axis;

/// The picture's width in units; its height follows from what there is.
const WIDTH: f64 = 1_200.0;
/// Where the axis of time begins: left of it are the names of lanes.
const LEFT: f64 = 176.0;
const RIGHT: f64 = WIDTH - 24.0;
/// 17 units: a row of faults.
const ROW: f64 = 17.0;
/// 30 kinds of faults have rows.
const ROWS_MAX: usize = 30;
/// 64 units: a chapter that is narrower is named by its number only.
const CHAPTER_WIDE: f64 = 64.0;

/// What all lanes need.
struct Plot<'s> {
    summary: &'s Summary,
    /// Names of nodes in order; their places are their colours.
    nodes: Vec<&'s str>,
    axis: Axis,
    canvas: Canvas,
    /// How far down it is drawn.
    y: f64,
    /// From where to where lanes are: chapters are parted there only, so that no line runs through words.
    lanes: Vec<(f64, f64)>,
}

/// The picture as SVG: light, and dark where that is preferred. Every text in it is escaped.
pub fn plot(summary: &Summary) -> String {
    let nodes: BTreeSet<&str> = summary
        .tracks
        .iter()
        .flat_map(|track| &track.reigns)
        .map(|reign| reign.node.as_str())
        .collect();
    let lengths = summary.tracks.iter().map(|track| track.length_ms);
    let mut plot = Plot {
        summary,
        nodes: nodes.into_iter().collect(),
        axis: Axis::of(lengths.collect(), LEFT, RIGHT),
        canvas: Canvas::default(),
        y: 0.0,
        lanes: Vec::new(),
    };
    plot.title();
    plot.chapters();
    plot.leadership();
    plot.faults();
    plot.throughput();
    plot.failovers();
    plot.parts();
    plot.time();
    let height = plot.y + 14.0;
    let verdict = words::verdict(summary.overall);
    let label = format!(
        "{} with seed {}: {verdict}",
        summary.run.scenario, summary.run.seed
    );
    plot.canvas.finish(WIDTH, height, &label)
}

impl Plot<'_> {
    fn title(&mut self) {
        let run = &self.summary.run;
        let verdict = words::verdict(self.summary.overall);
        let title = format!("{verdict}  ·  {}  ·  seed {}", run.scenario, run.seed);
        self.canvas
            .text("p-text p-title", (24.0, 34.0), Anchor::Start, &title);
        let about = words::run(self.summary);
        self.canvas
            .text("p-soft", (RIGHT, 34.0), Anchor::End, &about);
        self.y = 44.0;
    }

    /// The heading of a lane; what follows is drawn below it.
    fn heading(&mut self, text: &str) {
        self.y += 30.0;
        self.canvas
            .text("p-text p-head", (24.0, self.y), Anchor::Start, text);
        self.y += 10.0;
    }

    /// What is said in a lane that has nothing.
    fn nothing(&mut self, text: &str) {
        self.canvas
            .text("p-soft", (LEFT, self.y + 12.0), Anchor::Start, text);
        self.y += 18.0;
    }

    fn colour(&self, node: &str) -> String {
        let nth = self.nodes.iter().position(|one| *one == node).unwrap_or(0);
        format!("p-c{}", nth % COLOURS)
    }

    /// The axis of time below all lanes.
    fn time(&mut self) {
        self.y += 14.0;
        self.canvas.line("p-axis", (LEFT, self.y), (RIGHT, self.y));
        for at_ms in self.axis.ticks() {
            let x = self.axis.place(at_ms);
            self.canvas.line("p-axis", (x, self.y), (x, self.y + 5.0));
            let label = self.axis.label(at_ms);
            self.canvas
                .text("p-soft", (x, self.y + 19.0), Anchor::Middle, &label);
        }
        self.canvas.text(
            "p-soft",
            (24.0, self.y + 19.0),
            Anchor::Start,
            "since the start",
        );
        self.y += 22.0;
    }

    /// The names of chapters, where there are several.
    fn chapters(&mut self) {
        let spans = self.axis.spans();
        if spans.len() < 2 {
            return;
        }
        self.y += 20.0;
        for ((from_ms, to_ms), number) in spans.into_iter().zip(1_u64..) {
            let (from, to) = (self.axis.place(from_ms), self.axis.place(to_ms));
            let name = if to - from < CHAPTER_WIDE {
                number.to_string()
            } else {
                format!("chapter {number}")
            };
            let middle = f64::midpoint(from, to);
            self.canvas
                .text("p-soft", (middle, self.y), Anchor::Middle, &name);
        }
        self.y -= 6.0;
    }

    /// A thin line in each lane where a chapter ends and the next one begins.
    fn parts(&mut self) {
        for (from_ms, _) in self.axis.spans().into_iter().skip(1) {
            let x = self.axis.place(from_ms);
            for (top, bottom) in &self.lanes {
                self.canvas.line("p-cut", (x, top - 3.0), (x, bottom + 3.0));
            }
        }
    }
}

/// How high a value stands in a lane of this height, from its bottom, where the lane's top is the greatest.
fn share(value: f64, greatest: f64, height: f64) -> f64 {
    (value / greatest.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0) * height
}

/// Milliseconds as a place on a logarithmic scale of decades: 1 ms is 0.
fn decades(ms: u64) -> f64 {
    float(ms.max(1)).log10()
}
