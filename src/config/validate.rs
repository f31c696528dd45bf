//! Refuses a config that cannot work or is not safe, naming the field, the value and the bound.

use std::fmt;
use std::net::SocketAddr;

use super::token::TOKEN_BYTES_MIN;
use super::{Config, Embedded, PeerListen, bounds};
use crate::task::Name;

/// One thing that is wrong with a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting.
    pub name: &'static str,
    /// Its value; of a secret, three stars.
    pub value: String,
    /// What is wrong, with the bound.
    pub problem: String,
}

/// All that is wrong with a config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(pub Vec<Fault>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            at,
            Fault {
                name,
                value,
                problem,
            },
        ) in self.0.iter().enumerate()
        {
            let line = if at == 0 { "" } else { "\n" };
            write!(f, "{line}{name}: `{value}` {problem}")?;
        }
        Ok(())
    }
}

impl Config {
    /// Holds every value against its bound and against the others; reads the token file.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut faults = Faults {
            config: self,
            found: Vec::new(),
        };
        faults.bounds();
        faults.names();
        faults.etcd();
        faults.pairs();
        faults.levels();
        faults.work();
        faults.breakers();
        faults.listeners();
        if faults.found.is_empty() {
            Ok(())
        } else {
            Err(Invalid(faults.found))
        }
    }
}

struct Faults<'a> {
    config: &'a Config,
    found: Vec<Fault>,
}

