//! What both parts have of the canonical ABI.

/// A list of bytes.
#[repr(C)]
pub struct List {
    pub data: *mut u8,
    pub length: usize,
}

impl List {
    pub const EMPTY: Self = Self { data: std::ptr::null_mut(), length: 0 };

    /// One that is allocated until [`into_bytes`](Self::into_bytes) is called.
    pub fn of(bytes: Vec<u8>) -> Self {
        let bytes = Box::leak(bytes.into_boxed_slice());
        Self { data: bytes.as_mut_ptr(), length: bytes.len() }
    }

    /// Its bytes, which are the caller's then.
    ///
    /// # Safety
    ///
    /// It is of [`of`](Self::of), or of `cabi_realloc`, which has as many bytes as it is long.
    pub unsafe fn into_bytes(self) -> Vec<u8> {
        if self.length == 0 {
            return Vec::new();
        }
        // SAFETY: as above.
        unsafe { Vec::from_raw_parts(self.data, self.length, self.length) }
    }
}
