//! A cluster of etcd members on loopback, ended with the value. Never reused between tests.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::backend::Backend;
use crate::binary::Binaries;
use crate::certificates::Certificates;
use crate::inside::Inside;
use crate::member::{Member, Ports};

/// 60 s until all members answer; a loaded machine with three of them needs a few.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Five attempts: a port found free may be taken by another test before etcd binds it.
const STARTS: usize = 5;

/// What kind of cluster to start.
#[derive(Debug, Clone)]
pub struct Builder {
    backend: Backend,
    members: usize,
    args: Vec<String>,
    quota_bytes: Option<usize>,
    tls: bool,
    durable: bool,
}

/// A running cluster. Dropping it kills every member by its process id and removes their files.
#[derive(Debug)]
pub struct Etcd {
    binaries: Binaries,
    behind: Behind,
    certificates: Option<Certificates>,
    /// Removed with the value.
    _dir: TempDir,
}

#[derive(Debug)]
enum Behind {
    Processes(Vec<Member>),
    Embedded(Box<Inside>),
}

impl Builder {
    /// On this, whatever the test binary is called.
    #[must_use]
    pub fn on(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// With so much space that puts are refused beyond it.
    #[must_use]
    pub fn quota_bytes(mut self, bytes: usize) -> Self {
        self.quota_bytes = Some(bytes);
        self
    }

    /// With one more flag for each member, for example `--max-request-bytes=8192`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With TLS for clients, whose certificates are asked for; see [`Etcd::certificates`].
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// With fsync, which tests do without by default: a killed process loses nothing that the kernel has. The
    /// embedded etcd keeps nothing otherwise.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Starts it and waits until every member answers.
    ///
    /// # Panics
    /// Where there is no etcd, it is too old, or it does not start.
    pub fn start(self) -> Etcd {
        let mut said = String::new();
        for _ in 0..STARTS {
            match self.try_start() {
                Ok(etcd) => return etcd,
                Err(error) => said = error,
            }
        }
        panic!("etcd did not start {STARTS} times; last: {said}");
    }

    fn try_start(&self) -> Result<Etcd, String> {
        let binaries = Binaries::find();
        let dir = tempfile::Builder::new()
            .prefix("tenure-etcd-")
            .tempdir()
            .map_err(|error| format!("no temporary directory: {error}"))?;
        let certificates = self
            .tls
            .then(|| Certificates::generate(&dir.path().join("certs")));
        let behind = match self.backend {
            Backend::Etcd => self.processes(&binaries, dir.path(), certificates.as_ref())?,
            Backend::Embedded => self.embedded(dir.path())?,
        };
        Ok(Etcd {
            binaries,
            behind,
            certificates,
            _dir: dir,
        })
    }

    fn processes(
        &self,
        binaries: &Binaries,
        dir: &Path,
        certificates: Option<&Certificates>,
    ) -> Result<Behind, String> {
        let ports: Vec<Ports> = (0..self.members).map(|_| Ports::find()).collect();
        let mut members = Vec::new();
        for index in 0..self.members {
            let flags = self.flags(dir, certificates, index, &ports);
            let member = Member::start(&binaries.etcd, flags, ports[index])?;
            members.push(member);
        }
        wait_ready(&mut members)?;
        Ok(Behind::Processes(members))
    }

    fn embedded(&self, dir: &Path) -> Result<Behind, String> {
        assert!(
            !self.tls && self.args.is_empty(),
            "the embedded etcd has no TLS and no flags of etcd: the test is to be listed in .config/nextest.toml"
        );
        let options = tenure_embedded::Options {
            quota_bytes: self.quota_bytes,
            ..tenure_embedded::Options::default()
        };
        let data = self.durable.then(|| dir.join("embedded"));
        let inside = Inside::start(self.members, options, data)?;
        Ok(Behind::Embedded(Box::new(inside)))
    }

    fn flags(
        &self,
        dir: &Path,
        certificates: Option<&Certificates>,
        index: usize,
        ports: &[Ports],
    ) -> Vec<String> {
        let own = ports[index];
        let scheme = if self.tls { "https" } else { "http" };
        let cluster: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(index, ports)| format!("m{index}=http://127.0.0.1:{}", ports.peer))
            .collect();
        let client = format!("{scheme}://127.0.0.1:{}", own.client);
        let peer = format!("http://127.0.0.1:{}", own.peer);
        let mut flags = vec![
            format!("--name=m{index}"),
            format!("--data-dir={}", dir.join(format!("m{index}")).display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--listen-metrics-urls=http://127.0.0.1:{}", own.metrics),
            format!("--initial-cluster={}", cluster.join(",")),
            "--log-level=error".to_owned(),
        ];
        if !self.durable {
            flags.push("--unsafe-no-fsync".to_owned());
        }
        if let Some(bytes) = self.quota_bytes {
            flags.push(format!("--quota-backend-bytes={bytes}"));
        }
        if let Some(certificates) = certificates {
            flags.extend(certificates.etcd_flags());
        }
        flags.extend(self.args.iter().cloned());
        flags
    }
}

impl Etcd {
    /// One member.
    pub fn single() -> Self {
        Self::builder(1).start()
    }

