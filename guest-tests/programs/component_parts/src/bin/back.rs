//! Has the answers: each line in capital letters. One that says `trap` is the end of all.

use std::alloc::{Layout, alloc, realloc};

use component_parts::List;

/// What it has returned, until the caller has copied it.
static mut RETURNED: List = List::EMPTY;

/// # Safety
///
/// The list is allocated by `cabi_realloc`, and this program's.
#[unsafe(export_name = "wasock:parts/answers@0.1.0#answer")]
unsafe extern "C" fn answer(data: *mut u8, length: usize) -> *const List {
    // SAFETY: as above.
    let request = unsafe { List { data, length }.into_bytes() };
    if request.starts_with(b"trap") {
        std::process::abort();
    }
    // SAFETY: there is one thread.
    unsafe {
        RETURNED = List::of(request.to_ascii_uppercase());
        &raw const RETURNED
    }
}

/// # Safety
///
/// It is called once for each answer, with what that returned.
#[unsafe(export_name = "cabi_post_wasock:parts/answers@0.1.0#answer")]
unsafe extern "C" fn answered(returned: *const List) {
    // SAFETY: as above.
    drop(unsafe { returned.read().into_bytes() });
}

/// # Safety
///
/// As for `realloc`: what it is given it has returned before, or there is nothing of it yet.
#[unsafe(export_name = "cabi_realloc")]
unsafe extern "C" fn allocate(old: *mut u8, old_length: usize, align: usize, length: usize) -> *mut u8 {
    if length == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    let layout = |length| Layout::from_size_align(length, align).expect("it is small");
    // SAFETY: as above.
    let allocated = unsafe {
        match old_length {
            0 => alloc(layout(length)),
            _ => realloc(old, layout(old_length), length),
        }
    };
    assert!(!allocated.is_null(), "there is no memory");
    allocated
}

/// Nobody calls it: it is no program of its own.
fn main() {}
