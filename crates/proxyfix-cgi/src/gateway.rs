//! How requests are made of what web servers send.

use proxyfix_policy::{Prefix, TrustedProxies};

use crate::Limits;

/// How requests are made of what web servers send, and who may send them.
///
/// FastCGI, SCGI and CGI say the same of a request: meta-variables, and a body. A gateway makes an HTTP
/// request of them, as it would have come over plain HTTP, and puts what HTTP has no place for into the
/// extensions.
///
/// ```
/// use proxyfix_cgi::{Gateway, MetaVariables};
/// use proxyfix_policy::{Mount, Peer, Scheme};
///
/// let variables: MetaVariables = [
///     ("REQUEST_METHOD", "GET"),
///     ("SCRIPT_NAME", "/app"),
///     ("PATH_INFO", "/docs/a/b"),
///     ("REQUEST_URI", "/app/docs/a%2Fb?page=2"),
///     ("QUERY_STRING", "page=2"),
///     ("HTTPS", "on"),
///     ("REMOTE_ADDR", "203.0.113.9"),
///     ("HTTP_HOST", "example.com"),
///     ("HTTP_PROXY", "evil.example"),
/// ]
/// .into_iter()
/// .collect();
///
/// let parts = Gateway::new().request(variables)?;
/// assert_eq!(parts.uri, "/docs/a%2Fb?page=2");
/// assert_eq!(parts.headers.len(), 1);
/// assert_eq!(parts.headers["host"], "example.com");
/// assert_eq!(parts.extensions.get::<Mount>().unwrap().prefix(), "/app");
/// assert_eq!(parts.extensions.get::<Scheme>(), Some(&Scheme::Https));
/// assert_eq!(parts.extensions.get::<Peer>(), Some(&"203.0.113.9".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Mount and path
///
/// Web servers split the path in two, and some of them in the wrong place: what each of them sends, and
/// which fix mends it, stands in `docs/servers.md`. Where the public mount is known, declare it: then
/// nothing has to be mended.
///
/// | | mount | path |
/// | --- | --- | --- |
/// | as sent | `SCRIPT_NAME` | `PATH_INFO` |
/// | `SCRIPT_NAME` and no `PATH_INFO`, or an empty one | `SCRIPT_NAME`, nothing below | `/` |
/// | neither of them | the root | of `REQUEST_URI`, cleaned as below a declared mount |
/// | [declared](Self::mount) | as declared | what follows it in `REQUEST_URI` |
/// | declared, and nothing follows it | as declared, nothing below | `/` |
/// | declared, and the path does not lie below it | | refused with 404 |
/// | `OPTIONS *` | declared, or `SCRIPT_NAME` | `*` |
///
/// `PATH_INFO` is decoded, and `%2F` is lost in it. So the path is spelled as in `REQUEST_URI` where an end
/// of that, from a raw `/` on, decodes to exactly `PATH_INFO`: then it means what the web server routed,
/// and checked. Otherwise the octets of `PATH_INFO` are escaped. They are never decoded again.
///
/// | `PATH_INFO` | `REQUEST_URI` | path | because |
/// | --- | --- | --- | --- |
/// | `/a/b` | `/app/a%2Fb` | `/a%2Fb` | it decodes to the same |
/// | `/a%2Fb` | `/app/a%2Fb` | `/a%2Fb` | it does where `%2F` is left alone (Apache, `AllowEncodedSlashes NoDecode`) |
/// | `/a%2Fb` | `/app/a%252Fb` | `/a%252Fb` | it decodes to the same |
/// | `/c` | `/app/a/../c` | `/c` | it decodes to the same |
/// | `/x/b` | `/app/a%2Fb` | `/x/b` | the web server rewrote it |
/// | `/a b` | none | `/a%20b` | escaped |
/// | `foo` | `/app/foo` | `/foo` | nginx with the `if` block of old guides |
/// | `z/foo` | `/appz/foo` | refused with 404 | a split inside a segment |
///
/// A rule of the web server holds for what the path means, a route for how it is spelled: `/static%2Fx` passes a
/// rule for `/static/`, and a router takes it for one segment. A route such as `/{name}` that is closed to
/// strangers by such rules alone has to refuse names with a slash.
///
/// A declared mount is found in `REQUEST_URI` once that is decoded, its slashes are merged and its dots
/// removed, on a segment boundary. The path keeps its spelling where that means the same, and is the
/// cleaned one otherwise. Without `REQUEST_URI`, script name and path are joined.
///
/// | mount | `REQUEST_URI` | path |
/// | --- | --- | --- |
/// | `/app` | `/app/a%2Fb` | `/a%2Fb` |
/// | `/app` | `//%61pp/a//b/../c` | `/a/c` |
/// | `/app` | `/application`, `/app/../etc` | refused with 404 |
///
/// A web server whose own `SCRIPT_NAME` or `PATH_INFO` has double slashes or dots (HAProxy, Caddy) did not
/// clean the path before its rules looked at it. Then nothing is cleaned here either: `/x/../private` stays
/// so, for a rule about `/private` did not see it. `/app//private` is refused with 404 below the mount `/app`.
///
/// Of `REQUEST_URI`, scheme, authority and fragment are left out; what no target may hold (spaces, octets
/// outside ASCII, ``"<>^`{|}\``) is escaped. What is neither a path nor a URL is refused with 400. Its query
/// counts where `QUERY_STRING` says the same or is absent, so that an empty one survives; otherwise a rewrite
/// changed it, and `QUERY_STRING` counts.
///
/// # Headers
///
/// | variable | header |
/// | --- | --- |
/// | `HTTP_X_NAME` | a line of `x-name`, for each of several in order; of capitals, digits and `_` only |
/// | `CONTENT_TYPE` | `content-type`, where it is not empty |
/// | `CONTENT_LENGTH` | `content-length`, where it is more than 0, or 0 of a `POST`, `PUT` or `PATCH`; empty and `-1` are unknown, what is no number is refused with 400 |
/// | `HTTP_AUTHORIZATION` | `authorization`, where it is not empty |
/// | `REDIRECT_HTTP_AUTHORIZATION` | the same, [on demand](Self::redirect_authorization), where there is no other |
/// | `HTTP_PROXY`, `HTTP_PROXY_AUTHORIZATION` | none: the first would become a setting of client libraries, the second was not for us |
/// | `HTTP_CONNECTION`, `_KEEP_ALIVE`, `_TE`, `_TRANSFER_ENCODING`, `_UPGRADE`, `_TRAILER`, `_PROXY_CONNECTION`, `_EXPECT` | none: they were between the client and the web server |
/// | `HTTP_CONTENT_TYPE`, `HTTP_CONTENT_LENGTH` | none: copies |
/// | any other | none |
///
/// Values are octets. One with a control character is refused with 400, and so are two different values of
/// `CONTENT_LENGTH`, `CONTENT_TYPE`, `HTTP_HOST` or `HTTP_AUTHORIZATION`. Of all other variables that are
/// sent twice, the last counts.
///
/// CGI cannot tell `X-Forwarded-For` from `X_Forwarded_For`. Web servers that let the second through send
/// both, and the client chose the second: see [`DuplicateHeaders`].
///
/// # The rest
///
/// | | from |
/// | --- | --- |
/// | method | `REQUEST_METHOD`: a token, or refused with 400; `CONNECT` is refused with 501, `TRACE` with 405 |
/// | version | `SERVER_PROTOCOL`; HTTP/1.1 where it is none of ours |
/// | [`Scheme`](proxyfix_policy::Scheme) | https where `HTTPS` is `on` or `1`, or `REQUEST_SCHEME` is `https` |
/// | [`Peer`](proxyfix_policy::Peer) | `REMOTE_ADDR` and `REMOTE_PORT`; a local socket where it is `unix:`, unknown where it cannot be read |
/// | [`Mount`](proxyfix_policy::Mount) | see above |
/// | [`RemoteUser`](crate::RemoteUser) | `REMOTE_USER`, [on demand](Self::trust_remote_user) only |
/// | [`MetaVariables`](crate::MetaVariables) | all of them |
#[derive(Clone, Debug, Default)]
#[must_use = "a gateway does nothing until it serves"]
pub struct Gateway {
    pub(crate) mount: Option<Prefix>,
    pub(crate) duplicates: DuplicateHeaders,
    pub(crate) redirect_authorization: bool,
    pub(crate) remote_user: bool,
    pub(crate) accelerator_headers: bool,
    pub(crate) limits: Limits,
    pub(crate) allowed: Option<TrustedProxies>,
}

