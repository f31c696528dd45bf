//! An SVG in the making: shapes by class, colours by a style sheet for light and dark.

use std::fmt::Write as _;

use super::xml::escape;

/// Colours that can be told apart, on white and on black; red is for what is wrong.
pub(super) const COLOURS: usize = 8;
/// 6.6 units: about how wide a letter of 12 units is.
const LETTER: f64 = 6.6;

/// Classes begin with `p-`, because the picture is also put into a page. What does not know media queries skips the last rule.
const STYLE: &str = "\
.p-bg{fill:#ffffff}\
.p-text{fill:#1f2933}.p-soft{fill:#5b6673}\
.p-text,.p-soft{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px}\
.p-head{font-size:13px;font-weight:600}.p-title{font-size:17px;font-weight:600}\
.p-grid{stroke:#e4e7eb;stroke-width:1}.p-axis{stroke:#9aa5b1;stroke-width:1}\
.p-cut{stroke:#9aa5b1;stroke-width:1;stroke-dasharray:2 4}\
.p-lane{fill:#f1f3f5}.p-gap{fill:#d92d20}\
.p-fault{fill:#64748b}.p-maybe{fill:#cbd2d9;stroke:#64748b;stroke-width:1}\
.p-area{fill:#3b7dd8;fill-opacity:0.25}.p-edge{fill:none;stroke:#3b7dd8;stroke-width:1.25}\
.p-dot{fill:#3b7dd8;fill-opacity:0.75}.p-ring{fill:none;stroke:#c2620c;stroke-width:1.5}\
.p-bound{stroke:#3b7dd8;stroke-width:1.25;stroke-dasharray:7 4}.p-bound2{stroke:#c2620c;stroke-width:1.25;stroke-dasharray:7 4}\
.p-c0{fill:#3b7dd8}.p-c1{fill:#e0a526}.p-c2{fill:#2a9d72}.p-c3{fill:#8e6bd0}\
.p-c4{fill:#3fb1c5}.p-c5{fill:#c46ba3}.p-c6{fill:#8a9a3b}.p-c7{fill:#96795a}\
@media(prefers-color-scheme:dark){\
.p-bg{fill:#181b1f}.p-text{fill:#e6e9ec}.p-soft{fill:#9fabb7}\
.p-grid{stroke:#2b3138}.p-axis,.p-cut{stroke:#66717d}.p-lane{fill:#22272c}.p-gap{fill:#f04438}\
.p-fault{fill:#94a3b8}.p-maybe{fill:#3a434c;stroke:#94a3b8}\
.p-area{fill:#6aa3ee;fill-opacity:0.28}.p-edge,.p-bound{stroke:#6aa3ee}.p-dot{fill:#6aa3ee}.p-ring,.p-bound2{stroke:#f0a04b}\
}";

/// Where a text is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// What is drawn so far.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    /// A rectangle: left, top, width, height. The hint is shown where the pointer rests; none where it is empty.
    pub(super) fn rect(&mut self, class: &str, [x, y, width, height]: [f64; 4], hint: &str) {
        let shape = format!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}""#
        );
        self.hinted("rect", &shape, hint);
    }

    /// A circle: its middle and radius.
    pub(super) fn circle(&mut self, class: &str, [x, y, radius]: [f64; 3], hint: &str) {
        let shape = format!(r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}""#);
        self.hinted("circle", &shape, hint);
    }

    /// A line from one point to another.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.push(&format!(
            r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    /// A path, by its commands.
    pub(super) fn path(&mut self, class: &str, commands: &str) {
        self.push(&format!(r#"<path class="{class}" d="{commands}"/>"#));
    }

    /// A text on its base line.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(&format!(
            r#"<text class="{class}" x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
            at.0,
            at.1,
            escape(text)
        ));
    }

    /// The whole picture of this size; the label is read to those who do not see it.
    pub(super) fn finish(self, width: f64, height: f64, label: &str) -> String {
        let mut svg = String::new();
        let label = escape(label);
        let written = write!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="{label}">
<style>{STYLE}</style>
<rect class="p-bg" x="0" y="0" width="{width:.0}" height="{height:.0}"/>
{}</svg>
"#,
            self.body
        );
        written.expect("writing to a string does not fail");
        svg
    }

    fn hinted(&mut self, name: &str, shape: &str, hint: &str) {
        if hint.is_empty() {
            self.push(&format!("{shape}/>"));
        } else {
            self.push(&format!("{shape}><title>{}</title></{name}>", escape(hint)));
        }
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

/// A count or a time as a place.
#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 ms are longer than any run, and a picture is coarser"
)]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}

/// About how wide a text is.
pub(super) fn width_of(text: &str) -> f64 {
    float(u64::try_from(text.chars().count()).unwrap_or(u64::MAX)) * LETTER
}
