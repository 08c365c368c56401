//! What is there without anybody's layer: a service that is called with a clone of the request.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::extract::ConnectInfo;
use tower_service::Service;

use crate::{Answer, Call, Case, Input, Kind, Request};

/// The name of the floor that most cases stand on.
pub const NAME: &str = "floor";

/// Nothing but the clone and the leaf.
pub fn case(input: &'static Input) -> Case {
    Case { name: NAME, kind: Kind::Floor, input, floor: None, call: around(Bare(Leaf)) }
}

/// Calls `service` with a clone of each request.
///
/// # Panics
///
/// The call does, where the service waits for something: none that is measured does.
pub fn around<S>(mut service: S) -> Call
where
    S: Service<Request, Response = Answer, Error = Infallible> + Send + 'static,
{
    Box::new(move |request| {
        let future = pin!(service.call(request.clone()));
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(answer)) => answer,
            Poll::Pending => panic!("the service waits"),
        }
    })
}

/// The application: it takes the client from `ConnectInfo`, and drops the request.
#[derive(Clone, Copy, Debug)]
pub struct Leaf;

impl Service<Request> for Leaf {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let request = black_box(request);
        ready(Ok(request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())))
    }
}

/// A layer that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Bare<S>(pub S);

impl<S: Service<Request>> Service<Request> for Bare<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        self.0.call(request)
    }
}
