//! A picture as pixels, for where SVG is not shown. Its letters are those of `DejaVu` Sans, which are part of the program: a machine
//! without fonts draws the same picture. The font is of Bitstream Vera's and `DejaVu`'s authors; its licence, LICENSE-DejaVu, permits
//! that where it goes with every copy.

use std::fmt;
use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg;

/// 2 pixels to a unit: text is sharp on screens of today.
const SCALE: f32 = 2.0;
/// 8,000 pixels a side: 256 MB at most while it is drawn.
const SIDE_MAX: f32 = 8_000.0;
const FONT: &str = "DejaVu Sans";

/// Why there is no picture.
#[derive(Debug)]
pub enum PngError {
    /// It is no SVG.
    Svg(usvg::Error),
    /// It has no area.
    Empty,
    /// It could not be encoded.
    Encode(String),
}

impl fmt::Display for PngError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Svg(problem) => write!(f, "no SVG: {problem}"),
            Self::Empty => write!(f, "the picture has no area"),
            Self::Encode(problem) => write!(f, "the picture cannot be encoded: {problem}"),
        }
    }
}

impl std::error::Error for PngError {}

/// An SVG as PNG, two pixels to a unit, in its light colours.
///
/// # Errors
/// It is no SVG, or has no area.
pub fn png(svg: &str) -> Result<Vec<u8>, PngError> {
    let tree = usvg::Tree::from_str(svg, &options()).map_err(PngError::Svg)?;
    let size = tree.size();
    let scale = SCALE.min(SIDE_MAX / size.width().max(size.height()));
    let size = size.to_int_size().scale_by(scale).ok_or(PngError::Empty)?;
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or(PngError::Empty)?;
    let scaled = Transform::from_scale(scale, scale);
    resvg::render(&tree, scaled, &mut pixels.as_mut());
    let encoded = pixels.encode_png();
    encoded.map_err(|problem| PngError::Encode(problem.to_string()))
}

fn options() -> usvg::Options<'static> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family(FONT);
    usvg::Options {
        font_family: FONT.to_owned(),
        fontdb: Arc::new(fonts),
        ..usvg::Options::default()
    }
}
