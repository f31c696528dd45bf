//! What a cluster of processes takes of this machine: free ports, directories, binaries that can be run, and a wait until something answers.

use super::READY;
use crate::process::Process;
use anyhow::Context as _;
use rustix::mount::{UnmountFlags, unmount};
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

/// A directory of ours, made anew and empty; its whole path. What a program that was killed left mounted there is taken off first.
pub(crate) fn emptied(dir: &Path) -> anyhow::Result<PathBuf> {
    if dir.exists() {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for mount in mounted_below(&mounts, &dir.canonicalize()?) {
            let _stays = unmount(mount, UnmountFlags::DETACH);
        }
        std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    Ok(dir.canonicalize()?)
}

/// What is mounted below a directory, by the kernel's list: a line each, whose second word is where.
fn mounted_below<'m>(mounts: &'m str, dir: &Path) -> Vec<&'m str> {
    let places = mounts
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    let below = places.filter(|place| Path::new(place).starts_with(dir) && Path::new(place) != dir);
    below.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_below_a_directory_is_found_and_nothing_beside_it() {
        let mounts = "tmpfs /srv/run/e3 tmpfs rw 0 0\nproc /proc proc rw 0 0\n\ntmpfs /srv/runs tmpfs rw 0 0\ntmpfs /srv/run tmpfs rw 0 0\n";
        let found = mounted_below(mounts, Path::new("/srv/run"));
        assert_eq!(found, ["/srv/run/e3"]);
    }
}
