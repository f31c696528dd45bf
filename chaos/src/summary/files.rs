//! All reports as files.

use std::fmt;
use std::fs;
use std::path::Path;

use super::{PngError, Summary, html, json, junit, plot, png, text};

/// Why reports could not be written.
#[derive(Debug)]
pub enum Error {
    /// A file could not be written.
    Io {
        /// Its name.
        name: &'static str,
        /// What the system said.
        problem: std::io::Error,
    },
    /// The picture could not be drawn.
    Picture(PngError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { name, problem } => write!(f, "{name}: {problem}"),
            Self::Picture(problem) => write!(f, "plot.png: {problem}"),
        }
    }
}

impl std::error::Error for Error {}

/// Writes `report.html`, `report.json`, `report.txt`, `junit.xml`, `plot.svg` and `plot.png` into a directory that is there.
///
/// # Errors
/// A file cannot be written, or the picture cannot be drawn; the files before it are there then.
pub fn write_all(directory: &Path, summary: &Summary) -> Result<(), Error> {
    let write = |name: &'static str, bytes: &[u8]| {
        fs::write(directory.join(name), bytes).map_err(|problem| Error::Io { name, problem })
    };
    write("report.json", json(summary).as_bytes())?;
    write("report.txt", text(summary).as_bytes())?;
    write("junit.xml", junit(summary).as_bytes())?;
    let picture = plot(summary);
    write("plot.svg", picture.as_bytes())?;
    write("report.html", html(summary).as_bytes())?;
    write("plot.png", &png(&picture).map_err(Error::Picture)?)
}
