//! TLS for links, where certificates are configured: both sides show theirs, signed by one authority. Reads no file.

use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::wire::Stream;

/// What TLS is made of, as PEM.
#[derive(Clone, Copy, Debug)]
pub struct Pem<'a> {
    /// The authority that signs the nodes' certificates.
    pub ca: &'a [u8],
    /// Our certificate, and what leads from it to the authority.
    pub cert: &'a [u8],
    /// Its private key.
    pub key: &'a [u8],
}

/// Both sides of TLS. A cheap handle.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority.
    #[error("peer-ca: {0}")]
    Authority(pem::Error),
    /// It is none that can be trusted.
    #[error("peer-ca: {0}")]
    Root(rustls::Error),
    /// Our certificate.
    #[error("peer-cert: {0}")]
    Certificate(pem::Error),
    /// Its key.
    #[error("peer-key: {0}")]
    Key(pem::Error),
    /// They do not go together, or cannot be used.
    #[error("peer-cert: {0}")]
    Unfit(#[from] rustls::Error),
    /// The authority cannot be used.
    #[error("peer-ca: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

impl Tls {
    /// TLS by these.
    ///
    /// # Errors
    /// [`TlsError`], by the name of the setting.
    pub fn new(pem: Pem<'_>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem.ca).map_err(TlsError::Authority)? {
            roots.add(certificate).map_err(TlsError::Root)?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(pem.cert).map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(pem.key).map_err(TlsError::Key)?;
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&roots))
            .with_client_auth_cert(chain.clone(), key.clone_key())?;
        let callers =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(callers)
            .with_single_cert(chain, key)?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
        })
    }

    /// The dialer's side; `host` is whom the certificate has to name.
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> std::io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(host.to_owned());
        let name =
            name.map_err(|wrong| std::io::Error::new(std::io::ErrorKind::InvalidInput, wrong))?;
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }

    /// The listener's side.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.acceptor.accept(stream).await?))
    }
}

/// At least one.
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>()?;
    if all.is_empty() {
        return Err(pem::Error::NoItemsFound);
    }
    Ok(all)
}
