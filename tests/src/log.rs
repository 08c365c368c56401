//! What is logged.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::{Level, Subscriber};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What collects into this log.
    fn collector(&self, level: Level) -> impl Subscriber + Send + Sync + use<> {
        let log = self.clone();
        let collector = tracing_subscriber::fmt().with_writer(move || log.clone());
        collector.with_ansi(false).with_max_level(level).finish()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What this thread logs at `level` while `work` runs.
pub fn logged_at(level: Level, work: impl FnOnce()) -> String {
    let log = Log::default();
    tracing::subscriber::with_default(log.collector(level), work);
    log.text()
}

/// What this thread logs at `level` until `work` is done, which must not leave it.
pub async fn logged_during(level: Level, work: impl Future) -> String {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.collector(level));
    work.await;
    drop(guard);
    log.text()
}
