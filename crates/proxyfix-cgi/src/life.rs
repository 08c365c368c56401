//! When a gateway ends.

use tokio::sync::watch;

/// Whether the process was told to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A switch, and what sees it.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether it was.
    pub(crate) fn is_set(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }

    /// Waits until it is.
    pub(crate) async fn wait(mut self) {
        // Whoever drops the switch does not stop anything.
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
