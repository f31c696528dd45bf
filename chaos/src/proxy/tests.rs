use super::*;
use std::io::ErrorKind;
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// 10 s for what has to happen.
const SOON: Duration = Duration::from_secs(10);
/// 300 ms in which nothing may happen; on a loaded machine a wrong one could be missed, never a right one blamed.
const MEANWHILE: Duration = Duration::from_millis(300);

const DROPPED: Conditions = Conditions {
    dropped: true,
    late: None,
    narrow_kbit_s: None,
};

/// A server that says everything back, and a proxy before it.
struct Scene {
    proxy: Proxy,
    heard: watch::Receiver<usize>,
    _server: JoinSet<()>,
}

async fn echo(mut stream: TcpStream, heard: Arc<watch::Sender<usize>>) {
    let mut bytes = vec![0; 4096];
    while let Ok(count) = stream.read(&mut bytes).await {
        heard.send_modify(|all| *all += count);
        if count == 0 || stream.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

async fn serve(listener: TcpListener, heard: Arc<watch::Sender<usize>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(echo(stream, Arc::clone(&heard)));
    }
}

async fn scene() -> Scene {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let to = listener.local_addr().unwrap();
    let (sender, heard) = watch::channel(0);
    let mut server = JoinSet::new();
    server.spawn(serve(listener, Arc::new(sender)));
    Scene {
        proxy: Proxy::start(Ipv4Addr::LOCALHOST, to).await.unwrap(),
        heard,
        _server: server,
    }
}

impl Scene {
    async fn connects(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address()).await.unwrap()
    }
}

async fn asks(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
    let mut word = [0; 4];
    let asked = async {
        stream.write_all(b"word").await?;
        stream.read_exact(&mut word).await
    };
    timeout(SOON, asked).await.expect("an answer or an error")?;
    Ok(word)
}

/// What comes of a connection that nobody says anything on.
async fn fate(stream: &mut TcpStream) -> ErrorKind {
    let read = timeout(SOON, stream.read(&mut [0; 4])).await;
    match read.expect("it ends in time") {
        Ok(0) => ErrorKind::UnexpectedEof,
        Ok(_) => panic!("something was passed on"),
        Err(error) => error.kind(),
    }
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(MEANWHILE, stream.read(&mut [0; 4])).await.is_err()
}

