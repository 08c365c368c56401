//! The application that every Rust peer serves.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

/// What `/` answers: 14 octets.
pub const HELLO: &str = "Hello, World!\n";

/// How long `/ignore` holds a body that it does not read.
pub const HOLD: Duration = Duration::from_millis(2600);

/// The application.
///
/// | path | answer |
/// | --- | --- |
/// | `/` | [`HELLO`] |
/// | `/upload` | the number of octets in the body |
/// | `/download/{octets}` | as many zeros |
/// | `/ignore` | `ignored`, after [`HOLD`], in which the body is not read |
pub fn app() -> Router {
    Router::new()
        .route("/", get(async || HELLO))
        .route("/upload", post(upload))
        .route("/download/{octets}", get(async |Path(octets): Path<u64>| Body::new(Zeros(octets))))
        .route("/ignore", any(ignore))
}

async fn upload(mut body: Body) -> Result<String, StatusCode> {
    let mut octets = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        octets += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(octets.to_string())
}

async fn ignore(body: Body) -> &'static str {
    tokio::time::sleep(HOLD).await;
    drop(body);
    "ignored"
}

/// As many zeros as are left.
struct Zeros(u64);

impl http_body::Body for Zeros {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static CHUNK: [u8; 1 << 16] = [0; 1 << 16];
        let length = CHUNK.len().min(usize::try_from(self.0).unwrap_or(usize::MAX));
        self.0 -= length as u64;
        Poll::Ready((length > 0).then(|| Ok(Frame::data(Bytes::from_static(&CHUNK[..length])))))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}