impl Faults<'_> {
    fn unless(&mut self, good: bool, name: &'static str, problem: &str) {
        if !good {
            let value = self.config.shown(name);
            self.found.push(Fault {
                name,
                value,
                problem: problem.to_owned(),
            });
        }
    }

    fn bounds(&mut self) {
        for setting in Config::SETTINGS {
            let Some((low, high)) = setting.bound else {
                continue;
            };
            let good = (setting.in_bound)(self.config);
            self.unless(good, setting.name, &format!("is not in {low} to {high}"));
        }
        let whole = self.config.lease_ttl.subsec_nanos() == 0;
        self.unless(
            whole,
            "lease-ttl",
            "is not in whole seconds: etcd counts leases in them",
        );
    }

    fn names(&mut self) {
        let good = |name: &str| name.parse::<Name>().is_ok();
        let rule =
            "is not a name: 1 to 64 of a-z A-Z 0-9 . _ - are allowed, the first a letter or digit";
        self.unless(good(&self.config.cluster), "cluster", rule);
        self.unless(good(&self.config.node_name), "node-name", rule);
        let labels = self.config.labels.len() <= bounds::NODE_LABELS_MAX;
        let rule = format!(
            "has too many; at most {} are allowed",
            bounds::NODE_LABELS_MAX
        );
        self.unless(labels, "labels", &rule);
        let (key_max, value_max) = (
            bounds::NODE_LABEL_KEY_BYTES_MAX,
            bounds::NODE_LABEL_VALUE_BYTES_MAX,
        );
        let fits =
            |(key, value): (&String, &String)| key.len() <= key_max && value.len() <= value_max;
        let rule = format!(
            "has one that is too long; keys of {key_max} bytes and values of {value_max} are allowed"
        );
        self.unless(self.config.labels.iter().all(fits), "labels", &rule);
    }

    fn etcd(&mut self) {
        if self.config.embedded != Embedded::No {
            return self.own_etcd();
        }
        self.unless(
            self.config.embedded_listen.is_none(),
            "embedded-listen",
            "is for a node with an etcd of its own: it goes with embedded",
        );
        let endpoints = &self.config.etcd_endpoints;
        let max = bounds::ETCD_ENDPOINTS_MAX;
        let count = (1..=max).contains(&endpoints.len());
        self.unless(
            count,
            "etcd-endpoints",
            &format!("does not name 1 to {max} endpoints"),
        );
        if count && let Err(fault) = self.config.etcd_options() {
            self.found.push(fault);
        }
    }

    fn own_etcd(&mut self) {
        let c = self.config;
        self.unless(
            c.etcd_endpoints.is_empty(),
            "etcd-endpoints",
            "is given beside embedded: a node has its own etcd or uses another, so leave one of them out",
        );
        self.unless(
            c.embedded != Embedded::Durable || c.data_dir.is_some(),
            "data-dir",
            "is not given, and the embedded etcd needs it: name a directory, or use `tenure dev`",
        );
        let closed = |listen: SocketAddr| listen.ip().is_loopback() || c.embedded_public;
        self.unless(
            c.embedded_listen.is_none_or(closed),
            "embedded-listen",
            "is not loopback, and everyone who reaches it may do everything: embedded-public allows it",
        );
    }

    fn pairs(&mut self) {
        let c = self.config;
        let user = c.etcd_user.is_some() == c.etcd_password.is_some();
        self.unless(
            user,
            "etcd-user",
            "goes with etcd-password: give both or none",
        );
        let cert = c.etcd_cert.is_some() == c.etcd_key.is_some();
        self.unless(cert, "etcd-cert", "goes with etcd-key: give both or none");
    }

    /// Each level of service begins where the one before has begun.
    fn levels(&mut self) {
        let c = self.config;
        let rule = "is below the level before it: reduced, minimal and emergency follow each other";
        let rises = c.etcd_reduced <= c.etcd_minimal;
        self.unless(rises, "etcd-minimal", rule);
        self.unless(
            c.etcd_minimal <= c.quota_refuse,
            "quota-refuse",
            "is below etcd-minimal: reduced, minimal and emergency follow each other",
        );
        for (name, reduced, minimal) in [
            ("load-minimal", c.load_reduced, c.load_minimal),
            ("backlog-minimal", c.backlog_reduced, c.backlog_minimal),
            ("memory-minimal", c.memory_reduced, c.memory_minimal),
            ("cpu-minimal", c.cpu_reduced, c.cpu_minimal),
        ] {
            self.unless(reduced <= minimal, name, rule);
        }
    }

    fn work(&mut self) {
        let absolute = self
            .config
            .allow_command_path
            .iter()
            .all(|path| path.is_absolute());
        self.unless(absolute, "allow-command-path", "is not all absolute paths");
        self.unless(
            is_url(&self.config.advertise),
            "advertise",
            "is not an http(s):// URL",
        );
    }

    fn breakers(&mut self) {
        let c = self.config;
        self.unless(
            c.breaker_kinds.iter().all(|kind| kind.parse::<Name>().is_ok()),
            "breaker-kinds",
            "is not all names of kinds: 1 to 64 of a-z A-Z 0-9 . _ - are allowed, the first a letter or digit",
        );
        self.unless(
            c.breaker_runs <= c.breaker_window,
            "breaker-runs",
            "is more than breaker-window: a breaker would never open",
        );
        self.unless(
            c.breaker_open <= c.breaker_open_max,
            "breaker-open",
            "is more than breaker-open-max",
        );
    }

    fn listeners(&mut self) {
        let tokens = match self.config.tokens() {
            Ok(tokens) => tokens.len(),
            Err(error) => return self.unless(false, "token-file", &error.to_string()),
        };
        let token = self.config.token.as_ref();
        let long = token.is_none_or(|token| token.expose().len() >= TOKEN_BYTES_MIN);
        let rule = format!("is too short; at least {TOKEN_BYTES_MIN} bytes are needed");
        self.unless(long, "token", &rule);
        let open = |listen: SocketAddr| listen.ip().is_loopback() || tokens > 0;
        let rule = "is not loopback and there is no token: set TENURE_TOKEN or --token-file";
        self.unless(open(self.config.listen), "listen", rule);
        let closed = match self.config.peer_listen {
            PeerListen::At(at) => open(at) || self.config.peer_ca.is_some(),
            // Its address is that of `listen`, which has to be closed itself.
            PeerListen::Auto | PeerListen::Off => true,
        };
        let rule = "is not loopback and there is no token and no peer-ca: set TENURE_TOKEN or --token-file";
        self.unless(closed, "peer-listen", rule);
        let peer = self.config.peer_advertise.as_deref();
        self.unless(
            peer.is_none_or(is_host_and_port),
            "peer-advertise",
            "is not host:port",
        );
        if let Err(fault) = self.config.peer_pem() {
            self.found.push(fault);
        }
        self.unless(
            self.config.debug_listen.is_none_or(open),
            "debug-listen",
            "is not loopback and there is no token: set TENURE_TOKEN or --token-file",
        );
    }
}

fn is_host_and_port(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| {
        let host = !host.is_empty() && !host.contains(char::is_whitespace);
        host && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}
