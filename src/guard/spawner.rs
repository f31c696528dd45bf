//! Starts commands so that each is known to the guard before it begins. From one thread that lasts as long as the process: the kernel
//! kills a command whose starting thread has ended, and threads of a runtime come and go.

use std::ffi::OsStr;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::roster::{Leash, Member, guarded};
use super::{SELF, able, stage, watchdog};

/// 256 KiB of stack for a thread that starts processes.
const STACK_BYTES: usize = 256 << 10;

/// What is to be started.
struct Order {
    command: Command,
    leash: Leash,
    /// The runtime that its pipes are for.
    runtime: Handle,
    reply: oneshot::Sender<io::Result<(Child, Member)>>,
}

/// None where the thread could not be started.
static ORDERS: LazyLock<Option<Sender<Order>>> = LazyLock::new(|| {
    let (orders, taken) = mpsc::channel::<Order>();
    let thread = std::thread::Builder::new()
        .name("guard-spawner".to_owned())
        .stack_size(STACK_BYTES);
    let started = thread.spawn(move || {
        for order in taken {
            let Order {
                command,
                leash,
                runtime,
                reply,
            } = order;
            let _inside = runtime.enter();
            let child = guarded().and_then(|()| {
                // A runtime that is being shut down panics where it is given pipes: this thread is for others, too.
                let entered = catch_unwind(AssertUnwindSafe(|| enter(command, leash)));
                entered.unwrap_or_else(|_| Err(io::Error::other("the runtime is shutting down")))
            });
            // Where nobody waits for it any more it is dropped, and ends without having become anything.
            let _given_up = reply.send(child);
        }
    });
    started.is_ok().then_some(orders)
});

/// A command for [`start`], by its program and what it is called by. Its standard input is a pipe where it has a guard, and begins with
/// what lets it go.
pub(crate) fn command(program: &OsStr, called: &str) -> Command {
    if !able() {
        let mut command = Command::new(program);
        command.arg0(called);
        return command;
    }
    let mut command = Command::new(SELF);
    command
        .arg(stage::WORD)
        .arg(std::process::id().to_string())
        .arg(program)
        .arg(called);
    command
}

/// Starts a command as the leader of a process group of its own, on this leash.
///
/// # Errors
/// It cannot be started, or there is no guard to be had.
pub(crate) async fn start(mut command: Command, leash: Leash) -> io::Result<(Child, Member)> {
    command.process_group(0);
    // Also of a program that has no guard: then nobody else would end its commands in time.
    watchdog::ensure();
    if !able() {
        return enter(command, leash);
    }
    let orders = ORDERS
        .as_ref()
        .ok_or_else(|| io::Error::other("no thread to start it"))?;
    let (reply, replied) = oneshot::channel();
    let order = Order {
        command,
        leash,
        runtime: Handle::current(),
        reply,
    };
    orders
        .send(order)
        .map_err(|_ended| io::Error::other("the thread that starts commands has ended"))?;
    let (mut child, member) = replied.await.map_err(io::Error::other)??;
    let stdin = child.stdin.as_mut().expect("of a stage it is piped");
    // One that is gone by now says so by its status.
    let _gone = stdin.write_all(&[stage::GO]).await;
    Ok((child, member))
}

fn enter(mut command: Command, leash: Leash) -> io::Result<(Child, Member)> {
    let child = command.spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let group = id.expect("a child that was not waited for has a number, and Linux's are small");
    Ok((child, Member::enter(group, leash)))
}
