//! What a gateway takes before it answers by itself.

use std::time::Duration;

use crate::Error;

/// What a gateway takes, and what it answers beyond that. All of it is on by default.
///
/// | limit | default | beyond it |
/// | --- | --- | --- |
/// | [`variables`](Self::variables): octets of all names and values of a request | 64 KiB | 431, and the connection is closed |
/// | [`pairs`](Self::pairs): how many variables | 512 | 431, and the connection is closed |
/// | [`pair`](Self::pair): octets of one name and value | 32 KiB | 431, and the connection is closed |
/// | [`body`](Self::body): octets of a request's body | 16 MiB | 413; one whose length was not stated ends with an error, too |
/// | [`connections`](Self::connections): connections that are served | 1 024 | 503, and none is kept until the next one finds room |
/// | [`head_time`](Self::head_time): from the first octet of a connection's next request to the last variable | 10 s | the connection is closed |
/// | [`record_time`](Self::record_time): silence while the body is waited for | 60 s | the body ends with an error |
/// | [`idle_time`](Self::idle_time): a kept connection without a request | 60 s | the connection is closed |
/// | [`write_time`](Self::write_time): silence while the server does not take the answer | 300 s | the connection is closed |
/// | [`unread`](Self::unread): octets of a body that nobody read, to be skipped before the next request | 1 GiB | the connection is closed, once the web server has said everything or `shutdown_time` is over |
/// | [`shutdown_time`](Self::shutdown_time): from the signal to stop, or from the web server's giving up a whole request (`FCGI_ABORT_REQUEST`), until requests in flight are cut off | 5 s | the handler is dropped |
///
/// Nothing is switched off by zero: a limit of nothing is an error where the gateway starts, and so is a time
/// of more than 100 years.
///
/// ```
/// use proxyfix_cgi::{Gateway, Limits};
///
/// let gateway = Gateway::new().limits(Limits::default().body(1 << 30));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "limits do nothing until a gateway has them"]
pub struct Limits {
    pub(crate) variables: usize,
    pub(crate) pairs: usize,
    pub(crate) pair: usize,
    pub(crate) body: u64,
    pub(crate) connections: usize,
    pub(crate) head_time: Duration,
    pub(crate) record_time: Duration,
    pub(crate) idle_time: Duration,
    pub(crate) write_time: Duration,
    pub(crate) unread: u64,
    pub(crate) shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            variables: 64 << 10,
            pairs: 512,
            pair: 32 << 10,
            body: 16 << 20,
            connections: 1024,
            head_time: Duration::from_secs(10),
            record_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(60),
            write_time: Duration::from_secs(300),
            unread: 1 << 30,
            shutdown_time: Duration::from_secs(5),
        }
    }
}

/// A time that can be added to any other.
const LONGEST_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)+) => {
        impl Limits {
            $($(#[$doc])* pub fn $name(mut self, $name: $kind) -> Self {
                self.$name = $name;
                self
            })+

            /// That nothing is limited to nothing.
            pub(crate) fn check(&self) -> Result<(), Error> {
                $(if self.$name == <$kind>::default() {
                    return Err(Error::limit(stringify!($name)));
                })+
                if self.variables > 16 << 20 {
                    return Err(Error::new("a limit of more than 16 MiB of variables is none: state a smaller one"));
                }
                let times =
                    [self.head_time, self.record_time, self.idle_time, self.write_time, self.shutdown_time];
                if times.iter().any(|it| *it > LONGEST_TIME) {
                    return Err(Error::new("a time of more than 100 years is no limit: state a shorter one"));
                }
                Ok(())
            }
        }
    };
}

setters! {
    /// Octets of all names and values of one request; at most 16 MiB.
    variables: usize,
    /// How many variables one request has.
    pairs: usize,
    /// Octets of one name and its value.
    pair: usize,
    /// Octets of the body of one request.
    body: u64,
    /// Connections that are served at a time. A kept connection counts while it is idle, too.
    connections: usize,
    /// From the first octet of a request to its last variable; on a new connection, from the beginning.
    head_time: Duration,
    /// How long the next octet of a body may take.
    record_time: Duration,
    /// How long a kept connection may be idle.
    idle_time: Duration,
    /// How long the server may take nothing of an answer.
    write_time: Duration,
    /// Octets of a body that the service did not read, which are skipped to keep the connection. Where there
    /// are more, the connection ends after the answer, once the web server has said everything: Apache, for
    /// one, writes all of a body before it reads. They are kept nowhere, and many are better than few: Apache
    /// may send the next request of somebody else while the connection ends, and answer it with 503.
    unread: u64,
    /// How long requests may take to finish once the process was told to stop.
    shutdown_time: Duration,
}
