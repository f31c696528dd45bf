//! The embedded etcd in place of members of a real one: one store behind a port for each member. The ports
//! can be held and closed as members can be stopped and killed; behind them nothing lags and nothing is lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use tenure_embedded::{Embedded, Options};
use tokio::runtime::Runtime;

use crate::member::free_port;
use crate::proxy::{Mode, Proxy};

/// A running store, ended with the value.
#[derive(Debug)]
pub(crate) struct Inside {
    /// Of its own: a test blocks its thread, and may pause its time.
    runtime: Option<Runtime>,
    options: Options,
    /// Where it keeps what it has; in memory where there is none.
    data: Option<PathBuf>,
    /// None while every member is killed.
    server: Option<Server>,
    doors: Vec<Door>,
}

#[derive(Debug)]
struct Server {
    embedded: Embedded,
    at: SocketAddr,
}

/// What stands for one member.
#[derive(Debug)]
struct Door {
    port: u16,
    /// None while it is killed: nobody listens.
    open: Option<Proxy>,
}

impl Inside {
    /// Starts it behind so many ports.
    pub(crate) fn start(
        members: usize,
        options: Options,
        data: Option<PathBuf>,
    ) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("embedded-etcd")
            .enable_all()
            .build()
            .map_err(|error| format!("no runtime: {error}"))?;
        let door = |_| Door {
            port: free_port(),
            open: None,
        };
        let mut inside = Self {
            runtime: Some(runtime),
            options,
            data,
            server: None,
            doors: (0..members).map(door).collect(),
        };
        for member in 0..members {
            inside.open(member)?;
        }
        Ok(inside)
    }

    pub(crate) fn port(&self, member: usize) -> u16 {
        self.doors[member].port
    }

    pub(crate) fn members(&self) -> usize {
        self.doors.len()
    }

    /// Holds what a member is sent and would answer, or lets it pass again.
    pub(crate) fn hold(&self, member: usize, hold: bool) {
        let mode = if hold { Mode::Hold } else { Mode::Forward };
        let door = self.doors[member].open.as_ref();
        door.expect("the member was not killed").set(mode);
    }

    /// Closes a member's port. With the first one a leader dies, with the last one the store.
    pub(crate) fn kill(&mut self, member: usize) {
        let leader = self.doors.iter().position(|door| door.open.is_some());
        let Some(door) = self.doors[member].open.take() else {
            return;
        };
        self.run(door.close());
        if self.doors.iter().all(|door| door.open.is_none()) {
            let server = self.server.take().expect("a door was open");
            self.run(server.embedded.shutdown());
        } else if leader == Some(member)
            && let Some(server) = &self.server
        {
            server.embedded.renew_all_leases();
        }
    }

    /// Opens a member's port, and the store before it where that is ended.
    pub(crate) fn open(&mut self, member: usize) -> Result<(), String> {
        if self.server.is_none() {
            self.server = Some(self.serve()?);
        }
        let at = self.server.as_ref().expect("it serves").at;
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, self.doors[member].port));
        let proxy = self.run(Proxy::start_at(own, at.to_string()));
        let proxy = proxy.map_err(|error| format!("{own}: {error}"))?;
        self.doors[member].open = Some(proxy);
        Ok(())
    }

    fn serve(&self) -> Result<Server, String> {
        let (options, data) = (self.options.clone(), self.data.clone());
        self.run(async move {
            let embedded = match data {
                Some(dir) => Embedded::open(dir, &options).map_err(|error| error.to_string())?,
                None => Embedded::in_memory(&options),
            };
            let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let at = embedded.listen(loopback).await;
            let at = at.map_err(|error| format!("no port: {error}"))?;
            Ok(Server { embedded, at })
        })
    }

    /// Runs something there, and blocks until it is done: it does not need the caller's runtime.
    fn run<T: Send + 'static>(&self, what: impl Future<Output = T> + Send + 'static) -> T {
        let (tell, told) = sync_channel(1);
        let runtime = self.runtime.as_ref().expect("taken when it is dropped");
        runtime.spawn(async move {
            // Nobody listens only where the caller panicked.
            let _ = tell.send(what.await);
        });
        told.recv().expect("what runs there does not panic")
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.server = None;
        if let Some(runtime) = self.runtime.take() {
            // A runtime may not wait for its end where another one runs.
            runtime.shutdown_background();
        }
    }
}
