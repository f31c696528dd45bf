//! A real etcd for a test, on free ports and in a directory of its own. Both go with the value.

use crate::cluster::{answers, free_ports};
use crate::members::{Members, Site};
use crate::tools::{found, skipped};
use etcd_client::Client;
use std::net::Ipv4Addr;
use tempfile::TempDir;

pub(crate) struct Etcd {
    pub(crate) members: Members,
    // Goes after those who write in it.
    _dir: TempDir,
}

impl Etcd {
    /// Starts so many members and waits until each is healthy; none, with the reason printed, where there is no etcd.
    pub(crate) async fn start(count: usize) -> Option<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), count).await
    }

    /// The same, with the members' data in `e1` and so on in this directory.
    pub(crate) async fn start_in(dir: TempDir, count: usize) -> Option<Self> {
        let Some(program) = found("etcd") else {
            skipped("etcd is not on the PATH");
            return None;
        };
        let ports = free_ports(2 * count).unwrap();
        let from = (program.parent().unwrap(), dir.path());
        let site = Site {
            host: Ipv4Addr::LOCALHOST,
            within: Vec::new(),
        };
        let members = Members::start(from, &vec![site; count], &ports).unwrap();
        let mut etcd = Self { members, _dir: dir };
        etcd.is_healthy().await;
        Some(etcd)
    }

    /// Waits until each member says it is healthy.
    pub(crate) async fn is_healthy(&mut self) {
        for endpoint in self.members.endpoints().to_vec() {
            let health = format!("{endpoint}/health");
            answers(&health, self.members.processes()).await.unwrap();
        }
    }

    /// A client of all members.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.members.endpoints(), None)
            .await
            .unwrap()
    }

    /// The process id of a member.
    pub(crate) fn process(&mut self, nth: usize) -> u32 {
        self.members.processes().nth(nth).unwrap().id()
    }

    /// No member has ended by itself.
    pub(crate) fn ensure_alive(&mut self) {
        for process in self.members.processes() {
            process.ensure_alive().unwrap();
        }
    }
}
