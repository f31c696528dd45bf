//! The links of a node: where it listens for them and what others are told, the parts that keep them, and what they say of this very
//! node: that its former process is gone, or that it was itself taken for gone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tenure_cluster::KeyValue;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Shared;
use super::address::listen;
use super::parts::Parts;
use crate::config::{Config, PeerListen};
use crate::metrics;
use crate::peer::{self, Dialer, Keeper, Listener, Pem, Secrets, Tls, Us};
use crate::store::{Death, EvidenceKind, NodeRecord, Recorded};

/// 1 s to find out who ended our session: then another is opened.
const ASKING: Duration = Duration::from_secs(1);

/// Where a node listens for links.
pub(super) struct Place {
    listener: TcpListener,
    /// Where others reach it, as `host:port`.
    told: String,
}

/// What a node with links has.
pub(super) struct Links {
    /// Where others reach it, as `host:port`.
    pub(super) told: String,
    /// Which network it is in.
    pub(super) network: Option<String>,
    dialer: Dialer,
}

/// Listens beside an API that listens there, as the settings say; nothing where there are to be no links.
///
/// # Errors
/// The address that is asked for cannot be bound.
pub(super) fn bind(config: &Config, api: SocketAddr) -> anyhow::Result<Option<Place>> {
    let Some(at) = config.peer_address(api) else {
        return Ok(None);
    };
    let listener = match listen(at) {
        // Nobody asked for this very port.
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && config.peer_listen == PeerListen::Auto =>
        {
            warn!(%at, "the port for links is taken, using a free one: set peer-listen where a firewall has to know it");
            listen(SocketAddr::new(at.ip(), 0))
        }
        other => other,
    };
    let listener = listener.with_context(|| format!("peer-listen: {at} cannot be bound"))?;
    let told = told(config, listener.local_addr()?);
    Ok(Some(Place { listener, told }))
}

/// What others are told of a listener that is bound there.
fn told(config: &Config, bound: SocketAddr) -> String {
    if let Some(told) = &config.peer_advertise {
        return told.clone();
    }
    let url = reqwest::Url::parse(&config.advertise).ok();
    let host = url.as_ref().and_then(|url| url.host_str());
    match host {
        Some(host) if bound.ip().is_unspecified() => format!("{host}:{}", bound.port()),
        Some(_) | None => bound.to_string(),
    }
}

impl Links {
    /// Of a node, before its parts run; with what listens.
    ///
    /// # Errors
    /// Tokens or certificates cannot be read.
    fn new(node: &Shared, place: Place) -> anyhow::Result<(Self, Listener)> {
        let us = Us {
            cluster: node.config.cluster.parse().context("cluster")?,
            node: node.name.clone(),
            instance: node.instance.clone(),
        };
        let (secrets, tls) = (secrets(&node.config)?, tls(&node.config)?);
        let listener = Listener::new(place.listener, us.clone(), secrets.clone(), tls.clone());
        let links = Self {
            told: place.told,
            network: peer::network(),
            dialer: Dialer::new(us, secrets, tls),
        };
        Ok((links, listener))
    }

    /// Whether whoever said this of itself is gone for certain, since what listened for its links is this process: it was told to be
    /// reached at an address of this very network, and that is ours.
    async fn succeeds(&self, former: &NodeRecord) -> bool {
        let Some(address) = &former.peer else {
            return false;
        };
        let is_here = former.network.is_some() && former.network == self.network;
        is_here && self.dialer.is_own(address).await
    }
}

/// What the cluster's nodes have in common: the tokens of the greatest role there is.
fn secrets(config: &Config) -> anyhow::Result<Secrets> {
    let tokens = config.tokens()?;
    let greatest = tokens.iter().map(|token| token.role).max();
    let of = tokens.iter().filter(|token| Some(token.role) == greatest);
    Ok(Secrets::new(
        of.map(|token| token.secret.expose().as_bytes().to_vec()),
    ))
}

fn tls(config: &Config) -> anyhow::Result<Option<Tls>> {
    let pem = config.peer_pem();
    let Some(pem) = pem.map_err(|fault| crate::config::Invalid(vec![fault]))? else {
        return Ok(None);
    };
    let tls = Tls::new(Pem {
        ca: &pem.ca,
        cert: &pem.cert,
        key: &pem.key,
    })?;
    Ok(Some(tls))
}

