//! What an idempotency key stands for: SHA-256 of a request in its canonical form.

use sha2::{Digest, Sha256};

use crate::api::wire::{self, BatchRequest, SubmitRequest};
use crate::task::hex;

/// Of one task, without its key.
pub(super) fn of_one(asked: &SubmitRequest) -> String {
    hexadecimal(&canonical(asked))
}

/// Of a batch, without its key. Another form than a single task's: an array.
pub(super) fn of_batch(asked: &BatchRequest) -> String {
    let tasks: Vec<String> = asked.tasks.iter().map(canonical).collect();
    hexadecimal(&format!("[{}]", tasks.join(",")))
}

fn canonical(asked: &SubmitRequest) -> String {
    let text = serde_json::value::to_raw_value(asked).expect("a request encodes");
    wire::canonical(&text)
}

fn hexadecimal(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(json: &str) -> String {
        of_one(&SubmitRequest::read(json.as_bytes()).unwrap())
    }

    #[test]
    fn what_means_the_same_is_the_same_and_what_differs_differs() {
        let plain = digest(r#"{"kind":"x","payload":{"a":1,"b":[2,"é"]}}"#);
        for same in [
            r#"{"payload":{"b":[2,"\u00e9"],"a":1},"kind":"x"}"#,
            r#"{"kind":"x","payload":{ "a" : 1, "b" : [ 2 , "é" ] },"priority":5}"#,
        ] {
            assert_eq!(digest(same), plain, "{same}");
        }
        for other in [
            r#"{"kind":"x","payload":{"a":1,"b":["é",2]}}"#,
            r#"{"kind":"x","payload":{"a":2,"b":[2,"é"]}}"#,
            r#"{"kind":"x","payload":{"a":1,"b":[2,"é"]},"priority":6}"#,
        ] {
            assert_ne!(digest(other), plain, "{other}");
        }
        let big = |last| {
            digest(&format!(
                r#"{{"kind":"x","payload":1234567890123456789012345678{last}}}"#
            ))
        };
        assert_ne!(big(1), big(2));
    }

    #[test]
    fn a_payload_of_any_depth_has_a_digest() {
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        let request = SubmitRequest::read(format!(r#"{{"kind":"x","payload":{deep}}}"#).as_bytes());
        if let Ok(request) = request {
            assert_eq!(of_one(&request).len(), 64);
        }
    }
}
