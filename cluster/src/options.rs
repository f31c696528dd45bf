//! How to reach etcd: endpoints, credentials, TLS, deadlines. Never connects.

use std::fmt;
use std::time::Duration;

use etcd_client::Channel;

/// 5 s, the keepalive interval below which etcd closes a connection (`MinTime` in its gRPC server).
pub(crate) const PING_EVERY: Duration = Duration::from_secs(5);
/// 2 s for the answer to a ping; with [`PING_EVERY`] a stopped member is noticed in 7 s.
pub(crate) const PING_ANSWER: Duration = Duration::from_secs(2);

/// How to reach etcd.
#[derive(Debug, Clone)]
pub struct Options {
    /// `http://host:port`, `https://host:port` or `host:port`; at least one, all of one scheme.
    pub endpoints: Vec<String>,
    /// Servers inside this process instead of endpoints, each with the name that failures call it by.
    pub in_process: Vec<(String, Channel)>,
    /// User and password, where etcd asks for them.
    pub credentials: Option<Credentials>,
    /// Certificates; needed for `https` endpoints.
    pub tls: Option<Tls>,
    /// How long one request may take, connecting included. Default 5 s, at least 100 ms.
    pub request_timeout: Duration,
    /// How long making a connection may take. Default 2 s, at least 10 ms.
    pub connect_timeout: Duration,
}

/// User and password. The password is not shown by `Debug`.
#[derive(Clone)]
pub struct Credentials {
    /// The etcd user.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// Certificates in PEM.
#[derive(Clone)]
pub struct Tls {
    /// The authority that signed the members' certificates.
    pub ca_pem: Vec<u8>,
    /// Our certificate and its key, where etcd asks for one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name to expect in the members' certificates where it is not the endpoint's host.
    pub domain: Option<String>,
}

/// An option that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct OptionsError {
    /// The field that is wrong, for example `endpoints[1]`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Options {
    /// Defaults with these endpoints: no credentials, no TLS, 5 s per request, 2 s per connection.
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            in_process: Vec::new(),
            credentials: None,
            tls: None,
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
        }
    }

    /// Defaults with these servers inside the process; no URL is needed.
    pub fn in_process(channels: impl IntoIterator<Item = (String, Channel)>) -> Self {
        Self {
            in_process: channels.into_iter().collect(),
            ..Self::new(Vec::<String>::new())
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn validate(&self) -> Result<(), OptionsError> {
        match (self.endpoints.is_empty(), self.in_process.is_empty()) {
            (true, true) => return Err(wrong("endpoints", "at least one is needed")),
            (false, false) => return Err(wrong("in_process", "is given beside endpoints")),
            (true, false) | (false, true) => {}
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            self.validate_endpoint(index, endpoint)?;
        }
        if let Some(tls) = &self.tls {
            tls.validate()?;
        }
        if let Some(credentials) = &self.credentials
            && credentials.user.is_empty()
        {
            return Err(wrong("credentials.user", "is empty"));
        }
        if self.request_timeout < Duration::from_millis(100) {
            return Err(wrong("request_timeout", "is below 100 ms"));
        }
        if self.connect_timeout < Duration::from_millis(10) {
            return Err(wrong("connect_timeout", "is below 10 ms"));
        }
        Ok(())
    }

    fn validate_endpoint(&self, index: usize, endpoint: &str) -> Result<(), OptionsError> {
        let field = format!("endpoints[{index}]");
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
        match (scheme, self.tls.is_some()) {
            ("", _) | ("http", false) | ("https", true) => {}
            ("http", true) => {
                return Err(wrong(field, "is http, but tls is given: write https://"));
            }
            ("https", false) => {
                return Err(wrong(field, "is https, but tls.ca_pem is not given"));
            }
            (other, _) => return Err(wrong(field, format!("has the unknown scheme {other}://"))),
        }
        let Some((host, port)) = rest.rsplit_once(':') else {
            return Err(wrong(field, "has no port"));
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong(field, "has no usable host"));
        }
        match port.parse::<u16>() {
            Ok(0) | Err(_) => Err(wrong(field, "has no usable port")),
            Ok(_) => Ok(()),
        }
    }
}

impl Tls {
    fn validate(&self) -> Result<(), OptionsError> {
        needs_pem("tls.ca_pem", &self.ca_pem, "CERTIFICATE-----")?;
        if let Some((certificate, key)) = &self.identity {
            needs_pem("tls.identity certificate", certificate, "CERTIFICATE-----")?;
            needs_pem("tls.identity key", key, "PRIVATE KEY-----")?;
        }
        Ok(())
    }
}

fn needs_pem(field: &str, pem: &[u8], what: &str) -> Result<(), OptionsError> {
    if String::from_utf8_lossy(pem).contains(what) {
        return Ok(());
    }
    Err(wrong(
        field,
        format!(
            "is not PEM with a {}",
            what.trim_end_matches('-').to_lowercase()
        ),
    ))
}

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> OptionsError {
    OptionsError {
        field: field.into(),
        reason: reason.into(),
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("identity", &self.identity.is_some())
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls() -> Tls {
        Tls {
            ca_pem: b"-----BEGIN CERTIFICATE-----".to_vec(),
            identity: None,
            domain: None,
        }
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        let good = Options::new([
            "http://127.0.0.1:2379",
            "127.0.0.1:2380",
            "http://[::1]:2379",
        ]);
        assert_eq!(good.validate(), Ok(()));

        let table: Vec<(Options, &str)> = vec![
            (Options::new(Vec::<String>::new()), "endpoints"),
            (Options::new(["http://a:1", "ftp://b:2"]), "endpoints[1]"),
            (Options::new(["http://a"]), "endpoints[0]"),
            (Options::new(["http://:2379"]), "endpoints[0]"),
            (Options::new(["a:0"]), "endpoints[0]"),
            (Options::new(["https://a:1"]), "endpoints[0]"),
            (
                Options {
                    tls: Some(tls()),
                    ..Options::new(["http://a:1"])
                },
                "endpoints[0]",
            ),
            (
                Options {
                    tls: Some(Tls {
                        ca_pem: b"no".to_vec(),
                        ..tls()
                    }),
                    ..Options::new(["https://a:1"])
                },
                "tls.ca_pem",
            ),
            (
                Options {
                    request_timeout: Duration::ZERO,
                    ..Options::new(["a:1"])
                },
                "request_timeout",
            ),
            (
                Options {
                    connect_timeout: Duration::ZERO,
                    ..Options::new(["a:1"])
                },
                "connect_timeout",
            ),
        ];
        for (options, field) in table {
            let error = options.validate().expect_err(field);
            assert_eq!(error.field, field, "{error}");
        }
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let credentials = Credentials {
            user: "root".into(),
            password: "secret".into(),
        };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