#[tokio::test]
async fn what_is_cut_is_reset_and_refused_until_it_is_mended() {
    let mut scene = scene().await;
    let mut open = scene.connects().await;
    assert_eq!(&asks(&mut open).await.unwrap(), b"word");

    scene.proxy.cut().await;

    assert!(asks(&mut open).await.is_err());
    let refused = TcpStream::connect(scene.proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    scene.proxy.mend().await.unwrap();

    let mut again = scene.connects().await;
    assert_eq!(&asks(&mut again).await.unwrap(), b"word");
}

#[tokio::test]
async fn where_the_server_refuses_the_client_is_reset() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let nobody = taken.local_addr().unwrap();
    drop(taken);
    let proxy = Proxy::start(Ipv4Addr::LOCALHOST, nobody).await.unwrap();

    let mut client = TcpStream::connect(proxy.address()).await.unwrap();

    assert_eq!(fate(&mut client).await, ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_good_bye_is_passed_on_behind_everything_that_was_said() {
    let scene = scene().await;
    let mut client = scene.connects().await;
    let said = vec![7; 1 << 20];

    let (mut hears, mut says) = client.split();
    let mut echoed = Vec::new();
    let all = async {
        tokio::try_join!(hears.read_to_end(&mut echoed), async {
            says.write_all(&said).await?;
            says.shutdown().await
        })
    };
    timeout(SOON, all).await.unwrap().unwrap();

    assert!(echoed == said, "{} bytes", echoed.len());
}

#[tokio::test]
async fn what_is_dropped_both_ways_is_silent_and_reset_when_it_is_mended() {
    let mut scene = scene().await;
    let (mut speaks, mut idles) = (scene.connects().await, scene.connects().await);
    assert_eq!(&asks(&mut speaks).await.unwrap(), b"word");
    assert_eq!(&asks(&mut idles).await.unwrap(), b"word");

    scene.proxy.set_both(DROPPED);
    speaks.write_all(b"lost").await.unwrap();
    let mut new = scene.connects().await;
    new.write_all(b"lost").await.unwrap();

    assert!(is_silent(&mut speaks).await && is_silent(&mut new).await);
    assert_eq!(*scene.heard.borrow(), 8);

    scene.proxy.mend().await.unwrap();

    assert_eq!(fate(&mut speaks).await, ErrorKind::ConnectionReset);
    assert_eq!(fate(&mut new).await, ErrorKind::ConnectionReset);
    assert_eq!(&asks(&mut idles).await.unwrap(), b"word");
}

#[tokio::test]
async fn dropped_requests_are_not_heard() {
    let mut scene = scene().await;
    scene.proxy.set(Way::Requests, DROPPED);
    let mut client = scene.connects().await;

    client.write_all(b"lost").await.unwrap();

    assert!(is_silent(&mut client).await);
    assert_eq!(*scene.heard.borrow(), 0);
    scene.proxy.mend().await.unwrap();
    assert_eq!(fate(&mut client).await, ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_request_is_heard_though_its_answer_is_dropped() {
    let mut scene = scene().await;
    scene.proxy.set(Way::Answers, DROPPED);
    let mut client = scene.connects().await;

    client.write_all(b"word").await.unwrap();
    let heard = scene.heard.wait_for(|heard| *heard == 4);
    timeout(SOON, heard).await.unwrap().unwrap();

    assert!(is_silent(&mut client).await);
    scene.proxy.set(Way::Answers, Conditions::default());
    assert_eq!(fate(&mut client).await, ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_is_late_comes_later_and_in_its_order() {
    let scene = scene().await;
    scene.proxy.set_both(Conditions {
        late: Some(Late {
            ms: 500,
            jitter_ms: 100,
        }),
        ..Conditions::default()
    });
    let mut client = scene.connects().await;
    client.set_nodelay(true).unwrap();
    let began = Instant::now();

    let said: Vec<u8> = (0..100).collect();
    let (mut hears, mut says) = client.split();
    let mut echoed = vec![0; said.len()];
    let all = async {
        tokio::try_join!(hears.read_exact(&mut echoed), async {
            for byte in said.chunks(1) {
                says.write_all(byte).await?;
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    };
    timeout(SOON, all).await.unwrap().unwrap();

    assert_eq!(echoed, said);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_narrow_way_lets_so_much_through_and_others_wait_with_it() {
    let scene = scene().await;
    scene.proxy.set(
        Way::Requests,
        Conditions {
            narrow_kbit_s: NonZeroU32::new(160),
            ..Conditions::default()
        },
    );
    let (mut one, mut other) = (scene.connects().await, scene.connects().await);
    let began = Instant::now();

    // 24 KiB at 20,000 bytes in a second, of which 4 KiB go at once.
    let said = [7; 12 << 10];
    let (mut first, mut second) = ([0; 12 << 10], [0; 12 << 10]);
    let all = async {
        tokio::try_join!(one.write_all(&said), other.write_all(&said))?;
        tokio::try_join!(one.read_exact(&mut first), other.read_exact(&mut second))
    };
    timeout(SOON, all).await.unwrap().unwrap();

    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[tokio::test]
async fn half_open_connections_carry_nothing_and_new_ones_do() {
    let mut scene = scene().await;
    let mut old = scene.connects().await;
    assert_eq!(&asks(&mut old).await.unwrap(), b"word");

    scene.proxy.half_open();

    old.write_all(b"lost").await.unwrap();
    let mut new = scene.connects().await;
    assert_eq!(&asks(&mut new).await.unwrap(), b"word");
    assert!(is_silent(&mut old).await);

    scene.proxy.mend().await.unwrap();

    assert_eq!(fate(&mut old).await, ErrorKind::ConnectionReset);
    assert_eq!(&asks(&mut new).await.unwrap(), b"word");
}

#[tokio::test]
async fn a_reset_is_made_once() {
    let scene = scene().await;
    let mut old = scene.connects().await;
    assert_eq!(&asks(&mut old).await.unwrap(), b"word");

    scene.proxy.reset_now();

    let mut new = scene.connects().await;
    assert_eq!(fate(&mut old).await, ErrorKind::ConnectionReset);
    assert_eq!(&asks(&mut new).await.unwrap(), b"word");
}

#[tokio::test]
async fn connections_beyond_the_bound_are_reset() {
    let scene = scene().await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = scene.connects().await;
        assert_eq!(&asks(&mut stream).await.unwrap(), b"word");
        held.push(stream);
    }

    let mut beyond = scene.connects().await;

    assert_eq!(fate(&mut beyond).await, ErrorKind::ConnectionReset);
}
