//! Requests without a pause, and what became of each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::application::record_of;
use crate::exact::{Reply, get};
use crate::process::pause;
use crate::web::Place;
use crate::within;

/// Clients that send one request after the other, each on a new connection.
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<Vec<Outcome>>,
    answered: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Outcome {
    id: String,
    reply: std::io::Result<Reply>,
}

/// How many ask at a time.
const CLIENTS: usize = 32;

impl Load {
    /// Begins to ask.
    pub fn on(server: SocketAddr, mount: &str) -> Self {
        Self::of(CLIENTS, server, mount)
    }

    /// Begins to ask with so many clients.
    pub fn of(count: usize, server: SocketAddr, mount: &str) -> Self {
        let (answered, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        for client in 0..count {
            let (answered, over, mount) = (answered.clone(), over.clone(), mount.to_owned());
            clients.spawn(async move {
                let mut outcomes = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let id = format!("{client}-{}", outcomes.len());
                    let reply = get(server, &format!("{mount}/recorded/{id}")).await;
                    let outcome = Outcome { id, reply };
                    if outcome.is_right() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        pause().await;
                    }
                    outcomes.push(outcome);
                }
                outcomes
            });
        }
        Self { clients, answered, over }
    }

    /// Waits until a hundred more were answered.
    pub async fn goes_on(&self) {
        let enough = self.answered.load(Ordering::Relaxed) + 100;
        within("a hundred more answers", async {
            while self.answered.load(Ordering::Relaxed) < enough {
                pause().await;
            }
        })
        .await;
    }

    /// Asks no more, and says what was not answered. Asserts that every request that reached the
    /// application was answered rightly and whole.
    pub async fn ends(mut self, place: &Place) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        let mut lost = Vec::new();
        let recorded = place.recorded();
        while let Some(outcomes) = self.clients.join_next().await {
            for outcome in outcomes.expect("a client that goes on").into_iter().filter(|it| !it.is_right()) {
                let kind = match &outcome.reply {
                    Ok(Reply { head, body, whole }) => {
                        let whole = if *whole { "whole" } else { "cut" };
                        format!("{} {} {whole}, {:?}", outcome.id, head.status, String::from_utf8_lossy(body))
                    }
                    Err(error) => format!("{} {error}", outcome.id),
                };
                let lists = [Some(&mut failed), recorded.contains(&outcome.id).then_some(&mut lost)];
                lists.into_iter().flatten().for_each(|list| list.push(kind.clone()));
            }
        }
        assert!(lost.is_empty(), "{} requests were begun and not answered: {lost:?}", lost.len());
        failed
    }
}

impl Outcome {
    fn is_right(&self) -> bool {
        let right = |reply: &Reply| {
            reply.whole && reply.head.status == 200 && reply.body == record_of(&self.id).concat().as_bytes()
        };
        self.reply.as_ref().is_ok_and(right)
    }
}
