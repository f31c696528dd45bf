//! A history as a file: one JSON line to a record, so that a run that broke off is still readable up to there.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use super::{History, Record};

/// Why a file is no history.
#[derive(Debug)]
pub enum FileError {
    /// It could not be read or written.
    Io(std::io::Error),
    /// A line is no record.
    Line {
        /// Its number, from 1.
        number: usize,
        /// What the decoder said.
        problem: serde_json::Error,
    },
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(problem) => write!(f, "{problem}"),
            Self::Line { number, problem } => write!(f, "line {number} is no record: {problem}"),
        }
    }
}

impl std::error::Error for FileError {}

impl From<std::io::Error> for FileError {
    fn from(problem: std::io::Error) -> Self {
        Self::Io(problem)
    }
}

impl History {
    /// Writes all records, a line each.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        let mut out = BufWriter::new(File::create(path)?);
        for record in self.records() {
            serde_json::to_writer(&mut out, record).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// The file cannot be read, or a line is no record. Nothing is skipped.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let mut records: Vec<Record> = Vec::new();
        for (line, number) in BufReader::new(File::open(path)?).lines().zip(1..) {
            let record = serde_json::from_str(&line?)
                .map_err(|problem| FileError::Line { number, problem })?;
            records.push(record);
        }
        Ok(records.into_iter().collect())
    }
}
