//! What may be done to a cluster that is not ours, against nodes that are stubs.

use super::*;
use crate::etcd_of_tests::Etcd;
use crate::target::admin::tests::Stub;
use crate::target::{How, Side};
use serde_json::{Value, json};

const LIVES: fn() -> (u16, Value) = || (200, json!({ "node": "n1", "instance": "i" }));

/// The node n1, drained or not, and n2, for which no server is named.
fn nodes(drained: bool) -> (u16, Value) {
    let drain = drained.then(|| json!({ "since": "…", "reason": "a new kernel" }));
    let items =
        json!([{ "id": "n1", "address": "http://n1:8700", "drain": drain }, { "id": "n2" }]);
    (200, json!({ "items": items, "revision": 7 }))
}

fn yes() -> (u16, Value) {
    (200, json!({ "node": "n1", "already": false }))
}

async fn found(answers: Vec<(u16, Value)>) -> (Existing, Stub) {
    let stub = Stub::with(&[vec![LIVES(), nodes(false)], answers].concat()).await;
    let options = Options {
        servers: vec![format!("{}/", stub.base)],
        token: "token".to_owned(),
        etcd: vec!["http://127.0.0.1:2379".to_owned()],
        cluster: "there".to_owned(),
    };
    (Existing::find(options).await.unwrap(), stub)
}

#[tokio::test]
async fn nodes_are_those_that_the_api_names_and_only_some_have_an_address() {
    let (there, _stub) = found(vec![]).await;

    assert_eq!(there.nodes(), ["n1", "n2"]);
    assert!(
        there
            .address("n1")
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    let error = there.address("n2").unwrap_err().to_string();
    assert_eq!(error, "no server was named for n2");
    assert_eq!(there.members(), [""; 0]);
    assert_eq!(there.endpoints(), ["http://127.0.0.1:2379"]);
    assert_eq!(there.root(), "/tenure/there/");
}

#[tokio::test]
async fn nothing_that_hurts_is_done_and_nobody_is_asked_to() {
    let (mut there, stub) = found(vec![]).await;
    let cut = Cut {
        from: Side::Node("n1".to_owned()),
        to: Side::All,
        both: true,
        how: How::Dropped,
    };

    let all = [
        there.kill_node("n1").await,
        there.end_node("n1", Duration::from_secs(1)).await,
        there.start_node("n1", false).await,
        there.halt_node("n1", true).await,
        there.set_clock("n1", 1).await,
        there.kill_member("e1").await,
        there.start_member("e1").await,
        there.halt_member("e1", true).await,
        there.slow_disk("e1", 1).await,
        there.fill_disk(true).await.map(|(made, _)| made),
        there.cut(&cut, true).await,
        Ok(there.owns_store()),
        Ok(there.has_previous()),
    ];

    for made in all {
        let made = made.unwrap();
        let safe = matches!(&made, Made::Cannot(why) if why.starts_with("an existing cluster is not hurt: "));
        assert!(safe, "{made:?}");
    }
    assert_eq!(stub.asked().len(), 2, "{:?}", stub.asked());
}

#[tokio::test]
async fn a_node_that_was_drained_from_here_is_undrained_at_the_end() {
    let (mut there, stub) = found(vec![nodes(false), yes(), yes()]).await;

    assert_eq!(there.take_out("n1").await.unwrap(), Made::Yes);
    there.close().await.unwrap();

    let asked = stub.asked();
    assert!(
        asked[3].starts_with("POST /v1/nodes/n1/drain "),
        "{asked:?}"
    );
    assert!(
        asked[4].starts_with("POST /v1/nodes/n1/undrain "),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_node_that_someone_else_drained_stays_so() {
    let (mut there, stub) = found(vec![nodes(true)]).await;

    let drained = there.take_out("n1").await.unwrap();
    let undrained = there.put_back("n1").await.unwrap();
    there.close().await.unwrap();

    assert_eq!(
        drained,
        Made::NotNow("n1 was drained by someone else".to_owned())
    );
    assert_eq!(
        undrained,
        Made::Cannot("n1 was not drained from here".to_owned())
    );
    let asked = stub.asked();
    assert!(asked.iter().all(|one| one.starts_with("GET ")), "{asked:?}");
}

#[tokio::test]
async fn a_drain_that_may_have_been_made_is_undrained_at_the_end() {
    let unknown = (504, json!({ "code": "outcome_unknown" }));
    let mut answers = vec![nodes(false)];
    answers.extend(vec![unknown; 10]);
    answers.push(yes());
    let (mut there, stub) = found(answers).await;

    there.take_out("n1").await.unwrap_err();
    there.close().await.unwrap();

    let last = stub.asked().pop().unwrap();
    assert!(last.starts_with("POST /v1/nodes/n1/undrain "), "{last}");
}

#[tokio::test]
async fn our_own_connections_are_cut_and_made_again() {
    let (mut there, _stub) = found(vec![LIVES(), LIVES()]).await;
    let live = format!("{}/livez", there.address("n1").unwrap());
    let client = Client::new(vec![live.clone()], "token").unwrap();
    assert!(client.says_yes(&live).await);

    assert_eq!(there.cut_own("n1", true).await.unwrap(), Made::Yes);
    assert!(!client.says_yes(&live).await);

    assert_eq!(there.cut_own("n1", false).await.unwrap(), Made::Yes);
    assert!(client.says_yes(&live).await);
    let nobody = there.cut_own("n2", true).await.unwrap();
    assert_eq!(
        nobody,
        Made::Cannot("no server was named for n2".to_owned())
    );
}

#[tokio::test]
async fn what_is_no_server_is_an_error_that_names_it() {
    let rows = [
        (vec![], "--server: 1 to 32 addresses, not 0"),
        (
            vec!["ftp://127.0.0.1".to_owned()],
            "ftp://127.0.0.1: ftp is not spoken",
        ),
        (
            vec!["http://127.0.0.1:1/v1".to_owned()],
            "a server has no path",
        ),
        (
            vec!["http://127.0.0.1:1".to_owned()],
            "http://127.0.0.1:1: ",
        ),
    ];
    for (servers, told) in rows {
        let options = Options {
            servers,
            token: "token".to_owned(),
            etcd: vec![],
            cluster: "there".to_owned(),
        };
        let error = Existing::find(options).await.err().unwrap();
        assert!(format!("{error:#}").contains(told), "{error:#}");
    }
}

#[tokio::test]
async fn a_cluster_of_whose_nodes_etcd_has_none_is_refused_by_its_option() {
    let Some(etcd) = Etcd::start(1).await else {
        return;
    };
    let (mut there, _stub) = found(vec![]).await;
    there.etcd = etcd.members.endpoints().to_vec();
    let key = keyspace::session_of(&there.root(), "n2");
    etcd.client().await.put(key, "{}", None).await.unwrap();

    there.ensure_known().await.unwrap();
    "another".clone_into(&mut there.cluster);
    let unknown = there.ensure_known().await.unwrap_err().to_string();
    there.etcd = vec!["http://127.0.0.1:1".to_owned()];
    let nobody = there.ensure_known().await.unwrap_err().to_string();

    assert!(
        unknown.starts_with("--cluster: etcd has no cluster \"another\""),
        "{unknown}"
    );
    assert!(
        nobody.starts_with("--etcd-endpoints: http://127.0.0.1:1"),
        "{nobody}"
    );
}
