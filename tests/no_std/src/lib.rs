//! A program without the standard library that asks the policy.
//!
//! It has a panic handler of its own. The standard library has one, too, and a program can have only one: as soon
//! as anything that this depends on uses std, it does not compile ("duplicate lang item `panic_impl`"). It is
//! linked, and never run.

#![no_std]

extern crate alloc;

use alloc::string::{String, ToString as _};
use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use proxyfix_policy::{Error, Policy, Received, TrustedProxies};

/// Who sent a request that `peer` delivered with this `X-Forwarded-For`, as a sentence.
fn explained(peer: &str, forwarded_for: &[u8]) -> Result<String, Error> {
    let policy = Policy::new("10.0.0.0/8".parse::<TrustedProxies>()?);
    let headers: &[(&str, &[u8])] = &[("x-forwarded-for", forwarded_for)];
    let origin = policy.decide(peer.parse()?, Received::default(), headers);
    Ok(origin.to_string())
}

/// Where a C program would enter.
#[unsafe(no_mangle)]
pub extern "C" fn asked() -> usize {
    explained("10.0.0.2", b"198.51.100.7, 203.0.113.9").map_or(0, |sentence| sentence.len())
}

/// Memory that is always used up: enough to be linked.
struct NoMemory;

// SAFETY: a null pointer says that there is no memory, and none is ever given back.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
