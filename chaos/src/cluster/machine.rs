//! What a cluster of processes takes of this machine: free ports, directories, binaries that can be run, and a wait until something answers.

use super::READY;
use crate::process::Process;
use anyhow::Context as _;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) fn url(host: Ipv4Addr, port: u16) -> String {
    format!("http://{host}:{port}")
}

/// Whether nodes can be told by which address their peers reach them.
pub(crate) fn speaks_of_peers(tenure: &Path) -> anyhow::Result<bool> {
    let said = Command::new(tenure).args(["server", "--help"]).output()?;
    Ok(String::from_utf8_lossy(&said.stdout).contains("--peer-advertise"))
}

/// Ports that were free a moment ago, all different, because all are held until the last is found.
pub(crate) fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(held
        .iter()
        .map(TcpListener::local_addr)
        .map(|addr| addr.map(|addr| addr.port()))
        .collect::<Result<_, _>>()?)
}

/// A directory of ours, made anew and empty; its whole path.
pub(crate) fn emptied(dir: &Path) -> anyhow::Result<PathBuf> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    Ok(dir.canonicalize()?)
}

/// A token that nobody on this machine can guess.
pub(crate) fn new_token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// Waits until the address answers 200, as long as none of the processes ends meanwhile.
pub(crate) async fn answers(
    address: &str,
    processes: impl Iterator<Item = &mut Process>,
) -> anyhow::Result<()> {
    let mut processes: Vec<&mut Process> = processes.collect();
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()?;
    let until = Instant::now() + READY;
    loop {
        processes
            .iter_mut()
            .try_for_each(|one| one.ensure_alive())?;
        match http.get(address).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if Instant::now() > until => {
                anyhow::bail!("{address} still answers {}", answer.status())
            }
            Err(error) if Instant::now() > until => return Err(error.into()),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The binaries are there and can be run.
pub(crate) fn check_binaries(tenure: &Path, etcd: &Path) -> anyhow::Result<()> {
    for (binary, flag) in [
        (tenure.to_owned(), "--version"),
        (etcd.join("etcd"), "--version"),
    ] {
        let ran = Command::new(&binary)
            .arg(flag)
            .output()
            .with_context(|| binary.display().to_string())?;
        anyhow::ensure!(
            ran.status.success(),
            "{} {flag} ended with {}",
            binary.display(),
            ran.status
        );
    }
    Ok(())
}
