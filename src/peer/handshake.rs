//! How a link begins: each side says who it is and proves that it knows what the cluster's nodes share. Opens no socket.
//!
//! The listener asks first, with a number used once; the dialer answers with who it is and a proof over both; then the listener does the
//! same. So nobody who does not know the secret learns more than such a number, and nothing said before can be said again.

use std::io;

use serde::{Deserialize, Serialize};

use super::secret::Secrets;
use super::wire::Talk;
use crate::task::Name;

/// 1, the version of all that is said on a link.
const VERSION: u32 = 1;

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Us {
    /// The cluster.
    pub cluster: Name,
    /// The node.
    pub node: Name,
    /// The process.
    pub instance: String,
}

/// Who the other side is, proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Who {
    pub(super) node: Name,
    pub(super) instance: String,
}

/// Why a handshake did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The connection broke, or what was said was none of ours.
    #[error(transparent)]
    Broke(#[from] io::Error),
    /// The other side speaks another version, is of another cluster, or does not know the secret.
    #[error("{0}")]
    Refused(String),
}

/// The listener begins.
#[derive(Serialize, Deserialize)]
struct Challenge {
    tenure: u32,
    nonce: String,
}

/// The dialer's answer to that.
#[derive(Serialize, Deserialize)]
struct Hello {
    tenure: u32,
    cluster: Name,
    #[serde(flatten)]
    who: Who,
    nonce: String,
    proofs: Vec<String>,
}

/// The listener's answer to that.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Reply {
    Welcome {
        #[serde(flatten)]
        who: Who,
        proofs: Vec<String>,
    },
    Refusal {
        refused: String,
    },
}

/// Both numbers of one handshake.
struct Nonces<'a> {
    listener: &'a str,
    dialer: &'a str,
}

impl Us {
    fn who(&self) -> Who {
        Who {
            node: self.node.clone(),
            instance: self.instance.clone(),
        }
    }
}

impl Nonces<'_> {
    /// What one side proves to have said; `side` keeps a proof from being sent back as the other's.
    fn said<'a>(&'a self, side: &'a str, cluster: &'a Name, who: &'a Who) -> [&'a str; 6] {
        let (node, instance) = (who.node.as_str(), who.instance.as_str());
        let cluster = cluster.as_str();
        [side, self.listener, self.dialer, cluster, node, instance]
    }
}

fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The dialer's side; who answered.
pub(super) async fn call(
    talk: &mut Talk,
    us: &Us,
    secrets: &Secrets,
) -> Result<Who, HandshakeError> {
    let challenge: Challenge = talk.hear().await?;
    speaks(challenge.tenure)?;
    let (own, who) = (nonce(), us.who());
    let nonces = Nonces {
        listener: &challenge.nonce,
        dialer: &own,
    };
    let proofs = secrets.prove(&nonces.said("dialer", &us.cluster, &who));
    let hello = Hello {
        tenure: VERSION,
        cluster: us.cluster.clone(),
        who,
        nonce: own.clone(),
        proofs,
    };
    talk.say(&hello).await?;
    match talk.hear().await? {
        Reply::Refusal { refused } => Err(HandshakeError::Refused(refused)),
        Reply::Welcome { who, proofs } => {
            let said = nonces.said("listener", &us.cluster, &who);
            match secrets.matching(&said, &proofs) {
                Some(_) => Ok(who),
                None => Err(refused("it does not know this cluster's token")),
            }
        }
    }
}