/// Gives a node its links, where it has a place for them; what listens there.
///
/// # Errors
/// As [`Links::new`].
pub(super) fn give(node: &mut Shared, place: Option<Place>) -> anyhow::Result<Option<Listener>> {
    let Some(place) = place else {
        return Ok(None);
    };
    let (links, listener) = Links::new(node, place)?;
    node.links = Some(links);
    Ok(Some(listener))
}

/// Runs what answers links and what keeps them, where there are to be any.
pub(super) fn add(parts: &mut Parts, node: &Arc<Shared>, listener: Option<Listener>) {
    let (Some(links), Some(listener)) = (&node.links, listener) else {
        return;
    };
    info!(peers = links.told, "links are listened for");
    let closing = parts.closing();
    parts.add("the listener for links", listener.run(closing.clone()));
    let seen = Arc::clone(node);
    let keeper = Keeper::new(node.store.clone(), links.dialer.clone(), move |links| {
        let said = format!("{} of {} are open", links.open, links.wanted);
        seen.ready.send_if_modified(|ready| {
            let changes = ready.links != said;
            ready.links = said;
            changes
        });
    });
    parts.add("the links to other nodes", keeper.run(closing));
}

/// Ends the session of this node's former process, where that is gone for certain. True where that may be tried for at once.
pub(super) async fn succeed(node: &Shared, holder: &KeyValue, former: &NodeRecord) -> bool {
    let Some(links) = &node.links else {
        return false;
    };
    if !links.succeeds(former).await {
        return false;
    }
    let death = Death {
        node: node.name.clone(),
        instance: former.instance.clone(),
        lease: holder.lease,
        term: None,
        evidence: EvidenceKind::Replaced,
        by: node.name.clone(),
        last_seen_ms: None,
        noticed_ms: node.store.now_ms(),
    };
    info!("the former process of this node is gone, ending its lease");
    match node
        .store
        .declare_dead(holder.create_revision, &death)
        .await
    {
        Ok(Recorded::Over) => true,
        Ok(Recorded::Now | Recorded::Before(_)) => node.store.end_lease(holder.lease).await.is_ok(),
        Err(failure) => {
            warn!(%failure, "its end could not be put on record");
            false
        }
    }
}

/// Says so where a session of this process was ended by another node, which took it for gone.
pub(super) async fn was_taken_for_gone(node: &Shared, session: i64) {
    let Ok(found) = timeout(ASKING, node.store.noticed(session)).await else {
        return info!(
            session,
            "not known who ended the session: etcd does not answer"
        );
    };
    match found {
        Ok(Some(ended)) if ended.instance == node.instance => {
            metrics::false_death();
            let (by, evidence) = (ended.by.as_str(), ended.evidence.as_str());
            warn!(
                session,
                by,
                evidence,
                "this node was taken for gone and lives: connections to peer-listen were refused"
            );
        }
        Ok(_) => {}
        Err(problem) => info!(%problem, session, "not known who ended the session"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_where_links_are_listened_for() {
        let cases = [
            (
                "127.0.0.1:9700",
                "http://127.0.0.1:8700",
                None,
                "127.0.0.1:9700",
            ),
            ("0.0.0.0:9700", "http://n1:8700", None, "n1:9700"),
            (
                "[::]:9700",
                "https://[fd00::1]:8700",
                None,
                "[fd00::1]:9700",
            ),
            ("10.0.0.5:9700", "https://n1.example", None, "10.0.0.5:9700"),
            (
                "0.0.0.0:9700",
                "http://n1:8700",
                Some("n1.example:7"),
                "n1.example:7",
            ),
        ];
        for (bound, advertise, peer, expected) in cases {
            let config = Config {
                advertise: advertise.to_owned(),
                peer_advertise: peer.map(ToOwned::to_owned),
                ..Config::default()
            };
            assert_eq!(told(&config, bound.parse().unwrap()), expected, "{bound}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_left_to_who_has_it_unless_it_was_asked_for() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap();
        let api = SocketAddr::new(taken.ip(), taken.port().wrapping_sub(1_000));
        let config = |peer_listen| Config {
            listen: api,
            peer_listen,
            ..Config::default()
        };
        let other = bind(&config(PeerListen::Auto), api).unwrap().unwrap();
        assert_ne!(other.told, taken.to_string());
        let refused = bind(&config(PeerListen::At(taken)), api).err().unwrap();
        assert!(refused.to_string().starts_with("peer-listen: 127.0.0.1:"));
        assert!(bind(&config(PeerListen::Off), api).unwrap().is_none());
    }
}
