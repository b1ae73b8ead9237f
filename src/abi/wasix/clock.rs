//! Setting a clock: refused, it is the host's.

use wiggle::GuestMemory;

use super::bindings::wasix_clock::WasixClock;
use crate::abi::call::Call;
use crate::error::{Errno, Error};

impl WasixClock for Call<'_> {
    fn clock_time_set(&mut self, _: &mut GuestMemory<'_>, _id: u32, _time: u64) -> Result<(), Error> {
        // "EPERM: The requesting process does not have appropriate privileges to set
        // the specified clock." - clock_settime(3p)
        Err(Errno::EPERM.into())
    }
}
