//! The settings of links between nodes: where they are listened for, and what is shown to the other side. It reads the PEM files; it
//! never connects.

use std::net::SocketAddr;

use super::etcd::pem;
use super::value::one;
use super::{Config, Fault, Shape, Value};

/// 1,000 ports above the API's: beside it, and out of the way of other nodes on the machine, whose APIs are side by side.
const PORTS_ABOVE: u16 = 1_000;

/// Where a node listens for links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerListen {
    /// Beside the API: the same address, 1,000 ports further up; any free port where that one is taken or there is none.
    Auto,
    /// Nowhere, and it has none to others.
    Off,
    /// There.
    At(SocketAddr),
}

impl Value for PeerListen {
    const SHAPE: Shape = Shape::One;
    fn parse(words: &[String]) -> Result<Self, String> {
        one(words, |word| match word {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => {
                let wrong = |_| "is not auto, off or an address such as 0.0.0.0:9700".to_owned();
                word.parse().map(Self::At).map_err(wrong)
            }
        })
    }
    fn words(&self) -> Vec<String> {
        vec![match self {
            Self::Auto => "auto".to_owned(),
            Self::Off => "off".to_owned(),
            Self::At(at) => at.to_string(),
        }]
    }
}

/// What links with TLS need, as PEM.
#[derive(Clone, Debug)]
pub struct PeerPem {
    /// The authority that signs the nodes' certificates.
    pub ca: Vec<u8>,
    /// This node's certificate, and what leads from it to the authority.
    pub cert: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl Config {
    /// Where to listen for links beside an API that listens there; none where there are to be none.
    pub fn peer_address(&self, api: SocketAddr) -> Option<SocketAddr> {
        match self.peer_listen {
            PeerListen::Off => None,
            PeerListen::At(at) => Some(at),
            PeerListen::Auto => {
                // Where the API got any free port, any is as good here.
                let beside = self.listen.port().checked_add(PORTS_ABOVE);
                let port = beside.filter(|_| self.listen.port() != 0).unwrap_or(0);
                Some(SocketAddr::new(api.ip(), port))
            }
        }
    }

    /// The files for TLS, where links are to have it.
    ///
    /// # Errors
    /// A file that cannot be read, or one without the others.
    pub fn peer_pem(&self) -> Result<Option<PeerPem>, Fault> {
        match (&self.peer_ca, &self.peer_cert, &self.peer_key) {
            (None, None, None) => Ok(None),
            (Some(ca), Some(cert), Some(key)) => Ok(Some(PeerPem {
                ca: pem("peer-ca", ca)?,
                cert: pem("peer-cert", cert)?,
                key: pem("peer-key", key)?,
            })),
            (ca, cert, _) => {
                // One that is given.
                let name = match (ca, cert) {
                    (Some(_), _) => "peer-ca",
                    (None, Some(_)) => "peer-cert",
                    (None, None) => "peer-key",
                };
                Err(Fault {
                    name,
                    value: self.shown(name),
                    problem: "goes with the other two of peer-ca, peer-cert and peer-key"
                        .to_owned(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_listen_is_written_as_it_is_read() {
        for text in ["auto", "off", "0.0.0.0:9700"] {
            let read = PeerListen::parse(&[text.to_owned()]).unwrap();
            assert_eq!(read.words(), [text]);
        }
        let wrong = PeerListen::parse(&["9700".to_owned()]).unwrap_err();
        assert!(wrong.starts_with("is not auto, off"), "{wrong}");
    }

    #[test]
    fn links_are_listened_for_beside_the_api() {
        let of = |listen: &str, peer_listen| {
            let config = Config {
                listen: listen.parse().unwrap(),
                peer_listen,
                ..Config::default()
            };
            config.peer_address("127.0.0.1:4444".parse().unwrap())
        };
        let at = |address: &str| Some(address.parse().unwrap());
        assert_eq!(of("127.0.0.1:8700", PeerListen::Auto), at("127.0.0.1:9700"));
        assert_eq!(of("127.0.0.1:0", PeerListen::Auto), at("127.0.0.1:0"));
        assert_eq!(of("127.0.0.1:65000", PeerListen::Auto), at("127.0.0.1:0"));
        assert_eq!(of("127.0.0.1:8700", PeerListen::Off), None);
        let given = "10.0.0.1:7".parse().unwrap();
        assert_eq!(of("127.0.0.1:8700", PeerListen::At(given)), Some(given));
    }
}
