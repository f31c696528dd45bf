//! One etcd process. Never outlives its value.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// 10000 to 29999: below what kernels hand out to outgoing connections, which would take a port meanwhile.
const PORTS: std::ops::Range<u64> = 10_000..30_000;
/// 20 ms between looks at a starting member, which tells nobody when it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The ports of one member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) client: u16,
    pub(crate) peer: u16,
    pub(crate) metrics: u16,
}

#[derive(Debug)]
pub(crate) struct Member {
    child: Child,
    flags: Vec<String>,
    pub(crate) ports: Ports,
}

impl Ports {
    pub(crate) fn find() -> Self {
        Self {
            client: free_port(),
            peer: free_port(),
            metrics: free_port(),
        }
    }
}

/// A port nobody listens on and this process has not handed out before.
pub(crate) fn free_port() -> u16 {
    static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut taken = TAKEN.lock().expect("nobody panics while holding it");
    let taken = taken.get_or_insert_default();
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = PORTS.start + random % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("the range ends below 65536");
        if !taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.insert(port);
            return port;
        }
    }
}

impl Member {
    pub(crate) fn start(etcd: &Path, flags: Vec<String>, ports: Ports) -> Result<Self, String> {
        let child = spawn(etcd, &flags)?;
        Ok(Self {
            child,
            flags,
            ports,
        })
    }

    pub(crate) fn restart(&mut self, etcd: &Path) -> Result<(), String> {
        self.child = spawn(etcd, &self.flags)?;
        Ok(())
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &self.pid().to_string()])
            .status()
            .expect("the kill command runs");
        assert!(status.success(), "kill -{signal} {} failed", self.pid());
    }

    /// Waits until it answers that it is healthy, which takes an etcd leader.
    pub(crate) fn wait_ready(&mut self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("etcd ended with {status}"));
            }
            if healthy(self.ports.metrics) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!("not healthy after {limit:?}"));
            }
            sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(etcd: &Path, flags: &[String]) -> Result<Child, String> {
    let mut command = Command::new(etcd);
    // Its flags can be given in the environment, too.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD_") {
            command.env_remove(name);
        }
    }
    command
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{} does not run: {error}", etcd.display()))
}

fn healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("\"health\":\"true\""))
}
