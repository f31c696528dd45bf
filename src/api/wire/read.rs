//! Reads requests from JSON, so that what is wrong is said field by field and all at once.

use serde_json::{Map, Value, json};

use super::{BatchRequest, FieldError, SubmitRequest};

impl SubmitRequest {
    /// Reads one from JSON.
    ///
    /// # Errors
    /// Every field that is unknown, missing or of the wrong type, at least one; where the text as a
    /// whole is wrong (no JSON, a field given twice) the field is `task` and its pointer empty.
    pub fn read(json: &[u8]) -> Result<Self, Vec<FieldError>> {
        let error = match serde_json::from_slice(json) {
            Ok(request) => return Ok(request),
            Err(error) => error,
        };
        let value = serde_json::from_slice::<Value>(json);
        let faults = value.map(|value| diagnose(&value)).unwrap_or_default();
        Err(or_whole("task", faults, &error))
    }
}

impl BatchRequest {
    /// Reads one from JSON.
    ///
    /// # Errors
    /// As [`SubmitRequest::read`], with pointers such as `/tasks/3/priority`; where the text as a
    /// whole is wrong the field is `batch`.
    pub fn read(json: &[u8]) -> Result<Self, Vec<FieldError>> {
        let error = match serde_json::from_slice(json) {
            Ok(request) => return Ok(request),
            Err(error) => error,
        };
        let value = serde_json::from_slice::<Value>(json).unwrap_or_default();
        let mut faults = Vec::new();
        for (index, task) in value["tasks"].as_array().into_iter().flatten().enumerate() {
            let under = format!("/tasks/{index}");
            faults.extend(diagnose(task).into_iter().map(|fault| fault.under(&under)));
        }
        Err(or_whole("batch", faults, &error))
    }
}

/// Why `value` is not a [`SubmitRequest`], field by field: unknown ones, missing ones, wrong types.
/// Empty when it is one, whatever its bounds ([`SubmitRequest::check`]).
pub fn diagnose(value: &Value) -> Vec<FieldError> {
    let Value::Object(fields) = value else {
        let detail = format!("a task is a JSON object, not {}", type_name(value));
        return vec![FieldError {
            pointer: String::new(),
            field: "task".to_owned(),
            detail,
        }];
    };
    let mut faults = Vec::new();
    if !fields.contains_key("kind") {
        faults.push(FieldError::new("kind", "is missing"));
    }
    for (name, value) in fields {
        let mut probe = Map::from_iter([("kind".to_owned(), json!("noop"))]);
        probe.insert(name.clone(), value.clone());
        if let Err(error) = serde_json::from_value::<SubmitRequest>(Value::Object(probe)) {
            faults.push(FieldError::new(name, error.to_string()));
        }
    }
    faults
}

/// The faults found, or where none was the error of the text as a whole.
fn or_whole(field: &str, faults: Vec<FieldError>, error: &serde_json::Error) -> Vec<FieldError> {
    if !faults.is_empty() {
        return faults;
    }
    let whole = FieldError {
        pointer: String::new(),
        field: field.to_owned(),
        detail: error.to_string(),
    };
    vec![whole]
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(faults: &[FieldError]) -> Vec<&str> {
        faults.iter().map(|f| f.field.as_str()).collect()
    }

    #[test]
    fn unknown_missing_and_mistyped_fields_are_named_together() {
        let faults = diagnose(&json!({"priority": "high", "colour": 1, "queue": "q"}));

        let mut names = fields(&faults);
        names.sort_unstable();
        assert_eq!(names, ["colour", "kind", "priority"]);
    }

    #[test]
    fn what_is_no_request_has_at_least_one_fault() {
        for json in ["{", "[]", r#"{"kind":"a","kind":"b"}"#, r#"{"kind":1}"#, ""] {
            assert!(!SubmitRequest::read(json.as_bytes()).unwrap_err().is_empty());
            assert!(!BatchRequest::read(json.as_bytes()).unwrap_err().is_empty());
        }
        let batch = br#"{"tasks":[{"kind":"a"},{"kind":"a","colour":1}]}"#;
        let faults = BatchRequest::read(batch).unwrap_err();
        assert_eq!(faults[0].pointer, "/tasks/1/colour");
    }
}
