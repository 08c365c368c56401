//! A correction of a request's head, and the one service that applies it.
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Fix, Origin, Peer, ProxyFix, TrustedProxies};
//!
//! let fix = ProxyFix::new("10.0.0.0/8".parse::<TrustedProxies>()?);
//! let (mut parts, ()) = Request::get("/")
//!     .header("x-forwarded-for", "203.0.113.9")
//!     .extension("10.0.0.2".parse::<Peer>()?)
//!     .body(())?
//!     .into_parts();
//!
//! fix.fix(&mut parts);
//!
//! let origin = parts.extensions.get::<Origin>().unwrap();
//! assert_eq!(origin.client(), Some("203.0.113.9".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Extensions, HeaderMap, Request, Uri};
use proxyfix_policy::Peer;
use tower_layer::Layer;
use tower_service::Service;

use crate::Origin;
use crate::headers::Few;

/// Corrects the head of a request.
///
/// A fix is a plain value: it is called without a runtime by a unit test, by `proxyfix explain` and
/// by [`Fixed`] alike, it cannot fail, and it leaves the response alone. Applying it twice equals
/// applying it once.
///
/// Several fixes make one: a tuple of up to eight and a `Vec` apply them from first to last, [`Option`]
/// applies the fix it holds or nothing, `()` nothing; [`Box`] and [`Arc`] hold any.
///
/// Your own corrections compose with ours:
///
/// ```
/// use http::request::Parts;
/// use proxyfix::{Fix, IpNet, Origin, ProxyFix, TrustedProxies};
///
/// /// Marks requests from the network of the office.
/// struct Office;
///
/// #[derive(Clone)]
/// struct FromTheOffice;
///
/// impl Fix for Office {
///     fn fix(&self, parts: &mut Parts) {
///         let office: IpNet = "198.51.100.0/24".parse().unwrap();
///         // An origin that is not complete is from nowhere.
///         let inside = |origin: &Origin| origin.is_complete_and(|ip| office.contains(&ip));
///         if parts.extensions.get::<Origin>().is_some_and(inside) {
///             parts.extensions.insert(FromTheOffice);
///         }
///     }
/// }
///
/// let stack = (ProxyFix::new(TrustedProxies::none()), Office);
/// # let (mut parts, ()) = http::Request::new(()).into_parts();
/// stack.fix(&mut parts);
/// ```
pub trait Fix {
    /// Corrects `parts` in place.
    fn fix(&self, parts: &mut Parts);

    /// Corrects `parts` in place, for a server or framework that knows who is connected: what
    /// `proxyfix-axum` does with `ConnectInfo`, and an adapter of another framework with its own. Answers
    /// who the client is, where this fix found out: [unknown](Peer::unknown) where nobody knows it.
    ///
    /// A [`Peer`] in the extensions counts more. Fixes of your own need not implement this: they find the
    /// [`Peer`] in the extensions.
    ///
    /// ```
    /// use http::request::Parts;
    /// use proxyfix::{Connection, Fix, Peer};
    ///
    /// /// What the framework says of the connection.
    /// #[derive(Clone)]
    /// struct Remote(std::net::SocketAddr);
    ///
    /// fn correct(fix: &impl Fix, parts: &mut Parts) {
    ///     let Some(Remote(address)) = parts.extensions.get() else { return };
    ///     // One of the extensions is `Remote`, and none of those that fixes look for.
    ///     let connection = Connection::from(Peer::from(*address)).beside(1);
    ///     if let Some(client) = fix.fix_from(connection, parts) {
    ///         match (client.ip(), parts.extensions.get_mut()) {
    ///             (Some(ip), Some(Remote(address))) => *address = (ip, client.port().unwrap_or(0)).into(),
    ///             _ => drop(parts.extensions.remove::<Remote>()),
    ///         }
    ///     }
    /// }
    /// # let (mut parts, ()) = http::Request::new(()).into_parts();
    /// # parts.extensions.insert(Remote("10.0.0.2:40000".parse()?));
    /// # parts.headers.insert("x-forwarded-for", "203.0.113.9".parse()?);
    /// # correct(&proxyfix::ProxyFix::new("10.0.0.2".parse::<proxyfix::TrustedProxies>()?), &mut parts);
    /// # assert_eq!(parts.extensions.get::<Remote>().unwrap().0, "203.0.113.9:0".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
        connection.leave_peer(parts);
        self.fix(parts);
        parts.extensions.get::<Origin>().map(|origin| origin.known_client())
    }

    /// Whether [`glance`](Self::glance) may have an answer.
    #[doc(hidden)]
    fn glances(&self) -> bool {
        false
    }

    /// What this fix would do to a request with this head, where one look is enough to know it; `None` where it is
    /// not, and then what stands in `glance` has no meaning. The request is taken apart for all that this does not
    /// answer.
    #[doc(hidden)]
    fn glance(&self, _: Connection, _: Head<'_>, _: &mut Glance) -> Option<()> {
        None
    }
}