/// What becomes of a header that came in several variables.
///
/// nginx before 1.23 and HAProxy send one variable for each line of a header; other servers join the lines.
/// lighttpd 1.4.69, and nginx with `underscores_in_headers on`, send a second variable for an alias, too:
/// `X_Forwarded_For` is `HTTP_X_FORWARDED_FOR` like `X-Forwarded-For`. Whoever counts proxies from the right
/// then takes what the client wrote.
///
/// | the web server | right |
/// | --- | --- |
/// | sends one variable a line | [`Append`](Self::Append), and let it drop names with underscores, as it does by default |
/// | joins lines, and a proxy whose headers count stands before it | [`Reject`](Self::Reject): no honest request has two |
///
/// Caddy 2.6 lets the alias overwrite the header, which nothing after it can see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DuplicateHeaders {
    /// All of them are kept, in order, as lines of one header.
    #[default]
    Append,
    /// The request is answered with 400.
    Reject,
}

impl Gateway {
    /// A gateway that takes script name and path as the web server sends them, for the fixes to mend.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares the public mount: script name and path come from `REQUEST_URI`, split at `mount`.
    ///
    /// ```
    /// use proxyfix_cgi::{Gateway, MetaVariables};
    ///
    /// let gateway = Gateway::new().mount("/app".parse()?);
    /// let request = |uri| {
    ///     let pairs = [("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "/app.fcgi"), ("REQUEST_URI", uri)];
    ///     gateway.request(pairs.into_iter().collect())
    /// };
    /// assert_eq!(request("/app/users?page=2")?.uri, "/users?page=2");
    /// assert_eq!(request("/application").unwrap_err().status(), 404);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mount(mut self, mount: Prefix) -> Self {
        self.mount = Some(mount);
        self
    }

    /// Says what becomes of a header that came in several variables.
    pub fn duplicate_headers(mut self, duplicates: DuplicateHeaders) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// Takes `REDIRECT_HTTP_AUTHORIZATION` for the `Authorization` header where there is no other.
    ///
    /// Apache sends it where a `RewriteRule` sets `HTTP_AUTHORIZATION` and the request is redirected within the
    /// server. `CGIPassAuth On` is the better way.
    pub fn redirect_authorization(mut self) -> Self {
        self.redirect_authorization = true;
        self
    }

    /// Believes `REMOTE_USER`: requests have a [`RemoteUser`](crate::RemoteUser).
    ///
    /// Only for web servers that authenticate. nginx and HAProxy take the name from the `Authorization` header of
    /// anybody, and check no password.
    pub fn trust_remote_user(mut self) -> Self {
        self.remote_user = true;
        self
    }

    /// Passes `X-Accel-Redirect`, `X-Sendfile` and their like on to the web server, which obeys them.
    pub fn pass_accelerator_headers(mut self) -> Self {
        self.accelerator_headers = true;
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// States who may connect.
    pub fn allow(mut self, web_servers: TrustedProxies) -> Self {
        self.allowed = Some(web_servers);
        self
    }
}
