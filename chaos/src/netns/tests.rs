use super::*;
use crate::tools::skipped;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// 30 s for what has to come through; a kernel sends again what was lost, later each time.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// 400 ms in which nothing may come through.
pub(crate) const MEANWHILE: Duration = Duration::from_millis(400);

/// None, with the reason printed, where such networks cannot be made.
pub(crate) fn networks(nodes: usize, members: usize) -> Option<Networks> {
    match Networks::with_members(nodes, members) {
        Ok(networks) => Some(networks),
        Err(error) => {
            skipped(&format!("{error:#}"));
            None
        }
    }
}

/// Does something in the network that these words lead into, in a thread that ends there. Its sockets stay there.
pub(crate) fn there<T: Send>(words: &[String], act: impl FnOnce() -> T + Send) -> T {
    let name = words.last().unwrap();
    let network = File::open(Path::new("/var/run/netns").join(name)).unwrap();
    std::thread::scope(|scope| {
        let entered = scope.spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind).unwrap();
            act()
        });
        entered.join().unwrap()
    })
}

/// Two ends of a connection.
pub(crate) fn accepts(listener: &TcpListener, client: TcpStream) -> (TcpStream, TcpStream) {
    let (server, _) = listener.accept().unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

/// Whether a word that is said at one end is heard at the other.
pub(crate) fn carries(from: &TcpStream, to: &TcpStream, within: Duration) -> bool {
    let (mut from, mut to) = (from, to);
    from.write_all(b"word").unwrap();
    to.set_read_timeout(Some(within)).unwrap();
    to.read_exact(&mut [0; 4]).is_ok()
}

fn connects(to: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&to, within)
}

#[test]
fn nodes_members_and_this_machine_reach_each_other() {
    let Some(networks) = networks(1, 1) else {
        return;
    };
    let (node, member) = (networks.words_for_node(0), networks.words_for_member(0));
    let own = TcpListener::bind((networks.proxy_address(), 0)).unwrap();
    let listen = |host| move || TcpListener::bind((host, 0)).unwrap();
    let far = there(&member, listen(networks.member_address(0)));
    let hub = there(&networks.words_for_hub(), listen(networks.hub_address()));

    for listener in [&own, &far, &hub] {
        let to = listener.local_addr().unwrap();
        let client = there(&node, || connects(to, SOON)).unwrap();
        let (client, server) = accepts(listener, client);
        assert!(carries(&client, &server, SOON) && carries(&server, &client, SOON));
    }
    let from_here = connects(far.local_addr().unwrap(), SOON).unwrap();
    let from = from_here.local_addr().unwrap().ip();
    assert_eq!(from, networks.own_address());
}

#[test]
fn a_member_that_is_cut_off_is_reached_again_when_it_is_let_back() {
    let Some(networks) = networks(1, 1) else {
        return;
    };
    let (node, member) = (networks.words_for_node(0), networks.words_for_member(0));
    let address = networks.member_address(0);
    let far = there(&member, move || TcpListener::bind((address, 0)).unwrap());
    let to = far.local_addr().unwrap();

    networks.set_member(0, false).unwrap();
    let cut = there(&node, || connects(to, MEANWHILE));
    networks.set_member(0, true).unwrap();
    let back = there(&node, || connects(to, SOON));

    assert!(cut.is_err());
    assert!(back.is_ok(), "{back:?}");
}

#[test]
fn networks_go_with_their_value() {
    let Some(networks) = networks(2, 1) else {
        return;
    };
    let names = [
        networks.words_for_hub(),
        networks.words_for_node(1),
        networks.words_for_member(0),
    ];
    let there = |words: &Vec<String>| {
        Path::new("/var/run/netns")
            .join(words.last().unwrap())
            .exists()
    };
    assert!(names.iter().all(there));

    drop(networks);

    assert!(!names.iter().any(there));
}

#[test]
fn too_many_networks_are_refused_before_one_is_made() {
    let error = Networks::with_members(EACH_MAX + 1, 0).err().unwrap();

    assert!(error.to_string().contains("too many"), "{error}");
}

#[test]
fn only_what_a_program_left_that_is_gone_is_swept() {
    let listed = "tn12h (id: 1)\ntn12n0 (id: 2)\ntn7m1\nbridge\ntn\ntnx\ntn12\n";
    let gone = orphans(listed, |process| process == 7);
    assert_eq!(gone, ["tn12h", "tn12n0"]);
    assert_eq!(orphans(listed, |_| true), [] as [String; 0]);
}

#[test]
fn networks_of_a_program_that_was_killed_go_with_the_next_and_so_does_what_runs_there() {
    // Above the greatest process id that the kernel gives, 2^22.
    let left = "tn4194999h";
    if let Err(error) = ip(&format!("netns add {left}")) {
        return skipped(&format!("{error:#}"));
    }
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", left, "sleep", "600"]);
    let mut inside = inside.spawn().unwrap();
    let until = Instant::now() + SOON;
    while !within(left).contains(&inside.id().to_string()) {
        assert!(Instant::now() < until, "nothing runs there");
        std::thread::yield_now();
    }

    let _networks = networks(1, 0).unwrap();

    assert!(!inside.wait().unwrap().success());
    assert!(!Path::new("/var/run/netns").join(left).exists());
}

/// What runs in a namespace.
fn within(name: &str) -> String {
    let ran = Command::new("ip").args(["netns", "pids", name]).output();
    String::from_utf8(ran.unwrap().stdout).unwrap()
}
