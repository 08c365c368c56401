//! Plain HTTP, where there is no gateway.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use proxyfix_policy::{Mount, Peer, Prefix, Scheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::sleep;
use tower_service::Service;

use crate::connection::{BoxError, LATE};
use crate::events::{Report, report};
use crate::life::Stop;
use crate::serve::Handler;
use crate::{Body, Gateway};

/// An application over HTTP/1.1.
pub(crate) struct Web<S> {
    app: S,
    mount: Option<Arc<Prefix>>,
    head_time: Duration,
}

impl<S> Web<S> {
    pub(crate) fn new(gateway: &Gateway, app: S) -> Self {
        let mount = gateway.mount.clone().map(Arc::new);
        Self { app, mount, head_time: gateway.limits.head_time }
    }
}

impl<S, B> Handler for Web<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn handle<IO>(
        &self,
        io: IO,
        peer: Peer,
        stop: Stop,
        _: bool,
    ) -> Option<impl Future<Output = ()> + Send + 'static>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (app, mount) = (self.app.clone(), self.mount.clone());
        let asked = Arc::new(Notify::new());
        let asks = asked.clone();
        let answer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            asks.notify_one();
            let mut app = app.clone();
            let split = split(request.uri(), mount.as_deref());
            async move {
                let (mount, uri) = split;
                if let Some(uri) = uri {
                    *request.uri_mut() = uri;
                }
                request.extensions_mut().insert(peer);
                request.extensions_mut().insert(Scheme::Http);
                request.extensions_mut().insert(mount);
                std::future::poll_fn(|cx| app.poll_ready(cx)).await?;
                app.call(request.map(Body::http)).await
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_time)
            .serve_connection(TokioIo::new(io), answer)
            .with_upgrades();
        Some(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.wait() => {
                    // A connection is made for a request: the first one may be on its way.
                    let ended = tokio::select! {
                        biased;
                        ended = connection.as_mut() => Some(ended),
                        () = asked.notified() => None,
                        () = sleep(LATE) => None,
                    };
                    if let Some(ended) = ended {
                        ended
                    } else {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            };
            if let Err(error) = ended {
                if error.is_user() {
                    report(Report::Failed, &error);
                }
            }
        })
    }
}

/// The mount of a request, and its new target where the path is cut.
fn split(uri: &Uri, declared: Option<&Prefix>) -> (Mount, Option<Uri>) {
    let cut = declared.filter(|it| !it.is_root()).and_then(|declared| {
        let (mount, mut path) = Mount::root().split_at(uri.path(), declared)?;
        if let Some(query) = uri.query() {
            path.push('?');
            path.push_str(query);
        }
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Some((mount, Uri::from_parts(parts).ok()?))
    });
    match cut {
        // What the fixes take as a split that was made already is for the gateways' own words.
        Some((mount, uri)) => {
            let declared = Mount::from(mount.prefix().clone());
            (declared.with_nothing_below(mount.nothing_below()), Some(uri))
        }
        None => (Mount::root(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_split(target: &str, declared: &str, mount: &str, seen: &str) {
        let uri: Uri = target.parse().unwrap();
        let (found, cut) = split(&uri, Some(&declared.parse().unwrap()));
        assert_eq!(found.prefix(), mount, "{target} below {declared}");
        assert_eq!(cut.unwrap_or(uri).to_string(), seen, "{target} below {declared}");
    }

    #[test]
    fn a_declared_mount_is_cut_off_paths_below_it() {
        assert_split("/app/users?a=1", "/app", "/app", "/users?a=1");
        assert_split("/app/a%2Fb?", "/app", "/app", "/a%2Fb?");
        assert_split("/app/", "/app", "/app", "/");
        assert_split("/app", "/app", "/app", "/");
        assert_split("http://example.com/app/users", "/app", "/app", "http://example.com/users");
    }

    #[test]
    fn other_paths_are_those_of_the_root() {
        assert_split("/users", "/app", "", "/users");
        assert_split("/application", "/app", "", "/application");
        assert_split("*", "/app", "", "*");
        assert_split("/users", "", "", "/users");
    }

    #[test]
    fn a_mount_alone_has_nothing_below() {
        let split = |target: &'static str| split(&Uri::from_static(target), Some(&"/app".parse().unwrap())).0;
        assert!(split("/app").nothing_below());
        assert!(!split("/app/").nothing_below());
    }
}
