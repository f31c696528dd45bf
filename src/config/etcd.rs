//! The settings of etcd as `tenure-cluster` wants them. It reads the PEM files; it never connects.

use std::path::Path;

use tenure_cluster::{Credentials, Options, OptionsError, Tls};

use super::{Config, Fault, bounds};

impl Config {
    /// How to reach etcd.
    ///
    /// # Errors
    /// The setting that cannot be used.
    pub fn etcd_options(&self) -> Result<Options, Fault> {
        let mut options = Options::new(self.etcd_endpoints.iter().cloned());
        options.request_timeout = bounds::ETCD_TIMEOUT;
        options.credentials = self.etcd_credentials();
        options.tls = self.etcd_tls()?;
        options
            .validate()
            .map_err(|error| self.etcd_fault(&error))?;
        Ok(options)
    }

    fn etcd_credentials(&self) -> Option<Credentials> {
        let user = self.etcd_user.clone()?;
        let password = self.etcd_password.as_ref()?.expose().to_owned();
        Some(Credentials { user, password })
    }

    fn etcd_tls(&self) -> Result<Option<Tls>, Fault> {
        let Some(ca) = &self.etcd_ca else {
            return Ok(None);
        };
        let ca_pem = pem("etcd-ca", ca)?;
        let identity = match (&self.etcd_cert, &self.etcd_key) {
            (Some(cert), Some(key)) => Some((pem("etcd-cert", cert)?, pem("etcd-key", key)?)),
            (Some(_) | None, None) | (None, Some(_)) => None,
        };
        Ok(Some(Tls {
            ca_pem,
            identity,
            domain: None,
        }))
    }

    /// The setting behind a field of the options.
    fn etcd_fault(&self, error: &OptionsError) -> Fault {
        let field = error.field.as_str();
        let name = match field.split(['[', '.', ' ']).next() {
            Some("tls") if field.contains("key") => "etcd-key",
            Some("tls") if field.contains("certificate") => "etcd-cert",
            Some("tls") => "etcd-ca",
            Some("credentials") => "etcd-user",
            Some(_) | None => "etcd-endpoints",
        };
        // The other crate speaks of its own field; users know it as the setting.
        let problem = error.reason.replace("tls.ca_pem", "etcd-ca");
        Fault {
            name,
            value: self.shown(name),
            problem,
        }
    }
}

pub(super) fn pem(name: &'static str, path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|error| Fault {
        name,
        value: path.display().to_string(),
        problem: format!("cannot be read: {error}"),
    })
}
