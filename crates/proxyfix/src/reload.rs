//! Replacing what a fix trusts while requests run.
//!
//! ```
//! use proxyfix::{Fix, ProxyFix, Reloadable, TrustedProxies};
//!
//! let fix = ProxyFix::new("10.0.0.0/28".parse::<TrustedProxies>()?);
//! let (fix, reload) = Reloadable::new(fix);
//! // ... `fix` goes around the service, `reload` to whoever learns of new proxies:
//! assert_eq!(reload.replace(&"10.0.0.0/27".parse()?)?, 1);
//!
//! // What looks like a mistake is refused, and the last good set goes on.
//! let refused = reload.replace(&TrustedProxies::none()).unwrap_err();
//! assert_eq!(
//!     refused.to_string(),
//!     "the new trusted set is empty; the present one stays. Force it if that is meant",
//! );
//! assert_eq!(reload.force(&TrustedProxies::none())?, 2);
//! # Ok::<(), proxyfix::Error>(())
//! ```

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::request::Parts;
use proxyfix_policy::lint::{Code, Finding, Severity};
use proxyfix_policy::{Error, Peer, Policy, TrustedProxies};

use crate::fix::fix_is_a_layer;
use crate::ranges::read_file;
use crate::{Connection, Fix, ProxyFix};

/// A [`ProxyFix`] whose policy can be replaced while requests run.
///
/// The request path takes no lock: each request is judged by the policy that stood when it came, to its
/// end, and says which one it was ([`Origin::generation`](proxyfix_policy::Origin::generation)). Replacing is for the
/// [`Reload`] handle.
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct Reloadable {
    current: Arc<ArcSwap<ProxyFix>>,
}

impl Reloadable {
    /// The fix, and the handle that replaces its policy.
    pub fn new(fix: ProxyFix) -> (Self, Reload) {
        let current = Arc::new(ArcSwap::from_pointee(fix));
        let reload = Reload { current: Arc::clone(&current), writing: Arc::default() };
        (Self { current }, reload)
    }
}

impl Fix for Reloadable {
    fn fix(&self, parts: &mut Parts) {
        self.current.load().fix(parts);
    }

    fn fix_from(&self, connection: Connection, parts: &mut Parts) -> Option<Peer> {
        self.current.load().fix_from(connection, parts)
    }
}

fix_is_a_layer!(Reloadable);

impl fmt::Debug for Reloadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reloadable").field(&self.current.load()).finish()
    }
}

/// Replaces the policy of a [`Reloadable`]. Clones replace the same one.
///
/// Each replacement has the next generation, from 1. What is refused changes nothing: the last good policy
/// goes on. Refused as a likely mistake, unless forced:
///
/// | new set | why |
/// | --- | --- |
/// | empty, where the present one is not | a file that was not written yet, a query that failed |
/// | fewer than half as many networks, of four or more | a file that was cut off |
/// | no IPv4 (or no IPv6) network, where the present one has some | half of a provider's list |
/// | no local sockets, where the present one has them | |
/// | an [error](crate::lint::Severity::Error) of the lint that the present one does not have, or every peer | `64.0.0.0/2`, cut off from `64.0.0.0/24` |
/// | a hop of the present topology is missing | |
#[derive(Clone)]
pub struct Reload {
    current: Arc<ArcSwap<ProxyFix>>,
    /// One replacement at a time; requests never take it.
    writing: Arc<Mutex<()>>,
}

impl Reload {
    /// Replaces the trusted set; the declared number of hops and all else stays as it is. Answers the new
    /// generation. A set that is the present one is no replacement.
    pub fn replace(&self, trusted: &TrustedProxies) -> Result<u64, Error> {
        self.exchange(Careful::Yes, |policy| policy.with_trusted(trusted))
    }

    /// [Replaces](Self::replace) the trusted set, however small the new one is.
    pub fn force(&self, trusted: &TrustedProxies) -> Result<u64, Error> {
        self.exchange(Careful::No, |policy| policy.with_trusted(trusted))
    }

    /// Replaces the whole policy, as [`replace`](Self::replace) does; of named hops, each set is compared
    /// with that of the hop of the same name. What the fix asks for as a [proof](crate::Proof) stays.
    pub fn replace_policy(&self, policy: &Policy) -> Result<u64, Error> {
        self.exchange(Careful::Yes, |_| Ok(policy.clone()))
    }

    /// Replaces the whole policy, however small its sets are.
    pub fn force_policy(&self, policy: &Policy) -> Result<u64, Error> {
        self.exchange(Careful::No, |_| Ok(policy.clone()))
    }

