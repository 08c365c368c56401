//! The body of a request.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The body of a request that came through a gateway.
///
/// It is read from the web server as it is polled, and not before: what a service does not read stays
/// with the web server. Dropping it is enough where the body is not wanted.
///
/// ```
/// use http_body_util::BodyExt;
/// use proxyfix_cgi::Body;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), proxyfix_cgi::BodyError> {
/// let body = Body::from("a=1");
/// assert_eq!(body.collect().await?.to_bytes(), "a=1");
/// # Ok(())
/// # }
/// ```
pub struct Body(Kind);

enum Kind {
    Empty,
    Whole(Bytes),
    Input {
        input: Arc<dyn Input>,
        turn: u64,
        left: Option<u64>,
    },
    #[cfg(feature = "http")]
    Http(Box<crate::web::Incoming>),
}

/// Where the body of a request comes from.
pub(crate) trait Input: Send + Sync {
    /// The next octets of the body of the request number `turn` on this connection.
    fn poll_data(&self, turn: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// The body of request number `turn` is not wanted any more.
    fn abandon(&self, turn: u64);
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    pub(crate) fn input(input: Arc<dyn Input>, turn: u64, length: Option<u64>) -> Self {
        Self(Kind::Input { input, turn, left: length })
    }

    #[cfg(feature = "http")]
    pub(crate) fn http(body: crate::web::Incoming) -> Self {
        Self(Kind::Http(Box::new(body)))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(octets: Bytes) -> Self {
        Self(if octets.is_empty() { Kind::Empty } else { Kind::Whole(octets) })
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Kind::Input { input, turn, .. } = &self.0 {
            input.abandon(*turn);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let next = match &mut body.0 {
            Kind::Empty => Poll::Ready(None),
            it @ Kind::Whole(_) => match std::mem::replace(it, Kind::Empty) {
                Kind::Whole(octets) => Poll::Ready(Some(Ok(Frame::data(octets)))),
                _ => Poll::Ready(None),
            },
            Kind::Input { input, turn, left } => input.poll_data(*turn, cx).map(|next| {
                next.map(|data| {
                    data.map(|data| {
                        *left = left.map(|left| left.saturating_sub(data.len() as u64));
                        Frame::data(data)
                    })
                })
            }),
            #[cfg(feature = "http")]
            Kind::Http(body) => Pin::new(&mut **body).poll_frame(cx),
        };
        if let Poll::Ready(Some(Err(_))) = next {
            *body = Self::empty();
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::Input { left, .. } => *left == Some(0),
            #[cfg(feature = "http")]
            Kind::Http(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(octets) => SizeHint::with_exact(octets.len() as u64),
            Kind::Input { left, .. } => left.map_or_else(SizeHint::default, SizeHint::with_exact),
            #[cfg(feature = "http")]
            Kind::Http(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// Why the body of a request ended before its end.
#[derive(Debug)]
pub struct BodyError(Flaw);

#[derive(Debug)]
pub(crate) enum Flaw {
    /// Fewer octets than declared.
    Short { declared: u64, received: u64 },
    /// More octets than the limit.
    TooLarge { limit: u64 },
    /// Nothing came for too long.
    TimedOut,
    /// The web server gave the request up.
    Aborted,
    /// The request was answered already.
    Over,
    #[cfg(feature = "http")]
    Http(hyper::Error),
}

impl BodyError {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self(flaw)
    }

    #[cfg(feature = "http")]
    pub(crate) fn http(error: hyper::Error) -> Self {
        Self(Flaw::Http(error))
    }

    /// Whether there were more octets than [`Limits::body`](crate::Limits::body) admits. The gateway
    /// answers 413 then, whatever the service answers.
    pub fn is_too_large(&self) -> bool {
        matches!(self.0, Flaw::TooLarge { .. })
    }

    /// Whether nothing came for [`Limits::record_time`](crate::Limits::record_time).
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Flaw::TimedOut)
    }

    /// Whether the web server, or its client, gave the request up.
    pub fn is_aborted(&self) -> bool {
        matches!(self.0, Flaw::Aborted)
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Flaw::Short { declared, received } => {
                write!(
                    f,
                    "the body ended after {received} of the {declared} octets that CONTENT_LENGTH declares"
                )
            }
            Flaw::TooLarge { limit } => write!(f, "the body is longer than the limit of {limit} octets"),
            Flaw::TimedOut => f.write_str("the web server sent nothing more of the body in time"),
            Flaw::Aborted => f.write_str("the web server gave the request up before the end of its body"),
            Flaw::Over => f.write_str("the request was answered already, and its body is gone"),
            #[cfg(feature = "http")]
            Flaw::Http(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            #[cfg(feature = "http")]
            Flaw::Http(error) => Some(error),
            _ => None,
        }
    }
}
