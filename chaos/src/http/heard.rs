//! What came of a call that was made once, and what a refusal says of the same request, made again. Pure but for reading the answer.

use serde_json::Value;

/// What came of a call that was made once.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It was done; this was answered.
    Done(Value),
    /// It was certainly not done.
    Refused(Refused),
    /// Nobody knows whether it was done.
    Nothing(String),
}

/// Why something was certainly not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Of HTTP; none where nobody was reached.
    pub(crate) status: Option<u16>,
    /// The API's own word for it; empty where there is none.
    pub(crate) code: String,
    /// For people and for histories: both, and what is wrong with the request where that is it.
    pub(crate) why: String,
}

/// What a refusal says of the same request, made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It may be done another time, or by another node.
    Again,
    /// It is refused for how things stand, and the next request may be done.
    Passed,
    /// It is refused for what it says, and always will be.
    Ever,
}

impl Refused {
    /// What it says of the same request.
    pub(crate) fn refusal(&self) -> Refusal {
        match (self.status, self.code.as_str()) {
            // Nobody was reached, or who was reached cannot do it now.
            (None | Some(408 | 425 | 429 | 500..), _) => Refusal::Again,
            // A key that its own request is refused for is no matter of what was asked: checks are to find it.
            (Some(422), "idempotency_key_reused") | (Some(404 | 409 | 410 | 412), _) => {
                Refusal::Passed
            }
            (Some(_), _) => Refusal::Ever,
        }
    }

    pub(super) fn of(status: u16, body: &Value) -> Self {
        let code = body["code"].as_str().unwrap_or_default();
        let mut why = format!("{status} {code}");
        if [400, 413, 422].contains(&status) {
            // What the request itself is refused for: people have to see which field.
            let first = &body["errors"][0];
            let field = first["field"].as_str().unwrap_or_default();
            let detail = first["detail"].as_str().or(body["detail"].as_str());
            why = format!("{why}: {field} {}", detail.unwrap_or_default());
        }
        Self {
            status: Some(status),
            code: code.to_owned(),
            why,
        }
    }
}

/// An answer in words of a history. 504 is the API's own word for "nobody knows"; 500 says nothing either.
pub(super) async fn heard(answer: reqwest::Result<reqwest::Response>) -> Heard {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => {
            return Heard::Refused(Refused {
                status: None,
                code: String::new(),
                why: error.to_string(),
            });
        }
        Err(error) => return Heard::Nothing(error.to_string()),
    };
    let status = answer.status();
    let body: Value = match answer.json().await {
        Ok(body) => body,
        Err(error) => return Heard::Nothing(error.to_string()),
    };
    if status.is_success() {
        return Heard::Done(body);
    }
    let refused = Refused::of(status.as_u16(), &body);
    if [504, 500].contains(&status.as_u16()) {
        return Heard::Nothing(refused.why);
    }
    Heard::Refused(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_a_request_itself_says_is_refused_for_ever() {
        let cases = [
            (429, "busy", Refusal::Again),
            (408, "", Refusal::Again),
            (425, "", Refusal::Again),
            (503, "no_leader", Refusal::Again),
            (409, "wrong_state", Refusal::Passed),
            (404, "no_such_task", Refusal::Passed),
            (422, "idempotency_key_reused", Refusal::Passed),
            (422, "invalid_request", Refusal::Ever),
            (400, "malformed", Refusal::Ever),
            (403, "forbidden", Refusal::Ever),
        ];
        for (status, code, expected) in cases {
            let refused = Refused::of(status, &json!({ "code": code }));
            assert_eq!(refused.refusal(), expected, "{refused:?}");
        }
    }

    #[test]
    fn a_request_that_is_wrong_is_told_with_its_field() {
        let fault = json!({ "field": "queue", "detail": "`a b` is no name" });
        let body = json!({ "code": "invalid_request", "errors": [fault] });

        let why = Refused::of(422, &body).why;

        assert_eq!(why, "422 invalid_request: queue `a b` is no name");
        assert_eq!(Refused::of(503, &body).why, "503 invalid_request");
    }
}
