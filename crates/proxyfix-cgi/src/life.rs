//! When a gateway ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::Error;

/// What connections have to know of the process: whether it was told to stop, and whether they are too many.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    told: watch::Receiver<bool>,
    crowded: Arc<AtomicBool>,
}

impl Stop {
    /// A switch, and what sees it.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, told) = watch::channel(false);
        (sender, Self { told, crowded: Arc::default() })
    }

    /// Whether it was.
    pub(crate) fn is_set(&self) -> bool {
        self.told.has_changed().unwrap_or(false)
    }

    /// Says whether the last one to connect found no room.
    pub(crate) fn set_crowded(&self, crowded: bool) {
        self.crowded.store(crowded, Ordering::Relaxed);
    }

    /// Whether no connection is to be kept, so that there is room for others.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    /// Waits until it is.
    pub(crate) async fn wait(mut self) {
        // Whoever drops the switch does not stop anything.
        if self.told.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What a gateway serves until, where it is not a signal.
pub(crate) type Until = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What tells a gateway to stop.
pub(crate) enum End {
    Signals(Vec<Signal>),
    Until(Until),
    /// What had to come came.
    Over,
}

impl End {
    /// SIGTERM, SIGINT and SIGUSR1. `hangup`: SIGHUP is for the others, which outlive a terminal.
    pub(crate) fn signals(ignore_hangup: bool) -> Result<Self, Error> {
        let handle = |kind| signal(kind).map_err(|it| Error::io("signals cannot be handled", it));
        if ignore_hangup {
            // The handler stays when this is dropped, and does nothing.
            let _ = handle(SignalKind::hangup())?;
        }
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::user_defined1()];
        kinds.into_iter().map(handle).collect::<Result<_, _>>().map(Self::Signals)
    }

    /// Waits until the gateway is told to stop; then, until it is told so again.
    pub(crate) async fn wait(&mut self) {
        poll_fn(|cx| match self {
            Self::Signals(signals) => {
                let mut came = false;
                for signal in signals {
                    came |= signal.poll_recv(cx).is_ready();
                }
                if came { Poll::Ready(()) } else { Poll::Pending }
            }
            Self::Until(end) => end.as_mut().poll(cx),
            Self::Over => Poll::Pending,
        })
        .await;
        if let Self::Until(_) = self {
            *self = Self::Over;
        }
    }
}
