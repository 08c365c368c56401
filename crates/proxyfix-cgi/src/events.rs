//! What a gateway reports through [`tracing`], and how loudly.
//!
//! Every event has its name in the field `event`. There are no others:
//!
//! | event | level | meaning |
//! | --- | --- | --- |
//! | `fcgi.untrusted_peer` | warn | somebody connected who is not allowed to, and was turned away |
//! | `fcgi.malformed` | warn | a web server broke the FastCGI protocol; the connection was closed |
//! | `scgi.malformed` | warn | a web server broke the SCGI protocol; the connection was closed |
//! | `fcgi.limit` | warn | there were too many connections, or one could not be accepted |
//! | `fcgi.timeout` | debug | a web server took too long (FastCGI and SCGI) |
//! | `fcgi.drain` | warn | too much of a body was left unread; the connection was closed |
//! | `cgi.malformed` | warn | no request could be made of the variables; it was refused |
//! | `cgi.limit` | warn | variables, a body or the head of a response went beyond a limit |
//! | `cgi.body` | warn | a body was shorter than declared |
//! | `cgi.dropped` | debug | a header was not passed on, for it belongs to a connection |
//! | `cgi.response` | warn | a response could not be passed on as it was |
//! | `gateway.failed` | warn | the service failed, or the body of its response did |
//! | `gateway.listening` | info | a gateway listens; not sampled |
//! | `gateway.cut_off` | warn | a gateway ends, and requests in flight with it |
//!
//! # Sampling
//!
//! What a web server passes on comes by the thousand. Of each event, one in ten seconds and process is
//! reported, and tells in the field `suppressed` how many were not, since the one before. What nobody
//! collects costs a comparison.
//!
//! # Values
//!
//! The message says what happened, in at most 512 bytes. Whatever of it is not printable ASCII is written as
//! `\xNN`. What a client or a service wrote appears in excerpts of at most 128 bytes; values of headers
//! do not appear.

use std::fmt::{self, Display, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(test))]
use std::{sync::OnceLock, time::Instant};

use tracing::Level;

/// One event in this many seconds, and process.
const WINDOW: u32 = 10;
/// The bytes of a message, before they are escaped.
const LONGEST_MESSAGE: usize = 512;
/// The bytes of what somebody else wrote, before they are escaped.
const LONGEST_EXCERPT: usize = 128;

