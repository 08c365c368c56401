//! How requests are made of what web servers send.

use proxyfix_policy::{Prefix, TrustedProxies};

use crate::Limits;

/// How requests are made of what web servers send, and who may send them.
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
    pub fn redirect_authorization(mut self) -> Self {
        self.redirect_authorization = true;
        self
    }

    /// Believes `REMOTE_USER`.
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
