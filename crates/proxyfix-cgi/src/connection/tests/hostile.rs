//! What a hostile web server can do, and a service that does not wait for its bodies.

use allocation_counter::measure;
use tokio::io::BufStream;

use super::*;

/// `FCGI_GET_VALUES`, and what it is answered with.
fn question() -> (Vec<u8>, Record) {
    let (mut name, mut value) = (BytesMut::new(), BytesMut::new());
    write_pair(b"FCGI_MPXS_CONNS", b"", &mut name);
    write_pair(b"FCGI_MPXS_CONNS", b"0", &mut value);
    (record(9, 0, &name), Record { kind: 10, id: 0, content: value.to_vec() })
}

/// Serves over a pipe that holds `room` octets in each direction.
fn narrow(app: Router, room: usize) -> Server {
    let (io, ours) = duplex(room);
    Server { io, ..serve(app, ours) }
}

/// Serves over any stream.
fn serve(app: Router, ours: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Server {
    let (stop, told) = Stop::new();
    let protocol = Protocol::FastCgi(fastcgi::Decoder::new(&Limits::default()));
    let connection = Connection::new(ours, protocol, Arc::new(Gateway::new()), app, told, false);
    Server { io: duplex(1).0, task: tokio::spawn(connection.run()), stop }
}

/// An application that sends the requests of `/keep` somewhere, and answers.
fn keeping() -> (Router, mpsc::UnboundedReceiver<Request>) {
    let (sender, requests) = mpsc::unbounded_channel();
    let keep = async move |request: Request| {
        sender.send(request).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    (app().route("/keep", post(keep)), requests)
}

/// Answers when it has slept.
async fn late(request: Request) -> String {
    tokio::time::sleep(Duration::from_secs(1)).await;
    length(request).await
}

#[tokio::test(start_paused = true)]
async fn t171_an_abort_that_the_body_saw_does_not_reach_the_next_request() {
    let mut server = Server::start(app().route("/late", post(late)), Limits::default());
    server.send(&[head(1, KEEP, "POST", "/length", ""), record(ABORT, 1, b"")].concat()).await;
    let answer = server.answer(1).await;
    assert!(answer.complete && answer.stdout.contains("gave the request up"), "{answer:?}");
    server.send(&[head(1, KEEP, "POST", "/late", ""), record(STDIN, 1, b"")].concat()).await;
    let answer = server.answer(1).await;
    assert!(answer.stdout.ends_with("0 octets"), "{answer:?}");
}

#[tokio::test]
async fn t168_what_the_body_found_malformed_ends_the_connection() {
    let mut wrong = record(STDIN, 1, b"");
    wrong[0] = 2;
    for (wrong, next) in [(wrong, true), (begin(1, KEEP), true), (record(STDIN, 0, b""), false)] {
        let mut server = Server::start(app(), Limits::default());
        server.send(&[head(1, KEEP, "POST", "/length", ""), record(STDIN, 1, b"x")].concat()).await;
        let next = if next { simple(2, KEEP, "/") } else { Vec::new() };
        server.send(&[wrong, next].concat()).await;
        let answer = server.answer(1).await;
        assert!(!answer.complete && answer.stdout.is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn t172_a_request_that_comes_while_the_answer_waits_is_not_lost() {
    let app = app().route("/whole", get(async || vec![b'x'; 100_000]));
    for (room, first) in [(4096, "/whole"), (4096, "/large"), (70_000, "/whole")] {
        let mut server = narrow(app.clone(), room);
        let given_up = [begin(3, KEEP), record(ABORT, 3, b"")].concat();
        server.send(&simple(1, KEEP, first)).await;
        // The whole answer is on its way, and the web server does not take it.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        server.send(&simple(2, KEEP, "/")).await;
        server.send(&given_up).await;
        let mut ended = Vec::new();
        while ended.len() < 3 {
            let record = server.record().await.unwrap();
            if record.kind == END {
                ended.push((record.id, record.content[4]));
            }
        }
        // While the first one is not over, the second one is one too many.
        assert!(matches!(ended[..], [(1, 0), (2, 0), (3, 0)] | [(2, 1), ..]), "{room} {first}: {ended:?}");
    }
}

#[tokio::test]
async fn t170_what_is_asked_within_a_body_is_answered() {
    let (question, answer) = question();
    // Read by the body; and with the next piece, which nobody reads.
    for path in ["/length", "/"] {
        let mut server = Server::start(app(), Limits::default());
        server
            .send(&[head(1, KEEP, "POST", path, ""), question.clone(), record(STDIN, 1, b"")].concat())
            .await;
        let mut kinds = Vec::new();
        while kinds.len() < 4 {
            let record = server.record().await.unwrap();
            assert!(record.id == 1 || record == answer, "{record:?}");
            kinds.push(record.kind);
        }
        kinds.sort_unstable();
        assert_eq!(kinds, [END, STDOUT, STDOUT, answer.kind], "{path}");
    }
}

#[tokio::test]
async fn t170_what_is_asked_while_an_answer_pauses_is_answered_at_once() {
    let pausing = async || {
        let first = stream::iter([Ok::<_, Infallible>(http_body::Frame::data(Bytes::from("x")))]);
        axum::body::Body::new(StreamBody::new(futures_util::StreamExt::chain(first, stream::pending())))
    };
    let mut server = Server::start(app().route("/pause", get(pausing)), Limits::default());
    server.send(&simple(1, KEEP, "/pause")).await;
    assert_eq!(server.record().await.unwrap().kind, STDOUT);
    let (question, answer) = question();
    server.send(&question).await;
    let record = tokio::time::timeout(Duration::from_secs(5), server.record()).await;
    assert_eq!(record.unwrap(), Some(answer));
}

#[tokio::test]
async fn t170_what_is_asked_while_the_end_of_an_answer_waits_is_answered() {
    let mut server = narrow(app().route("/whole", get(async || vec![b'x'; 100_000])), 4096);
    server.send(&simple(1, KEEP, "/whole")).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let (question, answer) = question();
    server.send(&question).await;
    loop {
        let record = tokio::time::timeout(Duration::from_secs(5), server.record()).await;
        let record = record.unwrap().unwrap();
        if record.id == 0 {
            assert_eq!(record, answer);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t170_requests_that_are_given_up_at_once_are_not_without_end() {
    let mut server = Server::start(app(), Limits::default());
    let flood = [begin(1, KEEP), record(ABORT, 1, b"")].concat().repeat(1000);
    let mut taken = 0;
    while tokio::time::timeout(Duration::from_secs(1), server.io.write_all(&flood))
        .await
        .is_ok_and(|it| it.is_ok())
    {
        taken += flood.len();
        assert!(taken < 2 << 20, "{taken} octets were taken, and no answer was");
    }
}

#[tokio::test(start_paused = true)]
async fn t173_the_silence_of_a_body_has_an_end_in_another_task_too() {
    let elsewhere = post(async |request: Request| tokio::spawn(length(request)).await.unwrap());
    let mut server = Server::start(app().route("/spawn", elsewhere), Limits::default());
    server.send(&head(1, KEEP, "POST", "/spawn", "")).await;
    let began = Instant::now();
    let answer = tokio::time::timeout(Duration::from_secs(1000), server.answer(1)).await.unwrap();
    assert!(answer.stdout.ends_with("nothing more of the body in time"), "{answer:?}");
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn t173_the_silence_of_a_body_begins_when_it_is_waited_for() {
    let app = app().route(
        "/slow",
        post(async |request: Request| {
            tokio::time::sleep(Duration::from_secs(100)).await;
            length(request).await
        }),
    );
    let mut server = Server::start(app, Limits::default());
    server.send(&head(1, KEEP, "POST", "/slow", "")).await;
    tokio::time::sleep(Duration::from_secs(130)).await;
    server.send(&[record(STDIN, 1, b"12345"), record(STDIN, 1, b"")].concat()).await;
    let answer = server.answer(1).await;
    assert!(answer.stdout.ends_with("5 octets"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_kept_does_not_keep_the_connection_open() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let fails = async move |request: Request| {
        sender.send(request).unwrap();
        let piece = Ok(http_body::Frame::data(Bytes::from(vec![b'x'; 100_000])));
        let pieces = [piece, Err(std::io::Error::other("the disk is gone"))];
        axum::body::Body::new(StreamBody::new(stream::iter(pieces)))
    };
    let mut server = Server::start(app().route("/fails", post(fails)), Limits::default());
    server.send(&head(1, KEEP, "POST", "/fails", "")).await;
    let kept = requests.recv().await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(1000), server.answer(1)).await;
    assert!(!answer.expect("the connection is closed").complete);
    assert!(length(kept).await.starts_with("0 octets, then "));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_read_elsewhere_ends_with_its_request() {
    for closes in [false, true] {
        let (app, mut requests) = keeping();
        let mut server = Server::start(app, Limits::default());
        server.send(&head(1, KEEP, "POST", "/keep", "")).await;
        let reader = tokio::spawn(length(requests.recv().await.unwrap()));
        assert!(server.answer(1).await.complete);
        if closes {
            server.task.abort();
        }
        let read = tokio::time::timeout(Duration::from_secs(1), reader).await;
        assert!(read.expect("it was told").unwrap().contains("answered already"));
    }
}

#[tokio::test]
async fn a_body_that_is_read_elsewhere_ends_with_its_connection() {
    let (app, mut told) = waiting();
    let (sender, mut requests) = mpsc::unbounded_channel();
    let both = async move |request: Request| {
        sender.send(request).unwrap();
        std::future::pending::<()>().await;
    };
    let mut server = Server::start(app.route("/both", post(both)), Limits::default());
    server.send(&head(1, KEEP, "POST", "/both", "")).await;
    let reader = tokio::spawn(length(requests.recv().await.unwrap()));
    server.task.abort();
    assert!(reader.await.unwrap().starts_with("0 octets, then "));
    assert!(server.is_closed().await);
    assert!(told.try_recv().is_err());
}

/// Octets that the gateway holds at most while a handler does not read `pieces` of its body, one octet each
/// and `junk` octets of another request behind.
fn held(pieces: usize, junk: usize) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let piece = [record(STDIN, 1, b"x"), record(STDIN, 9, &vec![b'x'; junk])].concat();
    let work = || {
        runtime.block_on(async {
            let (app, mut told) = waiting();
            let mut server = Server::start(app, Limits::default());
            server.send(&head(1, 0, "POST", "/wait", "")).await;
            assert_eq!(told.recv().await, Some("called"));
            for _ in 0..pieces {
                server.send(&piece).await;
            }
            drop(server.io);
            assert_eq!(told.recv().await, Some("dropped"));
        });
    };
    measure(work).bytes_max
}

#[test]
fn t172_small_pieces_of_a_body_that_nobody_reads_do_not_hold_large_ones() {
    let (few, many) = (held(1, 65_000), held(200, 65_000));
    assert!(many < few + (1 << 20), "{few} and {many}");
    // What one piece is made of does not multiply either.
    let (few, many) = (held(1, 0), held(60_000, 0));
    assert!(many < few + (1 << 20), "{few} and {many}");
}

#[tokio::test]
async fn an_answer_goes_out_through_a_stream_that_gathers() {
    let (io, ours) = duplex(4096);
    let mut server = Server { io, ..serve(app(), BufStream::new(ours)) };
    for _ in 0..2 {
        server.send(&simple(1, KEEP, "/")).await;
        let answer = tokio::time::timeout(Duration::from_secs(5), server.answer(1)).await;
        assert!(answer.unwrap().complete);
    }
}

#[tokio::test]
async fn t160_a_body_over_the_limit_is_answered_with_413_by_an_answer_that_reads_it_too() {
    let echo = post(async |request: Request| axum::body::Body::new(request.into_body()));
    let limits = Limits::default().body(100);
    let mut server = Server::start(app().route("/echo", echo), limits);
    server.send(&head(1, KEEP, "POST", "/echo", "")).await;
    server.send(&[record(STDIN, 1, &[b'x'; 101]), record(STDIN, 1, b"")].concat()).await;
    let answer = server.answer(1).await;
    assert!(answer.complete && answer.stdout.starts_with("Status: 413 "), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_failed_has_an_end() {
    let (app, mut requests) = keeping();
    let mut server = Server::start(app, Limits::default());
    server.send(&head(1, KEEP, "POST", "/keep", "5")).await;
    let mut body = requests.recv().await.unwrap().into_body();
    drop(server.io);
    assert!(body.frame().await.unwrap().is_err());
    server.task.await.unwrap();
    for _ in 0..3 {
        assert!(body.frame().await.is_none());
    }
}

/// What was begun is finished, also where the answer that stands behind it is given up for another.
#[tokio::test]
async fn t170_an_answer_that_fails_does_not_cut_what_was_written_before() {
    let fails = get(async || {
        let failed: Result<http_body::Frame<Bytes>, _> = Err(std::io::Error::other("the disk is gone"));
        axum::body::Body::new(StreamBody::new(stream::iter([failed])))
    });
    let mut server = narrow(app().route("/fails", fails), 16);
    let (question, answer) = question();
    server.send(&question).await;
    server.send(&simple(1, KEEP, "/fails")).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // Whole, or not at all: the connection may be closed within.
    assert!(server.record().await.is_none_or(|record| record == answer));
    while let Some(record) = server.record().await {
        assert!(record.id == 1 && [STDOUT, END].contains(&record.kind), "{record:?}");
        if record.kind == END {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t171_a_handler_is_dropped_though_another_task_stopped_reading() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let elsewhere = post(async move |request: Request| {
        let told = Told(sender.clone());
        let reader = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut body = request.into_body();
            body.frame().await.unwrap().unwrap();
            sender.send("read").unwrap();
            std::future::pending::<()>().await;
        });
        reader.await.unwrap();
        drop(told);
    });
    let mut server = Server::start(Router::new().route("/", elsewhere), Limits::default());
    server
        .send(&[head(1, 0, "POST", "/", ""), record(STDIN, 1, &b"x".repeat(60_000)).repeat(2)].concat())
        .await;
    assert_eq!(told.recv().await, Some("read"));
    drop(server.io);
    let told = tokio::time::timeout(Duration::from_secs(1), told.recv()).await;
    assert_eq!(told.expect("it was noticed"), Some("dropped"));
}
