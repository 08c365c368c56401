//! An allocator that counts.
//!
//! It is the system's, with two instructions added to an allocation: counts of instructions are the
//! same with it, so that one program counts both. The crate allocation-counter takes a hundred, and
//! makes an allocation, a copy and a release of each reallocation.

#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static REALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with counts.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

/// What was allocated since the program began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// How often memory was asked for.
    pub allocations: u64,
    /// How often it was asked to grow or shrink.
    pub reallocations: u64,
    /// How much was asked for; a reallocation asks for its new size.
    pub bytes: u64,
}

/// What was allocated so far, where [`Counting`] is the allocator of the program.
pub fn so_far() -> Allocated {
    Allocated {
        allocations: ALLOCATIONS.load(Relaxed),
        reallocations: REALLOCATIONS.load(Relaxed),
        bytes: BYTES.load(Relaxed),
    }
}

/// Notes a request for `size` bytes.
fn note(kind: &AtomicU64, size: usize) {
    kind.fetch_add(1, Relaxed);
    BYTES.fetch_add(size as u64, Relaxed);
}

// SAFETY: all of it is the system's allocator, called with what it was called with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(&ALLOCATIONS, layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(&ALLOCATIONS, layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(&REALLOCATIONS, size);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}
