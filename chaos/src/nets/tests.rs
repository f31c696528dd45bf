use super::*;
use crate::members::within;
use crate::netns::Networks;
use crate::netns::tests::{MEANWHILE, SOON, accepts, carries, networks, there};
use crate::process::Process;
use crate::tools::{found, skipped};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Networks of nodes; none, with the reason printed, where they cannot be made or broken.
fn scene(nodes: usize) -> Option<Networks> {
    for tool in ["nft", "tc"] {
        if found(tool).is_none() {
            skipped(&format!("{tool} is not installed here"));
            return None;
        }
    }
    networks(nodes, 0)
}

fn place(networks: &Networks, nth: usize) -> Place {
    Place {
        entrance: networks.words_for_node(nth),
        addresses: vec![networks.node_address(nth)],
        device: "eth0".to_owned(),
    }
}

/// From the first node to the second.
fn barrier(networks: &Networks, name: &str, how: How) -> Barrier {
    Barrier {
        name: name.to_owned(),
        from: vec![place(networks, 0)],
        to: vec![place(networks, 1)],
        both: false,
        how,
    }
}

fn listen(networks: &Networks, nth: usize) -> TcpListener {
    let address = networks.node_address(nth);
    let bind = move || TcpListener::bind((address, 0)).unwrap();
    there(&networks.words_for_node(nth), bind)
}

fn connect(
    networks: &Networks,
    nth: usize,
    to: &TcpListener,
    within: Duration,
) -> std::io::Result<TcpStream> {
    let to = to.local_addr().unwrap();
    there(&networks.words_for_node(nth), move || {
        TcpStream::connect_timeout(&to, within)
    })
}

/// A connection from one node to another, as both ends see it.
fn pair(networks: &Networks, from: usize, to: usize) -> (TcpStream, TcpStream) {
    let listener = listen(networks, to);
    let client = connect(networks, from, &listener, SOON).unwrap();
    accepts(&listener, client)
}

async fn set(barrier: &Barrier) {
    assert_eq!(barrier.set().await.unwrap(), Made::Yes);
}

async fn lift(barrier: &Barrier) {
    assert_eq!(barrier.lift().await.unwrap(), Made::Yes);
}

#[tokio::test]
async fn a_way_that_is_dropped_carries_nothing_and_the_way_back_does() {
    let Some(networks) = scene(3) else { return };
    let (client, server) = pair(&networks, 0, 1);
    let (other, others_server) = pair(&networks, 2, 1);
    assert!(carries(&client, &server, SOON));

    let dropped = barrier(&networks, "n1-n2", How::Dropped);
    set(&dropped).await;

    assert!(!carries(&client, &server, MEANWHILE));
    assert!(carries(&server, &client, SOON));
    assert!(carries(&other, &others_server, SOON));
    let new = connect(&networks, 0, &listen(&networks, 1), MEANWHILE).unwrap_err();
    assert_eq!(new.kind(), ErrorKind::TimedOut);

    lift(&dropped).await;
    lift(&dropped).await;

    assert!(carries(&client, &server, SOON));
}

#[tokio::test]
async fn a_way_that_is_dropped_both_ways_carries_nothing_either_way() {
    let Some(networks) = scene(2) else { return };
    let (client, server) = pair(&networks, 0, 1);
    let mut dropped = barrier(&networks, "both", How::Dropped);
    dropped.both = true;

    set(&dropped).await;
    set(&dropped).await;

    assert!(!carries(&client, &server, MEANWHILE));
    assert!(!carries(&server, &client, MEANWHILE));

    lift(&dropped).await;

    assert!(carries(&client, &server, SOON) && carries(&server, &client, SOON));
}

#[tokio::test]
async fn of_two_barriers_on_one_way_each_is_removed_by_its_name() {
    let Some(networks) = scene(2) else { return };
    let (client, server) = pair(&networks, 0, 1);
    let one = barrier(&networks, "a-b", How::Dropped);
    let other = barrier(&networks, "a_b", How::Lossy(100));
    set(&one).await;
    set(&other).await;

    lift(&one).await;
    assert!(!carries(&client, &server, MEANWHILE));

    lift(&other).await;
    assert!(carries(&client, &server, SOON));
}

#[tokio::test]
async fn what_is_reset_is_told_and_new_connections_are_refused() {
    let Some(networks) = scene(2) else { return };
    let (mut client, server) = pair(&networks, 0, 1);
    let reset = barrier(&networks, "reset", How::Reset);
    set(&reset).await;

    client.write_all(b"word").unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    let told = client.read(&mut [0; 4]).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::ConnectionReset);
    let listener = listen(&networks, 1);
    let refused = connect(&networks, 0, &listener, SOON).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    // The other end speaks to nobody, and hears of it though what it is told comes by the broken way.
    (&server).write_all(b"word").unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    let told = (&server).read(&mut [0; 4]).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::ConnectionReset);

    lift(&reset).await;
    assert!(connect(&networks, 0, &listener, SOON).is_ok());
}

