//! Answers a request of a peer with an `X-Forwarded-For`: through the layers, or as it came in.

use std::env;
use std::error::Error;

use http::{Request, Response};

/// The application, which is the same everywhere.
fn answer(request: &Request<()>, client: &str) -> Response<String> {
    tracing::info!(uri = %request.uri(), client, "answered");
    Response::new(format!("{client} asks for {} with {:?}", request.uri(), request.headers()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let (peer, chain) = (words.next().ok_or("no peer")?, words.next().ok_or("no header")?);
    let request = Request::get("/").header("x-forwarded-for", chain).body(())?;

    #[cfg(feature = "proxyfix")]
    let response = layers::call(request, &peer)?;
    #[cfg(not(feature = "proxyfix"))]
    let response = answer(&request, &peer);

    println!("{} {:?}", response.status(), response.headers());
    Ok(())
}

#[cfg(feature = "proxyfix")]
mod layers {
    use std::convert::Infallible;
    use std::error::Error;
    use std::future::{Ready, ready};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use http::{Request, Response};
    use proxyfix::{Origin, Peer, ProxyFix, TrustedProxies};
    use tower_layer::Layer as _;
    use tower_service::Service;

    #[derive(Clone)]
    struct Application;

    impl Service<Request<()>> for Application {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = Ready<Result<Response<String>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<()>) -> Self::Future {
            let client = request.extensions().get().and_then(Origin::client);
            let client = client.map_or_else(|| "somebody".to_owned(), |client| client.to_string());
            #[cfg(feature = "serde")]
            let client =
                client + &serde_json::to_string(&request.extensions().get::<Origin>()).unwrap_or_default();
            ready(Ok(super::answer(&request, &client)))
        }
    }

    /// Calls the application through the layers, of which each feature has one.
    pub(super) fn call(mut request: Request<()>, peer: &str) -> Result<Response<()>, Box<dyn Error>> {
        request.extensions_mut().insert(peer.parse::<Peer>()?);

        #[cfg(feature = "metrics")]
        proxyfix::metrics::describe();
        let service = Application;
        #[cfg(feature = "guard")]
        let service =
            proxyfix::Guard::new().reject_incomplete().allow_hosts(["good.example"])?.layer(service);
        #[cfg(feature = "config")]
        let service = proxyfix::Config::from_file("proxyfix.toml")?.build()?.layer(service);

        let trusted = "10.0.0.0/8".parse::<TrustedProxies>()?;
        #[cfg(feature = "ranges")]
        let trusted = match std::fs::read("networks.json") {
            Ok(file) => proxyfix::Ranges::detect(file, None)?.trusted()?,
            Err(_) => trusted,
        };
        let fix = ProxyFix::new(trusted.clone());
        #[cfg(feature = "reload")]
        let (fix, reload) = proxyfix::Reloadable::new(fix);
        #[cfg(feature = "reload")]
        reload.replace(&trusted)?;
        #[cfg(feature = "tokio")]
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        #[cfg(feature = "tokio")]
        runtime.spawn(reload.refresh(std::time::Duration::MAX, move || ready(Ok(trusted.clone()))));

        let mut service = fix.layer(service);
        let future = pin!(service.call(request));
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => Ok(response.map(drop)),
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => Err("it waits".into()),
        }
    }
}
