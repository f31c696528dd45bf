//! What nodes count of writes that they refused: whether the fences were put to the test. Read from `/metrics`, so it is the product's
//! word, and proves nothing; it only tells whether there was something to prove.

use crate::chronicle::Chronicle;
use crate::http::Client;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tenure_chaos::history::{NodeEvent, Refusal};
use tokio::time::sleep;

/// 1 s from one look to the next: what a node counted in the last of them before it was killed is not known.
const EVERY: Duration = Duration::from_secs(1);
const METER: &str = "tenure_fencing_rejected_total{op=\"";

/// Looks until it is dropped. Nodes by name, with the addresses of their APIs.
pub(super) async fn read(client: Arc<Client>, nodes: Vec<(String, String)>, chronicle: Chronicle) {
    let mut before: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    loop {
        for (node, address) in &nodes {
            let Some(text) = client.text(&format!("{address}/metrics")).await else {
                continue;
            };
            let now = counts(&text);
            let was = before.insert(node.clone(), now).unwrap_or_default();
            tell(&chronicle, node, Refusal::StaleReport, more(was.0, now.0));
            tell(&chronicle, node, Refusal::StaleTerm, more(was.1, now.1));
        }
        sleep(EVERY).await;
    }
}

/// How many more; a process that is new counts from 0.
fn more(was: u64, now: u64) -> u64 {
    now.checked_sub(was).unwrap_or(now)
}

fn tell(chronicle: &Chronicle, node: &str, what: Refusal, count: u64) {
    if count > 0 {
        let node = node.to_owned();
        chronicle.saw(NodeEvent::Refused { node, what, count });
    }
}

/// Reports, and everything else.
fn counts(text: &str) -> (u64, u64) {
    let (mut reports, mut terms) = (0, 0);
    for line in text.lines() {
        let found = line
            .strip_prefix(METER)
            .and_then(|rest| rest.split_once("\"} "));
        let Some((op, count)) = found else { continue };
        let count: u64 = count.parse().unwrap_or_default();
        if op == "report" {
            reports += count;
        } else {
            terms += count;
        }
    }
    (reports, terms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::fake::{Fake, Told};
    use serde_json::json;

    #[tokio::test]
    async fn they_are_asked_for_with_the_token_and_a_refusal_is_no_count() {
        let api = Fake::start(|asked, _| match asked.token.as_deref() {
            Some("t") => Told::Says(200, json!("all of them")),
            _ => Told::Says(401, json!("a token is needed")),
        });
        let api = api.await;
        let address = format!("{}/metrics", api.base);
        let knows = Client::new(vec![api.base.clone()], "t").unwrap();
        let does_not = Client::new(vec![api.base.clone()], "u").unwrap();

        let told = knows.text(&address).await;

        assert!(told.unwrap().contains("all of them"));
        assert_eq!(does_not.text(&address).await, None);
    }

    #[test]
    fn reports_and_the_rest_are_counted_apart_and_a_new_process_from_nothing() {
        let text = "# HELP x\ntenure_fencing_rejected_total{op=\"report\"} 3\ntenure_fencing_rejected_total{op=\"assign\"} 2\n";
        assert_eq!(counts(text), (3, 2));
        assert_eq!(counts("nothing"), (0, 0));
        assert_eq!((more(2, 5), more(5, 1)), (3, 1));
    }
}