#[tokio::test]
async fn of_a_lossy_way_about_as_many_packets_are_lost_as_are_set() {
    const SENT: usize = 400;
    let Some(networks) = scene(2) else { return };
    let bind = |nth| {
        let host = networks.node_address(nth);
        let bind = move || UdpSocket::bind((host, 0)).unwrap();
        there(&networks.words_for_node(nth), bind)
    };
    let (from, to) = (bind(0), bind(1));
    to.set_read_timeout(Some(MEANWHILE)).unwrap();
    set(&barrier(&networks, "loss", How::Lossy(50))).await;

    let address: SocketAddr = to.local_addr().unwrap();
    let mut came = 0;
    for _ in 0..SENT / 20 {
        for _ in 0..20 {
            from.send_to(b"word", address).unwrap();
        }
        to.set_nonblocking(false).unwrap();
        while to.recv(&mut [0; 4]).is_ok() {
            came += 1;
            to.set_nonblocking(true).unwrap();
        }
    }

    assert!((SENT / 4..SENT * 3 / 4).contains(&came), "{came} of {SENT}");
}

/// How long some bytes take from one end to the other.
fn takes(mut from: &TcpStream, mut to: &TcpStream, bytes: usize) -> Duration {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let sent = scope.spawn(move || from.write_all(&vec![7; bytes]).unwrap());
        to.set_read_timeout(Some(SOON)).unwrap();
        to.read_exact(&mut vec![0; bytes]).unwrap();
        sent.join().unwrap();
    });
    began.elapsed()
}

#[tokio::test]
async fn a_narrow_way_is_slow_and_the_sender_is_as_fast_as_before_to_others() {
    const BYTES: usize = 160 << 10;
    let Some(networks) = scene(3) else { return };
    let (client, server) = pair(&networks, 0, 1);
    let (other, others_server) = pair(&networks, 0, 2);
    let narrow = barrier(&networks, "narrow", How::Narrow(320));
    if let Made::Cannot(why) = narrow.set().await.unwrap() {
        return skipped(&why);
    }
    set(&narrow).await;

    // 160 KiB at 40,000 bytes in a second, of which 16 KiB go at once, and up to 64 KiB in a last packet.
    let slow = takes(&client, &server, BYTES);
    let fast = takes(&other, &others_server, BYTES);
    assert!(
        slow.as_millis() >= 1500 && fast < slow / 2,
        "{slow:?}, {fast:?}"
    );

    let another = barrier(&networks, "another", How::Narrow(8));
    let taken = another.set().await.unwrap();
    assert!(matches!(&taken, Made::Cannot(why) if why.contains("already")));
    lift(&another).await;
    assert!(takes(&client, &server, BYTES) > fast);

    lift(&narrow).await;
    lift(&narrow).await;
    let again = takes(&client, &server, BYTES);
    assert!(again < slow / 2, "{again:?}");
}

/// Waits until a process has left the network in which it was started.
fn is_in_another_network(process: u32) {
    let network = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net")).unwrap();
    let until = Instant::now() + SOON;
    while network(&process.to_string()) == network("self") {
        assert!(Instant::now() < until, "it stays here");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_network_is_entered_by_a_process_that_is_in_it() {
    let Some(networks) = scene(2) else { return };
    if found("nsenter").is_none() {
        return skipped("nsenter is not installed here");
    }
    let (client, server) = pair(&networks, 0, 1);
    let words = networks.words_for_node(1);
    let dir = tempfile::tempdir().unwrap();
    let mut command = within(&words, Path::new("sleep"));
    command.arg("600");
    let mut inside = Process::start("inside", command, dir.path()).unwrap();
    is_in_another_network(inside.id());
    let mut dropped = barrier(&networks, "container", How::Dropped);
    dropped.to[0].entrance = ["nsenter", "-t", &inside.id().to_string(), "-n"]
        .map(str::to_owned)
        .into();

    set(&dropped).await;
    assert!(!carries(&client, &server, MEANWHILE));
    lift(&dropped).await;
    assert!(carries(&client, &server, SOON));

    inside.kill().unwrap();
    let gone = dropped.set().await;
    assert!(!matches!(gone, Ok(Made::Yes)), "{gone:?}");
}

#[tokio::test]
async fn what_fails_in_part_is_taken_back() {
    let Some(networks) = scene(2) else { return };
    let (client, server) = pair(&networks, 0, 1);
    let mut dropped = barrier(&networks, "part", How::Dropped);
    let mut nowhere = place(&networks, 1);
    let name = nowhere.entrance.last_mut().unwrap();
    name.push_str("zz");
    dropped.to.push(nowhere);

    assert!(dropped.set().await.is_err());

    assert!(carries(&client, &server, SOON));
}

#[test]
fn what_the_kernel_shapes_by_itself_is_nobodys() {
    let ours = "qdisc htb 8a1: root refcnt 2 r2q 10\nqdisc pfifo 8002: parent 8a1:1 limit 64p";

    let by = |said| shaped_by(said, "8a1:");

    assert!(by("qdisc noqueue 0: root refcnt 2") == Shaper::Nobody);
    assert!(by("") == Shaper::Nobody);
    assert!(by(ours) == Shaper::Us);
    assert!(by("qdisc tbf 8002: root refcnt 2 rate 1Mbit") == Shaper::Another);
}