    /// The policy that judges now.
    pub fn policy(&self) -> Policy {
        self.current.load().policy().clone()
    }

    fn exchange(
        &self,
        careful: Careful,
        change: impl FnOnce(&Policy) -> Result<Policy, Error>,
    ) -> Result<u64, Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.current.load_full();
        let replaced = (|| {
            let changed = change(present.policy())?.with_generation(present.policy().generation());
            if changed.clone().with_gate(present.policy().gate()) == *present.policy() {
                return Ok(None);
            }
            if careful == Careful::Yes {
                check_mistakes(present.policy(), &changed)?;
            }
            let generation = changed.generation() + 1;
            Ok(Some((generation, present.with_policy(changed.with_generation(generation))?)))
        })();
        match replaced {
            Ok(None) => Ok(present.policy().generation()),
            Ok(Some((generation, fix))) => {
                self.current.store(Arc::new(fix));
                tracing::info!(event = "reload.replaced", generation);
                Ok(generation)
            }
            Err(error) => {
                tracing::warn!(event = "reload.refused", reason = %error);
                Err(error)
            }
        }
    }

    /// Reads the trusted set from a file now, and again whenever its contents change, until the
    /// [`Watch`] is dropped.
    ///
    /// The file has the text form of [`TrustedProxies`], an entry a line or several with commas between;
    /// empty lines and what follows a `#` are ignored. It is read every `interval` by a thread of its
    /// own and compared with what it held before, so that it may be replaced by renaming, and be a link, as
    /// the files of a Kubernetes `ConfigMap` are. A file that cannot be read, or that does not parse, or is
    /// refused as [above](Self) leaves the last good set, and is reported as the event `reload.refused`.
    ///
    /// The error is what is wrong with the file as it stands now.
    pub fn watch_file(&self, path: impl Into<PathBuf>, interval: Duration) -> Result<Watch, Error> {
        self.watch_file_with(path, interval, |octets| {
            let text = std::str::from_utf8(octets).map_err(|_| Error::refused("it is not UTF-8"))?;
            TrustedProxies::from_lines(text)
        })
    }

    /// The same of a file of another form, such as the one in which a provider publishes its networks:
    /// `read` makes the set of its octets.
    pub fn watch_file_with(
        &self,
        path: impl Into<PathBuf>,
        interval: Duration,
        read: impl Fn(&[u8]) -> Result<TrustedProxies, Error> + Send + 'static,
    ) -> Result<Watch, Error> {
        let path = path.into();
        let named = |error: &dyn fmt::Display| Error::refused(&format!("{}: {error}", path.display()));
        let mut last = read_file(&path).map_err(|error| named(&error))?;
        read(&last).and_then(|trusted| self.replace(&trusted)).map_err(|error| named(&error))?;

        let (stop, stopped) = mpsc::channel::<()>();
        let active = Arc::new(Mutex::new(true));
        let watched = Arc::clone(&active);
        let reload = self.clone();
        let watch = move || {
            let mut failed = None;
            while stopped.recv_timeout(at_least(interval)) == Err(RecvTimeoutError::Timeout) {
                let problem = match read_file(&path) {
                    Ok(octets) if octets == last => None,
                    Ok(octets) => {
                        last = octets;
                        failed = None;
                        // Whoever panics here must not end the watching.
                        let read = catch_unwind(AssertUnwindSafe(|| read(&last)));
                        match read.unwrap_or_else(|_| Err(Error::refused("reading it panicked"))) {
                            Ok(trusted) => {
                                let active = watched.lock().unwrap_or_else(PoisonError::into_inner);
                                if *active {
                                    // A replacement that is refused is reported where it is.
                                    let _ = reload.replace(&trusted);
                                }
                                None
                            }
                            Err(error) => Some(error.to_string()),
                        }
                    }
                    Err(error) => Some(error.to_string()).filter(|error| failed.as_ref() != Some(error)),
                };
                if let Some(problem) = problem {
                    tracing::warn!(event = "reload.refused", file = %path.display(), reason = problem);
                    failed = Some(problem);
                }
            }
        };
        thread::Builder::new()
            .name("proxyfix-watch".into())
            .spawn(watch)
            .map_err(|error| Error::refused(&format!("no thread to watch a file: {error}")))?;
        Ok(Watch { stop: Some(stop), active })
    }

    /// Asks `source` for the trusted set every `interval`, off the request path, for as long as the future
    /// that this returns is polled: spawn it.
    ///
    /// For addresses that an API or the DNS knows. Whoever answers for a name is trusted then; the set
    /// should come from where you would also take your code from. An answer that fails, or is refused as
    /// [above](Self), leaves the last good set, and is reported as the event `reload.refused`. An answer is
    /// waited for as long as it takes: put a time limit into `source`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), proxyfix::Error> {
    /// use std::time::Duration;
    ///
    /// use proxyfix::{ProxyFix, Reloadable, TrustedProxies};
    ///
    /// let (fix, reload) = Reloadable::new(ProxyFix::new("10.0.0.0/28".parse::<TrustedProxies>()?));
    /// tokio::spawn(reload.refresh(Duration::from_secs(60), || async {
    ///     let addresses = tokio::net::lookup_host("balancer.internal:0").await?;
    ///     let addresses = addresses.map(|address| address.ip().to_string());
    ///     Ok(TrustedProxies::from_entries(addresses.collect::<Vec<_>>())?)
    /// }));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn refresh<S, A>(&self, interval: Duration, mut source: S) -> impl Future<Output = ()> + use<S, A>
    where
        S: FnMut() -> A,
        A: Future<Output = Result<TrustedProxies, Box<dyn std::error::Error + Send + Sync>>>,
    {
        let reload = self.clone();
        async move {
            loop {
                match source().await {
                    // A replacement that is refused is reported where it is.
                    Ok(trusted) => drop(reload.replace(&trusted)),
                    Err(error) => tracing::warn!(event = "reload.refused", reason = %error),
                }
                tokio::time::sleep(at_least(interval)).await;
            }
        }
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("generation", &self.policy().generation()).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Careful {
    Yes,
    No,
}

/// A file is not read without pause.
fn at_least(interval: Duration) -> Duration {
    interval.max(Duration::from_millis(1))
}

fn check_mistakes(present: &Policy, new: &Policy) -> Result<(), Error> {
    let refuse = |what: String| {
        Err(Error::refused(&format!("{what}; the present one stays. Force it if that is meant")))
    };
    let known: Vec<Code> = present.lint().iter().map(Finding::code).collect();
    for finding in new.lint() {
        let grave = finding.severity() == Severity::Error || finding.code() == Code::TrustAny;
        if grave && !known.contains(&finding.code()) {
            return refuse(format!("the new policy is not taken: {finding}"));
        }
    }
    for (name, before) in present.sets() {
        let Some((_, after)) = new.sets().find(|(other, _)| *other == name) else {
            return refuse(match name {
                Some(name) => format!("the new policy has no hop {name:?}"),
                None => "the new policy has named hops, the present one a trusted set".to_owned(),
            });
        };
        let whose = name.map_or(String::new(), |name| format!(" of {name:?}"));
        let refuse = |what: String| refuse(format!("the new trusted set{whose} {what}"));
        if before.trusts_nobody() || after.trusts_every_peer() {
            continue;
        }
        if after.trusts_nobody() {
            return refuse("is empty".to_owned());
        }
        let ((old_v4, old_v6), (new_v4, new_v6)) = (before.network_counts(), after.network_counts());
        if new_v4 + new_v6 < (old_v4 + old_v6).div_ceil(2) && old_v4 + old_v6 >= 4 {
            return refuse(format!("has {} networks, the present one {}", new_v4 + new_v6, old_v4 + old_v6));
        }
        for (what, old, new) in [("IPv4", old_v4, new_v4), ("IPv6", old_v6, new_v6)] {
            if old > 0 && new == 0 {
                return refuse(format!("has no {what} network, the present one {old}"));
            }
        }
        if before.trusts_local_sockets() && !after.trusts_local_sockets() {
            return refuse("has no local sockets, the present one has".to_owned());
        }
    }
    Ok(())
}

/// A file that is watched, until this is dropped.
#[derive(Debug)]
#[must_use = "the file is watched until this is dropped"]
pub struct Watch {
    stop: Option<mpsc::Sender<()>>,
    active: Arc<Mutex<bool>>,
}

impl Watch {
    /// Watches for as long as the process runs.
    pub fn forever(mut self) {
        // A sender that is never dropped never stops the thread.
        std::mem::forget(self.stop.take());
    }
}

/// Nothing is replaced after this; a read that goes on is not waited for.
impl Drop for Watch {
    fn drop(&mut self) {
        if self.stop.take().is_some() {
            *self.active.lock().unwrap_or_else(PoisonError::into_inner) = false;
        }
    }
}
