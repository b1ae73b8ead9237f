//! Memory: a heap of pages, cut into blocks by powers of two.

use crate::sync::Mutex;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;

const PAGE: usize = 65536;

/// How much the memory grows by at least.
const STEP: usize = 16 * PAGE;

struct Heap(Mutex<Blocks>);

struct Blocks {
    /// The first free block of each size; the next one is written in it.
    free: [usize; usize::BITS as usize],
    next: usize,
    end: usize,
}

#[global_allocator]
static HEAP: Heap = Heap(Mutex::new(Blocks { free: [0; usize::BITS as usize], next: 0, end: 0 }));

/// A block is aligned to its size, up to a page.
fn size_of_block(layout: Layout) -> usize {
    layout.size().max(layout.align()).max(16).next_power_of_two()
}

unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = size_of_block(layout);
        let mut blocks = self.0.lock();
        let class = size.trailing_zeros() as usize;
        let first = blocks.free[class];
        if first != 0 {
            // SAFETY: a free block holds the address of the next one.
            blocks.free[class] = unsafe { *(first as *const usize) };
            return first as *mut u8;
        }
        blocks.cut(size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let class = size_of_block(layout).trailing_zeros() as usize;
        let mut blocks = self.0.lock();
        // SAFETY: it is free, and at least 16 bytes.
        unsafe { *block.cast::<usize>() = blocks.free[class] };
        blocks.free[class] = block as usize;
    }
}

impl Blocks {
    fn cut(&mut self, size: usize) -> *mut u8 {
        let align = size.min(PAGE);
        let mut begin = self.next.next_multiple_of(align);
        if begin + size > self.end {
            let pages = size.max(STEP).div_ceil(PAGE);
            let grown = core::arch::wasm32::memory_grow::<0>(pages);
            if grown == usize::MAX {
                return null_mut();
            }
            // No other thread makes it grow.
            (begin, self.end) = (grown * PAGE, (grown + pages) * PAGE);
        }
        self.next = begin + size;
        begin as *mut u8
    }
}

/// What the compiler calls where it compares bytes, and a C library would have. To copy
/// and to fill are instructions.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: both have as many bytes, says the caller.
        let (left, right) = unsafe { (*left.add(at), *right.add(at)) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}
