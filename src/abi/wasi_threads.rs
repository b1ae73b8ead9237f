//! `wasi`: the one function of wasi-threads.

/// Written by hand: the generator cannot express "a number, or a negative errno".
pub(crate) mod bindings {
    /// Threads.
    pub(crate) mod wasi {
        use wiggle::GuestMemory;

        use crate::abi::call::Call;
        use crate::abi::errno::number;
        use crate::error::Errno;
        use crate::process::EntryPoint;

        /// Starts a thread, which begins in `wasi_thread_start` with its number and
        /// `start_arg`.
        ///
        /// "returns a unique TID ... or a negative number in case of an error"
        /// - wasi-threads
        #[expect(clippy::unnecessary_wraps, reason = "as the generated functions are")]
        pub(crate) fn thread_spawn(
            call: &mut Call<'_>,
            _: &mut GuestMemory<'_>,
            start_arg: i32,
        ) -> wasmtime::Result<i32> {
            let started = call.spawn(EntryPoint::Wasi(start_arg.cast_unsigned()), |_| Ok::<_, Errno>(()));
            Ok(match started {
                Ok(tid) => tid.cast_signed(),
                Err(errno) => -number(errno),
            })
        }
    }
}

use super::detect::Dialect;
use super::dialect::{Definition, by_name};
use crate::process::Personality;

/// The import module of wasi-threads.
pub(crate) const MODULE: &str = "wasi";

/// Beside others: no program speaks it alone.
pub(crate) const DIALECT: Definition = Definition {
    dialect: Dialect::new(MODULE, "wasi-threads"),
    generation: |_| None,
    modules: &[MODULE],
    adds_to: &[],
    sign: |_| None,
    hint: |_| None,
    function: by_name,
    personality: |_| Personality::PREVIEW1,
};