/// The listener's side; who called.
pub(super) async fn answer(
    talk: &mut Talk,
    us: &Us,
    secrets: &Secrets,
) -> Result<Who, HandshakeError> {
    let own = nonce();
    let challenge = Challenge {
        tenure: VERSION,
        nonce: own.clone(),
    };
    talk.say(&challenge).await?;
    let hello: Hello = talk.hear().await?;
    let nonces = Nonces {
        listener: &own,
        dialer: &hello.nonce,
    };
    let shared = speaks(hello.tenure).and_then(|()| {
        if hello.cluster != us.cluster {
            return Err(refused("another cluster is here"));
        }
        let said = nonces.said("dialer", &us.cluster, &hello.who);
        let shared = secrets.matching(&said, &hello.proofs);
        shared.ok_or_else(|| refused("that is not this cluster's token"))
    });
    let shared = match shared {
        Ok(shared) => shared,
        Err(problem) => {
            let refused = problem.to_string();
            talk.say(&Reply::Refusal { refused }).await?;
            return Err(problem);
        }
    };
    let who = us.who();
    let proofs = shared.prove(&nonces.said("listener", &us.cluster, &who));
    talk.say(&Reply::Welcome { who, proofs }).await?;
    Ok(hello.who)
}

fn speaks(version: u32) -> Result<(), HandshakeError> {
    if version == VERSION {
        return Ok(());
    }
    Err(HandshakeError::Refused(format!(
        "it speaks version {version} of links, and this node version {VERSION}"
    )))
}

fn refused(why: &str) -> HandshakeError {
    HandshakeError::Refused(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(cluster: &str, node: &str) -> Us {
        Us {
            cluster: cluster.parse().unwrap(),
            node: node.parse().unwrap(),
            instance: format!("{node}-1"),
        }
    }

    fn secrets(tokens: &[&str]) -> Secrets {
        Secrets::new(tokens.iter().map(|token| token.as_bytes().to_vec()))
    }

    /// What the dialer and the listener make of each other.
    async fn meet(
        dialer: (Us, Secrets),
        listener: (Us, Secrets),
    ) -> (Result<Who, HandshakeError>, Result<Who, HandshakeError>) {
        let (one, other) = tokio::io::duplex(4096);
        let (mut dials, mut listens) = (Talk::new(Box::new(one)), Talk::new(Box::new(other)));
        tokio::join!(
            call(&mut dials, &dialer.0, &dialer.1),
            answer(&mut listens, &listener.0, &listener.1),
        )
    }

    #[tokio::test]
    async fn each_learns_who_the_other_is() {
        let tokens = secrets(&["0123456789abcdef"]);
        let (called, answered) = meet((us("c", "a"), tokens.clone()), (us("c", "b"), tokens)).await;
        assert_eq!(called.unwrap(), us("c", "b").who());
        assert_eq!(answered.unwrap(), us("c", "a").who());
    }

    #[tokio::test]
    async fn who_does_not_know_the_token_learns_nothing_of_the_listener() {
        for wrong in [&["another-token-of-16"][..], &[]] {
            let right = secrets(&["0123456789abcdef"]);
            let (called, answered) =
                meet((us("c", "a"), secrets(wrong)), (us("c", "b"), right)).await;
            let said = called.unwrap_err().to_string();
            assert_eq!(said, "that is not this cluster's token");
            assert!(answered.is_err());
        }
    }

    #[tokio::test]
    async fn another_cluster_is_refused() {
        let (called, _) = meet((us("c", "a"), secrets(&[])), (us("d", "b"), secrets(&[]))).await;
        assert_eq!(called.unwrap_err().to_string(), "another cluster is here");
    }

    #[tokio::test]
    async fn a_listener_that_does_not_know_the_token_is_not_believed() {
        let (one, other) = tokio::io::duplex(4096);
        let (mut dials, mut posing) = (Talk::new(Box::new(one)), Talk::new(Box::new(other)));
        let poses = async {
            let nonce = nonce();
            let tenure = VERSION;
            posing.say(&Challenge { tenure, nonce }).await.unwrap();
            // It has the dialer's proof, and sends it back as its own.
            let hello: Hello = posing.hear().await.unwrap();
            let (who, proofs) = (us("c", "b").who(), hello.proofs);
            posing.say(&Reply::Welcome { who, proofs }).await.unwrap();
        };
        let (us, tokens) = (us("c", "a"), secrets(&["0123456789abcdef"]));
        let (called, ()) = tokio::join!(call(&mut dials, &us, &tokens), poses);
        let said = called.unwrap_err().to_string();
        assert_eq!(said, "it does not know this cluster's token");
    }
}
