//! A whole connection. An input is two octets, how it is cut into pieces and what the service does with
//! bodies, and then what the web server sends.

#![no_main]

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use libfuzzer_sys::fuzz_target;
use proxyfix_cgi::{Body, Gateway, Limits};
use proxyfix_fuzz::gateway::{
    Answered, BEGIN, END, GET_VALUES_RESULT, Record, SMALL, STDOUT, Said, UNKNOWN_TYPE, converse, fastcgi,
    head, small_limits,
};
use tokio::time::sleep;
use tower_service::Service;

fuzz_target!(|data: &[u8]| {
    let &[seed, mode, ref octets @ ..] = data else { return };
    let does = [Does::Read, Does::Answer, Does::Sleep, Does::ReadElsewhere][usize::from(mode) % 4];
    let limits = if mode & 0x80 == 0 { small_limits() } else { Limits::default() };
    let begun = octets.windows(2).filter(|it| *it == [1, BEGIN]).count();

    let mut first = None;
    for (seed, room) in [(0, 1 << 16), (1, 1 << 16), (seed, 1 << 16), (seed, 16)] {
        let called = Arc::new(AtomicUsize::new(0));
        let app = App { does, called: Arc::clone(&called) };
        let records = converse(Gateway::new().limits(limits.clone()), app, octets, seed, room);
        let answers = answers(&records);
        assert!(answers.iter().filter(|it| it.complete).count() <= begun);
        let called = called.load(Ordering::Relaxed);
        assert!(called <= begun);
        // Where the pipe is narrow, or another task reads, what comes behind a request may be seen before
        // that is answered, and is one too many.
        if room == 16 || does == Does::ReadElsewhere {
            continue;
        }
        match &first {
            None => {
                let said = fastcgi(octets, SMALL, 1024, Answered::AtEnd);
                let heads = said.iter().filter(|said| matches!(said, Said::Head(..))).count();
                // What is read to its end is what the records say.
                if does == Does::Read && mode & 0x80 == 0 {
                    assert!(called <= heads, "{called} of {heads}");
                }
                first = Some((answers, called));
            }
            Some(first) => assert_eq!((&first.0, first.1), (&answers, called), "in the pieces of {seed}"),
        }
    }
});

/// An answer that came back.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    id: u16,
    stdout: Vec<u8>,
    complete: bool,
}

/// The answers of the service, and none of the protocol's own.
fn answers(records: &[Record]) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    for (kind, id, content) in records {
        let open = answers.last_mut().filter(|answer| !answer.complete && answer.id == *id);
        match (*kind, open) {
            (GET_VALUES_RESULT | UNKNOWN_TYPE, None) => assert_eq!(*id, 0),
            (STDOUT, Some(answer)) => answer.stdout.extend(content),
            (STDOUT, None) => {
                assert!(answers.last().is_none_or(|last| last.complete));
                answers.push(Answer { id: *id, stdout: content.clone(), complete: false });
            }
            (END, Some(answer)) => {
                assert_eq!(content, &[0; 8]);
                answer.complete = true;
            }
            (END, None) => assert!(content.len() == 8 && [0, 1, 3].contains(&content[4])),
            (other, _) => panic!("a record of type {other}"),
        }
    }
    for answer in &answers {
        let (lines, _) = head(&answer.stdout).expect("an answer has a head");
        let status = &lines[0];
        assert!(answer.complete && status.0 == "status" && status.1.len() > 4);
    }
    answers
}

/// What a service does with the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// It reads all of it, and says what that was.
    Read,
    /// It answers at once.
    Answer,
    /// It answers after a while.
    Sleep,
    /// As the first, in another task.
    ReadElsewhere,
}

struct App {
    does: Does,
    called: Arc<AtomicUsize>,
}

impl Service<Request<Body>> for App {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.called.fetch_add(1, Ordering::Relaxed);
        let does = self.does;
        Box::pin(async move {
            let text = format!("{} {} ", request.method(), request.uri()).into_bytes();
            let read = match does {
                Does::Read => read(request.into_body()).await,
                Does::Answer => Vec::new(),
                Does::Sleep => {
                    sleep(Duration::from_millis(500)).await;
                    Vec::new()
                }
                Does::ReadElsewhere => tokio::spawn(read(request.into_body())).await.expect("no panic"),
            };
            let mut response = Response::new(Body::from(Bytes::from([text, read].concat())));
            let text = http::HeaderValue::from_static("text/plain");
            response.headers_mut().insert(http::header::CONTENT_TYPE, text);
            Ok(response)
        })
    }
}

async fn read(mut body: Body) -> Vec<u8> {
    let mut read = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame {
            Ok(frame) => read.extend(frame.into_data().unwrap_or_default()),
            Err(error) => read.extend(error.to_string().into_bytes()),
        }
    }
    read
}