macro_rules! catalogue {
    ($($(#[$doc:meta])* $report:ident: $name:literal $level:ident,)*) => {
        /// What a gateway reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Report {
            $($(#[$doc])* $report,)*
        }

        /// The name of every event of this crate.
        pub const NAMES: &[&str] = &[$($name),*];

        const LEVELS: [Level; NAMES.len()] = [$(Level::$level),*];
        static SAMPLERS: [Sampler; NAMES.len()] = [const { Sampler::new() }; NAMES.len()];
    };
}

catalogue! {
    /// Somebody connected who is not allowed to.
    UntrustedPeer: "fcgi.untrusted_peer" WARN,
    /// A web server broke the FastCGI protocol.
    Malformed: "fcgi.malformed" WARN,
    /// A web server broke the SCGI protocol.
    ScgiMalformed: "scgi.malformed" WARN,
    /// There are too many connections, or one cannot be accepted.
    Connections: "fcgi.limit" WARN,
    /// A time was over.
    Timeout: "fcgi.timeout" DEBUG,
    /// A body that nobody read, and too much of it.
    Drain: "fcgi.drain" WARN,
    /// A request that cannot be made of its variables.
    BadRequest: "cgi.malformed" WARN,
    /// Variables, a body or the head of a response went beyond a limit.
    Limit: "cgi.limit" WARN,
    /// A body that is shorter or longer than declared.
    Body: "cgi.body" WARN,
    /// A header that is not passed on.
    Dropped: "cgi.dropped" DEBUG,
    /// A response that cannot be passed on as it is.
    Response: "cgi.response" WARN,
    /// A service that failed.
    Failed: "gateway.failed" WARN,
    /// A gateway listens.
    Listening: "gateway.listening" INFO,
    /// Requests were not finished in time at the end.
    CutOff: "gateway.cut_off" WARN,
}

/// Reports it, where it is collected and the last one is long enough ago.
pub(crate) fn report(what: Report, detail: &dyn Display) {
    macro_rules! emit {
        ($level:ident) => {
            if tracing::event_enabled!(Level::$level) {
                if let Some(suppressed) = SAMPLERS[what as usize].admit(seconds()) {
                    let event = NAMES[what as usize];
                    tracing::event!(Level::$level, event, suppressed, "{}", Printable(detail));
                }
            }
        };
    }
    match LEVELS[what as usize] {
        Level::DEBUG => emit!(DEBUG),
        // Said once per listener, of which a process may have several.
        Level::INFO => tracing::info!(event = NAMES[what as usize], "{}", Printable(detail)),
        _ => emit!(WARN),
    }
}

/// Admits one in [`WINDOW`] seconds, and counts the others.
struct Sampler {
    /// The second from which on the next one is admitted.
    next: AtomicU32,
    suppressed: AtomicU32,
}

impl Sampler {
    const fn new() -> Self {
        Self { next: AtomicU32::new(0), suppressed: AtomicU32::new(0) }
    }

    /// How many were suppressed since the last one that was admitted; `None` suppresses this one.
    fn admit(&self, now: u32) -> Option<u32> {
        let next = self.next.load(Ordering::Relaxed);
        let then = now.saturating_add(WINDOW);
        // Of those that come at once, the one that moves the window is admitted.
        if now >= next && self.next.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
use tests::seconds;

/// The seconds since this was first asked.
#[cfg(not(test))]
fn seconds() -> u32 {
    static START: OnceLock<Instant> = OnceLock::new();
    u32::try_from(START.get_or_init(Instant::now).elapsed().as_secs()).unwrap_or(u32::MAX)
}

/// Octets that somebody else wrote, harmless in any log.
pub(crate) struct Excerpt<'a>(&'a [u8]);

impl<'a> Excerpt<'a> {
    /// The beginning.
    pub(crate) fn of(octets: &'a [u8]) -> Self {
        Self(&octets[..octets.len().min(LONGEST_EXCERPT)])
    }
}

impl Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            b'"' | b'\\' => write!(f, "\\x{byte:02x}"),
            byte => printable(*byte, f),
        })
    }
}

/// A message of which no more is written than fits, and nothing that is not printable: errors of services
/// may quote what a client sent.
struct Printable<'a>(&'a dyn Display);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Filter { left: LONGEST_MESSAGE, out: f }, "{}", self.0)
    }
}

struct Filter<'a, 'b> {
    left: usize,
    out: &'a mut fmt::Formatter<'b>,
}

impl fmt::Write for Filter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = &text.as_bytes()[..text.len().min(self.left)];
        self.left -= fits.len();
        fits.iter().try_for_each(|byte| printable(*byte, self.out))
    }
}

