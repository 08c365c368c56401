//! From meta-variables to a request.

use http::{StatusCode, request};

use crate::{Gateway, MetaVariables};

/// Why no request was made of the meta-variables, and the status that the gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// What the gateway answers.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

impl std::error::Error for Refusal {}

/// The user whom the web server authenticated, where
/// [`Gateway::trust_remote_user`] believes that it did (RFC 3875 section 4.1.11).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteUser(pub String);

impl Gateway {
    /// Makes the head of a request of what the web server said.
    pub fn request(&self, variables: MetaVariables) -> Result<request::Parts, Refusal> {
        let mut parts = http::Request::new(()).into_parts().0;
        let text = |name| std::str::from_utf8(variables.get(name).unwrap_or_default()).unwrap_or_default();
        parts.method = text("REQUEST_METHOD").parse().unwrap_or_default();
        parts.uri = text("REQUEST_URI").parse().unwrap_or_default();
        parts.extensions.insert(variables);
        Ok(parts)
    }
}

/// The declared length of the body: `None` where it is absent, empty or `-1`.
pub(crate) fn declared_length(variables: &MetaVariables) -> Option<u64> {
    std::str::from_utf8(variables.get("CONTENT_LENGTH")?).ok()?.parse().ok()
}