/// The head of a request as it came in, for a glance.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub extensions: &'a Extensions,
}

/// What a fix would do that saw all at a glance: nothing, mostly.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Glance {
    pub(crate) few: Few,
    pub(crate) client: Peer,
    tell: Option<fn(&mut Extensions, Peer)>,
}

impl Glance {
    /// Who the client is; unknown where nobody knows it.
    pub fn client(&self) -> Peer {
        self.client
    }

    /// Has the client told to the extensions, too.
    pub fn and_tell(&mut self, tell: fn(&mut Extensions, Peer)) {
        self.tell = Some(tell);
    }

    #[inline]
    fn carry_out<B>(&self, request: &mut Request<B>) {
        if !self.few.is_empty() {
            self.few.remove(request.headers_mut());
        }
        if let Some(tell) = self.tell {
            tell(request.extensions_mut(), self.client);
        }
    }
}

/// Who is connected, as a server or framework knows it; for [`Fix::fix_from`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection {
    pub(crate) peer: Option<Peer>,
    /// How many of the extensions are known to be none of ours.
    pub(crate) own: usize,
}

impl Connection {
    /// States that so many of the extensions of the request are none that fixes look for ([`Peer`],
    /// [`Mount`](crate::Mount), [`Scheme`](crate::Scheme), [`Origin`] and the like). Where there are no more,
    /// nothing is looked for.
    pub const fn beside(self, own: usize) -> Self {
        Self { own, ..self }
    }

    /// Puts the peer where every fix finds it, unless one is there.
    pub fn leave_peer(self, parts: &mut Parts) {
        if let (Some(peer), None) = (self.peer, parts.extensions.get::<Peer>()) {
            parts.extensions.insert(peer);
        }
    }
}

impl From<Peer> for Connection {
    fn from(peer: Peer) -> Self {
        Self { peer: Some(peer), own: 0 }
    }
}

/// Holders of a fix do what it does.
macro_rules! holders {
    ($($holder:ty),*) => {
        $(impl<F: Fix + ?Sized> Fix for $holder {
            fn fix(&self, parts: &mut Parts) {
                (**self).fix(parts);
            }

            fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
                (**self).fix_from(connection, parts)
            }

            fn glances(&self) -> bool {
                (**self).glances()
            }

            fn glance(&self, connection: Connection, head: Head<'_>, glance: &mut Glance) -> Option<()> {
                (**self).glance(connection, head, glance)
            }
        })*
    };
}

holders!(&F, Arc<F>, Box<F>);

impl<F: Fix> Fix for [F] {
    fn fix(&self, parts: &mut Parts) {
        for fix in self {
            fix.fix(parts);
        }
    }

    /// What the last one found that looked for the client.
    fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
        let each = |client: Option<Peer>, fix: &F| fix.fix_from(connection, parts).or(client);
        self.iter().fold(None, each)
    }
}

impl<F: Fix> Fix for Vec<F> {
    fn fix(&self, parts: &mut Parts) {
        self.as_slice().fix(parts);
    }

    fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
        self.as_slice().fix_from(connection, parts)
    }
}

impl Fix for () {
    fn fix(&self, _: &mut Parts) {}

    fn fix_from(&self, _: Connection, _: &mut Parts) -> Option<Peer> {
        None
    }
}

impl<F: Fix> Fix for Option<F> {
    fn fix(&self, parts: &mut Parts) {
        self.as_slice().fix(parts);
    }

    fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
        self.as_slice().fix_from(connection, parts)
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: Fix),+> Fix for ($($name,)+) {
            fn fix(&self, parts: &mut Parts) {
                #[allow(non_snake_case, reason = "the type parameters name the elements, too")]
                let ($($name,)+) = self;
                $($name.fix(parts);)+
            }

            fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
                #[allow(non_snake_case, reason = "the type parameters name the elements, too")]
                let ($($name,)+) = self;
                let client = None;
                $(let client = $name.fix_from(connection, parts).or(client);)+
                client
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);

