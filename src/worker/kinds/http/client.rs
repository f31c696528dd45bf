//! The client behind every request, whose connections only go where they may. Never follows a
//! redirect by itself and knows no proxy, because both would connect elsewhere than was vetted.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, redirect};
use rustls::crypto::ring;

use super::address::Reach;
use crate::worker::kinds::handler::with_causes;

/// 10 seconds to connect and shake hands; a host that takes longer is as good as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// 4 connections are kept per host while nothing uses them.
const IDLE_PER_HOST: usize = 4;

/// A client made when it is first needed: reading the system's certificates takes time and memory
/// that a node without such tasks should not spend.
pub(super) struct LazyClient {
    reach: Reach,
    made: OnceLock<Result<Client, String>>,
}

impl LazyClient {
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            reach,
            made: OnceLock::new(),
        }
    }

    pub(super) fn get(&self) -> Result<&Client, &str> {
        self.made
            .get_or_init(|| build(&self.reach))
            .as_ref()
            .map_err(String::as_str)
    }
}

/// Trusts what the system trusts; where it has no certificates at all, as in an image made of one
/// binary, the roots that came with the binary.
fn build(reach: &Reach) -> Result<Client, String> {
    // A program that embeds the library may have chosen a provider; then that one stays.
    let _already = ring::default_provider().install_default();
    settings(reach)
        .build()
        .or_else(|_| {
            settings(reach)
                .tls_backend_preconfigured(bundled_roots())
                .build()
        })
        .map_err(|error| format!("no HTTP client: {}", with_causes(&error)))
}

fn settings(reach: &Reach) -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .dns_resolver(Vetted(reach.clone()))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
}

fn bundled_roots() -> rustls::ClientConfig {
    let roots = webpki_roots::TLS_SERVER_ROOTS
        .iter()
        .cloned()
        .collect::<rustls::RootCertStore>();
    let mut config = rustls::ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("ring offers the suites of both protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Resolves names, and hands on only the addresses that may be reached. The connection is made to
/// what was handed on, so a name that answers differently a moment later changes nothing.
struct Vetted(Reach);

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let reached = vet(&reach, found)?;
            let addresses: Addrs = Box::new(reached.into_iter());
            Ok(addresses)
        })
    }
}

fn vet(
    reach: &Reach,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let mut refused = None;
    let mut reached = Vec::new();
    for address in found {
        match reach.vet(address.ip()) {
            Ok(()) => reached.push(address),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if reached.is_empty() => Err(error.into()),
        Some(_) | None => Ok(reached),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_public_and_private_addresses_is_reached_at_the_public_ones() {
        let found = ["10.0.0.1:0", "1.1.1.1:0", "[::1]:0"].map(|text| text.parse().unwrap());

        let both = vet(&Reach::Public, found.into_iter()).unwrap();
        let none = vet(&Reach::Public, found[2..].iter().copied()).unwrap_err();

        assert_eq!(both, [found[1]]);
        assert!(
            none.to_string().contains("::1 is refused: loopback"),
            "{none}"
        );
    }

    #[test]
    fn a_system_without_certificates_still_has_a_client() {
        let client = settings(&Reach::Public)
            .tls_backend_preconfigured(bundled_roots())
            .build();

        assert!(client.is_ok());
    }
}