fn printable(byte: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match byte {
        0x20..=0x7E => f.write_char(char::from(byte)),
        _ => write!(f, "\\x{byte:02x}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::subscriber::{Interest, with_default};
    use tracing::{Event, Metadata};

    use super::*;

    static NOW: AtomicU32 = AtomicU32::new(0);

    /// The clock of these tests.
    pub(super) fn seconds() -> u32 {
        NOW.load(Ordering::SeqCst)
    }

    /// An event: name, level, how many were suppressed before, message.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Seen {
        pub(crate) event: String,
        pub(crate) level: Level,
        pub(crate) suppressed: u64,
        pub(crate) message: String,
    }

    impl Visit for Seen {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            assert_eq!(field.name(), "message");
            self.message = format!("{value:?}");
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            assert_eq!(field.name(), "event");
            value.clone_into(&mut self.event);
        }

        fn record_u64(&mut self, field: &Field, value: u64) {
            assert_eq!(field.name(), "suppressed");
            self.suppressed = value;
        }
    }

    #[derive(Default)]
    struct Collector(Arc<Mutex<Vec<Seen>>>);

    impl tracing::Subscriber for Collector {
        /// Not "always", which would hold for the threads of other tests, too.
        fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
            Interest::sometimes()
        }

        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn event(&self, event: &Event<'_>) {
            let level = *event.metadata().level();
            let mut seen = Seen { event: String::new(), level, suppressed: 0, message: String::new() };
            event.record(&mut seen);
            self.0.lock().unwrap().push(seen);
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// The events of `work`, each of which is the first of its window. One test at a time: samplers are
    /// the process's.
    pub(crate) fn collect(work: impl FnOnce()) -> Vec<Seen> {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        NOW.fetch_add(WINDOW, Ordering::SeqCst);
        let collector = Collector::default();
        let seen = Arc::clone(&collector.0);
        with_default(collector, work);
        std::mem::take(&mut *seen.lock().unwrap())
    }

    const ALL: [Report; NAMES.len()] = [
        Report::UntrustedPeer,
        Report::Malformed,
        Report::ScgiMalformed,
        Report::Connections,
        Report::Timeout,
        Report::Drain,
        Report::BadRequest,
        Report::Limit,
        Report::Body,
        Report::Dropped,
        Report::Response,
        Report::Failed,
        Report::Listening,
        Report::CutOff,
    ];

    #[test]
    fn the_table_lists_every_event_with_its_level() {
        let rows = include_str!("events.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        let rows: Vec<(&str, &str)> = rows
            .map(|row| {
                let (name, rest) = row.split_once("` | ").unwrap();
                (name, rest.split(' ').next().unwrap())
            })
            .collect();
        let seen = collect(|| ALL.iter().for_each(|what| report(*what, &"it happened")));
        let levels: Vec<String> = seen.iter().map(|it| it.level.to_string().to_lowercase()).collect();
        let seen: Vec<(&str, &str)> =
            seen.iter().zip(&levels).map(|(seen, level)| (&*seen.event, &**level)).collect();
        assert_eq!(rows, seen);
    }

    #[test]
    fn timeouts_and_dropped_headers_are_no_warnings() {
        for (what, level) in ALL.iter().zip(LEVELS) {
            let quiet = matches!(what, Report::Timeout | Report::Dropped);
            assert_eq!(level == Level::DEBUG, quiet, "{what:?}");
        }
    }

    #[test]
    fn t192_of_a_thousand_one_is_reported_and_says_so() {
        let seen = collect(|| {
            for _ in 0..1000 {
                report(Report::Malformed, &"a record is not of version 1");
                report(Report::Drain, &"a body was not read");
            }
        });
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert_eq!(
            seen[0],
            Seen {
                event: "fcgi.malformed".into(),
                level: Level::WARN,
                suppressed: seen[0].suppressed,
                message: "a record is not of version 1".into(),
            }
        );
        let seen = collect(|| report(Report::Malformed, &"again"));
        assert_eq!(seen[0].suppressed, 999);
    }

    #[test]
    fn t192_one_in_ten_seconds_tells_how_many_were_not() {
        let sampler = Sampler::new();
        assert_eq!(sampler.admit(0), Some(0));
        assert!((0..100_000).all(|request| sampler.admit(request / 10_001).is_none()));
        assert_eq!(sampler.admit(10), Some(100_000));
        assert_eq!(sampler.admit(19), None);
        assert_eq!(sampler.admit(1000), Some(1));
        assert_eq!(sampler.admit(u32::MAX), Some(0));
    }

    #[test]
    fn t191_a_message_is_printable_and_short() {
        let message = |detail: &dyn Display| {
            let seen = collect(|| report(Report::Failed, detail));
            seen[0].message.clone()
        };
        assert_eq!(message(&"a\r\n\x1b[2J\u{e9}\0\x7f"), r"a\x0d\x0a\x1b[2J\xc3\xa9\x00\x7f");
        assert_eq!(message(&"x".repeat(10_000)).len(), 512);
        assert_eq!(message(&format_args!("{}{}", "x".repeat(500), "\n".repeat(500))).len(), 500 + 12 * 4);
    }

    #[test]
    fn t191_an_excerpt_is_128_octets_that_close_no_quotes() {
        assert_eq!(Excerpt::of(b"X-\"\\\xff\n").to_string(), r"X-\x22\x5c\xff\x0a");
        assert_eq!(Excerpt::of(&[b'a'; 1000]).to_string(), "a".repeat(128));
        assert_eq!(Excerpt::of(b"").to_string(), "");
    }
}
