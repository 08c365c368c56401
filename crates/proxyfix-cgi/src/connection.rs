//! One connection of a web server: requests in, answers out.
#![allow(dead_code, unused)] // Until it is written.

use std::sync::Arc;

use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use crate::life::Stop;
use crate::{Body, Gateway, fastcgi, scgi};

/// Any error of a service or of the body of its response.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A service that gateways serve. It is implemented for every one that fits.
pub(crate) trait App:
    Service<Request<Body>, Response = Response<Self::Payload>, Error: Into<BoxError>>
{
    type Payload: http_body::Body<Error: Into<BoxError>>;
}

impl<S, B> App for S
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>>,
    B: http_body::Body<Error: Into<BoxError>>,
{
    type Payload = B;
}

/// Which protocol a connection speaks.
#[derive(Debug)]
pub(crate) enum Protocol {
    FastCgi(fastcgi::Decoder),
    Scgi(scgi::Decoder),
}

/// One connection. A service, not yet called, for all its requests in turn.
pub(crate) struct Connection<IO, S>(std::marker::PhantomData<(IO, S)>);

impl<IO, S> Connection<IO, S>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: App,
{
    /// `refuse`: every request is answered with 503, for there are too many connections.
    pub(crate) fn new(
        io: IO,
        protocol: Protocol,
        gateway: Arc<Gateway>,
        service: S,
        stop: Stop,
        refuse: bool,
    ) -> Self {
        Self(std::marker::PhantomData)
    }

    /// Answers request after request.
    pub(crate) async fn run(self) {}
}
