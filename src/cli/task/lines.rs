//! Checks the lines of a file of tasks, each by itself: what is wrong is said with line and field.

use crate::api::wire::{BATCH_BYTES_MAX, FieldError, SubmitRequest};

/// How many wrong lines are listed before the rest is only counted.
const WRONG_LINES_SHOWN: usize = 20;

/// What is wrong with a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    lines: Vec<String>,
    more: usize,
}

impl Report {
    pub(super) fn add(&mut self, number: usize, faults: &[FieldError]) {
        for fault in faults {
            if self.lines.len() < WRONG_LINES_SHOWN {
                self.lines
                    .push(format!("line {number}: {}: {}", fault.field, fault.detail));
            } else {
                self.more += 1;
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// All of it, a line each.
    pub(super) fn text(&self) -> String {
        let more = if self.more == 0 {
            String::new()
        } else {
            format!("\n  and {} more", self.more)
        };
        let lines = self
            .lines
            .iter()
            .map(|line| format!("\n  {line}"))
            .collect::<Vec<_>>();
        lines.concat() + &more
    }
}

/// What is wrong with one line that is not blank; empty when it may be sent as it stands.
pub(super) fn faults(line: &[u8], payload_bytes_max: usize) -> Vec<FieldError> {
    if line.len() > BATCH_BYTES_MAX - ENVELOPE {
        let detail = format!("has {} bytes; a batch holds {BATCH_BYTES_MAX}", line.len());
        return vec![FieldError::new("task", detail)];
    }
    let request = match SubmitRequest::read(line) {
        Ok(request) => request,
        Err(faults) => return faults,
    };
    let mut faults = request.check(payload_bytes_max);
    if request.idempotency_key.is_some() {
        let detail = "a file has one for all its tasks: --idempotency-prefix";
        faults.push(FieldError::new("idempotency_key", detail));
    }
    faults
}

/// 12 bytes of a batch around its tasks: `{"tasks":[` and `]}`.
pub(super) const ENVELOPE: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn field(line: &str) -> String {
        faults(line.as_bytes(), 100)
            .first()
            .map(|f| f.field.clone())
            .unwrap_or_default()
    }

    #[test]
    fn each_fault_of_a_line_names_its_field() {
        for (line, at_fault) in [
            (r#"{"kind":"noop"}"#, ""),
            (r#"{"kind":"noop","priority":10}"#, "priority"),
            (r#"{"kind":"noop","priority":"high"}"#, "priority"),
            (r#"{"kind":"noop","colour":1}"#, "colour"),
            (r#"{"queue":"q"}"#, "kind"),
            (
                r#"{"kind":"noop","idempotency_key":"k"}"#,
                "idempotency_key",
            ),
            (r#"{"kind":"noop","kind":"noop"}"#, "task"),
            (r#"{"kind":"#, "task"),
            ("[1]", "task"),
        ] {
            assert_eq!(field(line), at_fault, "{line}");
        }
    }

    #[test]
    fn a_report_is_bounded_and_counts_the_rest() {
        let mut report = Report::default();
        for number in 1..=30 {
            report.add(number, &[FieldError::new("kind", "is missing")]);
        }
        let text = report.text();
        assert!(
            text.contains("line 20: kind: is missing") && text.ends_with("and 10 more"),
            "{text}"
        );
    }
}
