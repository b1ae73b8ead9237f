//! The sockets of this process's own, which no guest of it reaches: those of `--admin`, and the service
//! manager's.
//!
//! They are noted for the process, and every builder of a guest gets them, that of a reload too.

use std::fs::{self, Metadata};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};
use wasock::WasockCtxBuilder;

/// What is reserved in this process.
static RESERVED: Mutex<Reserved> = Mutex::new(Reserved { addresses: Vec::new(), files: Vec::new() });

struct Reserved {
    addresses: Vec<SocketAddr>,
    files: Vec<Metadata>,
}

fn reserved() -> MutexGuard<'static, Reserved> {
    // Whole whenever the lock is free.
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn reserve_address(address: SocketAddr) {
    reserved().addresses.push(address);
}

/// Reserves the socket with this path.
///
/// # Errors
///
/// Where there is none.
pub(crate) fn reserve_in(path: &Path) -> io::Result<()> {
    let file = fs::metadata(path)?;
    reserved().files.push(file);
    Ok(())
}

/// Keeps the guests of `builder` from what is reserved.
pub(crate) fn reserve(builder: WasockCtxBuilder) -> WasockCtxBuilder {
    let reserved = reserved();
    let builder = reserved.addresses.iter().fold(builder, |builder, it| builder.reserve_address(*it));
    reserved.files.iter().fold(builder, WasockCtxBuilder::reserve_file)
}

/// How many descriptors are kept for operators: for each of their connections, for what a look at the
/// service opens for a moment, and for what a reload does.
const DESCRIPTORS: u64 = 64;

/// Keeps the guests of `builder` from the descriptors without which operators are not answered; of few that is a
/// quarter.
pub(crate) fn reserve_descriptors(builder: WasockCtxBuilder) -> WasockCtxBuilder {
    let all = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    builder.reserve_descriptors(u32::try_from((all / 4).min(DESCRIPTORS)).unwrap_or_default())
}