    /// So many members.
    pub fn cluster(members: usize) -> Self {
        Self::builder(members).start()
    }

    /// So many members, with more to say.
    pub fn builder(members: usize) -> Builder {
        Builder {
            backend: Backend::of_this_binary(),
            members,
            args: Vec::new(),
            quota_bytes: None,
            tls: false,
            durable: false,
        }
    }

    /// The client endpoints with their scheme, in member order.
    pub fn endpoints(&self) -> Vec<String> {
        let scheme = self.certificates.as_ref().map_or("http", |_| "https");
        (0..self.members())
            .map(|member| format!("{scheme}://{}", self.address(member)))
            .collect()
    }

    /// The address of one member without a scheme, for a [`Proxy`](crate::Proxy).
    pub fn address(&self, member: usize) -> String {
        let port = match &self.behind {
            Behind::Processes(members) => members[member].ports.client,
            Behind::Embedded(inside) => inside.port(member),
        };
        format!("127.0.0.1:{port}")
    }

    fn members(&self) -> usize {
        match &self.behind {
            Behind::Processes(members) => members.len(),
            Behind::Embedded(inside) => inside.members(),
        }
    }

    /// The certificates of a cluster started with [`Builder::tls`].
    ///
    /// # Panics
    /// Where it was started without.
    pub fn certificates(&self) -> &Certificates {
        self.certificates
            .as_ref()
            .expect("the cluster was started with tls()")
    }

    /// Kills one member with SIGKILL and waits until it is gone.
    pub fn kill(&mut self, member: usize) {
        match &mut self.behind {
            Behind::Processes(members) => members[member].kill(),
            Behind::Embedded(inside) => inside.kill(member),
        }
    }

    /// Stops one member with SIGSTOP: its kernel still accepts connections, nobody answers.
    pub fn stop(&self, member: usize) {
        match &self.behind {
            Behind::Processes(members) => members[member].signal("STOP"),
            Behind::Embedded(inside) => inside.hold(member, true),
        }
    }

    /// Lets a stopped member go on.
    pub fn cont(&self, member: usize) {
        match &self.behind {
            Behind::Processes(members) => members[member].signal("CONT"),
            Behind::Embedded(inside) => inside.hold(member, false),
        }
    }

    /// Starts a killed member again, with its data and ports, and waits until it answers.
    ///
    /// # Panics
    /// Where it does not.
    pub fn restart(&mut self, member: usize) {
        self.kill(member);
        match &mut self.behind {
            Behind::Processes(members) => {
                let member = &mut members[member];
                member
                    .restart(&self.binaries.etcd)
                    .expect("etcd starts again");
                member.wait_ready(READY_WITHIN).expect("etcd answers again");
            }
            Behind::Embedded(inside) => inside.open(member).expect("it starts again"),
        }
    }

    /// The member that leads etcd now.
    ///
    /// # Panics
    /// Where none does.
    pub fn leader(&self) -> usize {
        let out = self.etcdctl(&["endpoint", "status", "--write-out=simple"]);
        out.lines()
            .position(|line| line.split(", ").nth(4) == Some("true"))
            .unwrap_or_else(|| panic!("no etcd leader in {out}"))
    }

    /// Runs etcdctl against all endpoints; what it printed.
    ///
    /// # Panics
    /// Where it fails.
    pub fn etcdctl(&self, args: &[&str]) -> String {
        self.try_etcdctl(args)
            .unwrap_or_else(|error| panic!("etcdctl {args:?}: {error}"))
    }

    /// Runs etcdctl against all endpoints; what it printed, or what it complained about.
    ///
    /// # Errors
    /// Where it fails.
    pub fn try_etcdctl(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.binaries.etcdctl);
        command.arg(format!("--endpoints={}", self.endpoints().join(",")));
        if let Some(certificates) = &self.certificates {
            command.args(certificates.etcdctl_flags());
        }
        let output = command
            .args(args)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("does not run: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

fn wait_ready(members: &mut [Member]) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    for member in members {
        member.wait_ready(deadline.saturating_duration_since(Instant::now()))?;
    }
    Ok(())
}
