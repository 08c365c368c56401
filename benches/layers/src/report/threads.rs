//! One policy under many threads, and a policy that is replaced meanwhile.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use proxyfix::{Fix, ProxyFix, Reloadable, TrustedProxies};
use proxyfix_axum::ConnectInfoFix;
use proxyfix_bench_layers::inputs;

use crate::median;

/// How many threads share the policy.
pub(crate) const THREADS: u32 = 8;

/// The time between two replacements.
const REPLACED_EVERY: Duration = Duration::from_millis(1);

/// Processor time of a decision, as ratios of the same round.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    pub(crate) rounds: usize,
    /// Nanoseconds of a decision by one thread.
    pub(crate) alone: f64,
    /// Eight threads at once, to one thread that does the work of eight.
    pub(crate) shared: Vec<f64>,
    /// Eight threads over a policy that may be replaced and is not, to eight over one that may not.
    pub(crate) reloadable: Vec<f64>,
    /// The same while it is replaced, to eight threads over one that is not.
    pub(crate) replaced: Vec<f64>,
    /// How often it was, in a second.
    pub(crate) replacements: f64,
}

pub(crate) fn measure(quick: bool) -> Threads {
    let (rounds, decisions) = if quick { (3, 5_000) } else { (15, 60_000) };
    let fix = || ProxyFix::new(inputs::TRUSTED.join(", ").parse::<TrustedProxies>().expect("networks"));
    let fixed = ConnectInfoFix(fix());
    let (reloadable, reload) = Reloadable::new(fix());
    let reloadable = ConnectInfoFix(reloadable);
    let sets: [TrustedProxies; 2] =
        [inputs::TRUSTED.join(", "), format!("{}, 198.18.0.0/15", inputs::TRUSTED.join(", "))]
            .map(|text| text.parse().expect("networks"));
    let mut threads = Threads {
        rounds,
        alone: f64::NAN,
        shared: Vec::new(),
        reloadable: Vec::new(),
        replaced: Vec::new(),
        replacements: f64::NAN,
    };
    let (mut alone, mut rates) = (Vec::new(), Vec::new());
    // The first round warms up.
    for round in 0..=rounds {
        // What is measured first changes from round to round.
        let mut taken = [0.0; 4];
        for turn in 0..4 {
            let which = (turn + round) % 4;
            taken[which] = match which {
                0 => work(&fixed, decisions * THREADS),
                1 => at_once(&fixed, decisions),
                2 => at_once(&reloadable, decisions),
                _ => {
                    let (ended, count) = (AtomicBool::new(false), AtomicU64::new(0));
                    let start = Instant::now();
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            for (number, set) in (1..).zip(sets.iter().cycle()) {
                                if ended.load(Ordering::Relaxed) {
                                    break;
                                }
                                reload.force(set).expect("a set that builds");
                                count.fetch_add(1, Ordering::Relaxed);
                                // Who comes late has to catch up.
                                thread::sleep((REPLACED_EVERY * number).saturating_sub(start.elapsed()));
                            }
                        });
                        let taken = at_once(&reloadable, decisions);
                        ended.store(true, Ordering::Relaxed);
                        #[expect(clippy::cast_precision_loss, reason = "a small count")]
                        rates.push(count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64());
                        taken
                    })
                }
            };
        }
        if round > 0 {
            let [one, shared, idle, replaced] = taken;
            alone.push(one);
            threads.shared.push(shared / one);
            threads.reloadable.push(idle / shared);
            threads.replaced.push(replaced / shared);
        }
    }
    threads.alone = median(&alone);
    threads.replacements = median(&rates);
    threads
}

/// What a decision takes of processor time, where eight threads decide over the same fix.
fn at_once(fix: &(impl Fix + Sync), decisions: u32) -> f64 {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| work(fix, decisions))).collect();
        let taken = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        taken.sum::<f64>() / f64::from(THREADS)
    })
}

/// Nanoseconds of processor time that a decision takes, in this thread; without the copy of the request.
fn work(fix: &impl Fix, decisions: u32) -> f64 {
    const BATCH: u32 = 100;
    // Of its own, so that nothing but the policy is shared.
    let request = inputs::named("proxy-three").request();
    let mut taken = 0;
    for _ in 0..decisions.div_ceil(BATCH) {
        let mut heads: Vec<_> = (0..BATCH).map(|_| request.clone().into_parts().0).collect();
        let start = processor_time();
        for head in &mut heads {
            fix.fix(black_box(head));
        }
        taken += processor_time() - start;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number of nanoseconds")]
    let taken = taken as f64;
    taken / f64::from(decisions.div_ceil(BATCH) * BATCH)
}

fn processor_time() -> i64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| time.num_nanoseconds())
}
