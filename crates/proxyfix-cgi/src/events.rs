//! What a gateway reports, how loudly and how often.

use std::fmt::Display;

/// What a gateway reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Somebody connected who is not allowed to.
    UntrustedPeer,
    /// A web server broke the protocol.
    Malformed,
    /// A limit was reached.
    Limit,
    /// A time was over.
    Timeout,
    /// A body that nobody read, and too much of it.
    Drain,
    /// A body that is shorter or longer than declared.
    Body,
    /// A header that is not passed on.
    Dropped,
    /// A request that cannot be made of its variables.
    BadRequest,
    /// A response that cannot be passed on as it is.
    Response,
    /// A service that failed.
    Failed,
}

/// Reports it.
pub(crate) fn report(what: Report, detail: &dyn Display) {
    tracing::debug!(event = ?what, "{detail}");
}