/// The one middleware [`Service`]: applies a [`Fix`] to each request, then calls the inner service.
///
/// Its future is the inner service's own, its readiness too; requests may have any body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed<F, S> {
    fix: F,
    inner: S,
}

impl<F, S> Fixed<F, S> {
    /// Wraps `inner`.
    pub const fn new(fix: F, inner: S) -> Self {
        Self { fix, inner }
    }

    /// The fix.
    pub const fn fix(&self) -> &F {
        &self.fix
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Unwraps the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<F, S, B> Service<Request<B>> for Fixed<F, S>
where
    F: Fix,
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> S::Future {
        // To take a request apart and put it together again copies its head twice.
        if self.fix.glances() && self.glance(&mut request).is_some() {
            return self.inner.call(request);
        }
        let (mut parts, body) = request.into_parts();
        self.fix.fix(&mut parts);
        self.inner.call(Request::from_parts(parts, body))
    }
}

impl<F: Fix, S> Fixed<F, S> {
    /// Does all that is to be done, if a glance is enough to know it.
    #[inline]
    fn glance<B>(&self, request: &mut Request<B>) -> Option<()> {
        let (uri, headers, extensions) = (request.uri(), request.headers(), request.extensions());
        let (head, mut glance) = (Head { uri, headers, extensions }, Glance::default());
        self.fix.glance(Connection::default(), head, &mut glance)?;
        glance.carry_out(request);
        Some(())
    }
}

/// The [`Layer`] of any [`Fix`], made by [`layer`].
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct FixLayer<F>(F);

/// A [`Layer`] that applies `fix`: one of your own, or a tuple of several.
///
/// ```
/// use proxyfix::{LighttpdCgiRootFix, ProxyFix, TrustedProxies};
/// use tower::{ServiceBuilder, service_fn};
///
/// let fixes = (ProxyFix::new(TrustedProxies::none()), LighttpdCgiRootFix::new());
/// let service = ServiceBuilder::new()
///     .layer(proxyfix::layer(fixes))
///     .service(service_fn(|_: http::Request<()>| async { Ok::<_, ()>(http::Response::new(())) }));
/// ```
pub const fn layer<F: Fix>(fix: F) -> FixLayer<F> {
    FixLayer(fix)
}

impl<F: Clone, S> Layer<S> for FixLayer<F> {
    type Service = Fixed<F, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Fixed::new(self.0.clone(), inner)
    }
}

/// Makes a fix a [`Layer`] of its own.
macro_rules! fix_is_a_layer {
    ($fix:ty) => {
        impl<S> tower_layer::Layer<S> for $fix {
            type Service = $crate::Fixed<Self, S>;

            fn layer(&self, inner: S) -> Self::Service {
                $crate::Fixed::new(self.clone(), inner)
            }
        }
    };
}
pub(crate) use fix_is_a_layer;

/// What a service does with a fix around it, for the tests of what the fix does.
#[cfg(test)]
pub(crate) mod testing {
    use std::future::ready;

    use super::*;
    use crate::ProxyFix;

    /// Tells the client to the extensions, whichever way it is found.
    struct Told<'a>(&'a ProxyFix, Peer);

    impl Fix for Told<'_> {
        fn fix(&self, parts: &mut Parts) {
            let client = self.0.fix_from(self.1.into(), parts);
            parts.extensions.insert(client);
        }

        fn glances(&self) -> bool {
            self.0.glances()
        }

        fn glance(&self, _: Connection, head: Head<'_>, glance: &mut Glance) -> Option<()> {
            self.0.glance(self.1.into(), head, glance)?;
            glance.and_tell(|extensions, client| _ = extensions.insert(Some(client)));
            Some(())
        }
    }

    /// The client, and the request as it comes to a service around which the fix is.
    pub(crate) fn served(fix: &ProxyFix, peer: Peer, parts: Parts) -> (Option<Peer>, Parts) {
        let leaf = tower::service_fn(|request: Request<()>| ready(Ok::<_, ()>(request)));
        let answer = Fixed::new(Told(fix, peer), leaf).call(Request::from_parts(parts, ()));
        let (mut parts, ()) = answer.into_inner().unwrap().into_parts();
        (parts.extensions.remove::<Option<Peer>>().unwrap(), parts)
    }
}
