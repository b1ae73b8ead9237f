//! The socket at which operators are answered.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::AdminAddress;

/// How many operators may wait: those of a flood that renew themselves have room beside one who means it.
const BACKLOG: i32 = 1024;

/// It listens, and takes no connection yet.
pub(super) enum AdminListener {
    Unix(UnixListener, OwnName),
    Inet(TcpListener),
}

/// The name of a socket of this process's, which goes with it.
#[derive(Debug)]
pub(crate) struct OwnName {
    path: PathBuf,
    /// Its device and its number there.
    file: (u64, u64),
}

impl OwnName {
    /// That of the file that is at `path` now.
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), file: (file.dev(), file.ino()) })
    }
}

impl Drop for OwnName {
    fn drop(&mut self) {
        // Not what another host has put there since.
        if fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.file) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

impl AdminListener {
    /// # Errors
    ///
    /// Where another host answers there, or the system refuses.
    pub(super) fn bind(at: &AdminAddress) -> Result<Self> {
        let listener = match at {
            AdminAddress::Inet(address) => listen_at_address(*address).map_err(Into::into).map(Self::Inet),
            AdminAddress::Unix(path) => bind_path(path).map(|(listener, name)| Self::Unix(listener, name)),
        };
        listener.with_context(|| format!("cannot answer operators at {at} (--admin)"))
    }

    /// Where it is: with the port that the system chose.
    pub(super) fn address(&self) -> io::Result<AdminAddress> {
        Ok(match self {
            Self::Unix(_, name) => AdminAddress::Unix(name.path.clone()),
            Self::Inet(listener) => AdminAddress::Inet(listener.local_addr()?),
        })
    }
}

/// Listens at `path` for whoever may, as the mask of this process says, in the place of a socket whose
/// host is gone.
///
/// # Errors
///
/// Where another host answers there, or the system refuses.
pub(crate) fn listen_at_path(path: &Path) -> Result<(UnixListener, OwnName)> {
    let _lock = alone_at(path)?;
    // Nobody answers there, and nobody else looks.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    Ok((listener, OwnName::of(path)?))
}

/// Finds that nothing is at `path`, or a socket whose host is gone, and keeps other hosts from the directory
/// as long as the result lives.
///
/// # Errors
///
/// Where that is not so.
fn alone_at(path: &Path) -> Result<OwnedFd> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Of two hosts that start at once one looks after the other. It leaves no file behind.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let lock = rustix::fs::open(folder, flags, Mode::empty())
        .with_context(|| format!("the directory {}", folder.display()))?;
    wait_for(&lock);
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => bail!("there is a file, which is no socket"),
        Ok(_) => match connect(path) {
            Ok(()) => bail!("another host answers there"),
            Err(Errno::CONNREFUSED) => {}
            Err(Errno::AGAIN) => bail!("another program listens there, and its queue is full"),
            Err(error) => return Err(error).context("the socket that is there"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    Ok(lock)
}

/// Listens at `path`, for this user alone, in the place of a socket whose host is gone.
fn bind_path(path: &Path) -> Result<(UnixListener, OwnName)> {
    let _lock = alone_at(path)?;
    let first = first_name(path)?;
    let made = listen_at(&first).and_then(|listener| {
        let mut name = OwnName::of(&first)?;
        // It takes the place of one whose host is gone, at once.
        fs::rename(&first, path)?;
        path.clone_into(&mut name.path);
        Ok((listener, name))
    });
    if made.is_err() {
        let _gone = fs::remove_file(&first);
    }
    Ok(made?)
}

/// Does anybody listen there? It does not wait for a place in the queue.
fn connect(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Takes the lock of a directory; not for ever, for programs that start no host may hold it.
fn wait_for(lock: &OwnedFd) {
    for _ in 0..100 {
        if rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    tracing::warn!("another program holds a lock on the directory of the admin socket: it is not waited for");
}

/// The name that the socket has until only this user can connect to it.
fn first_name(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().context("the name of the socket is missing")?.to_string_lossy();
    Ok(path.with_file_name(format!(".{name}.{}", std::process::id())))
}

fn listen_at(path: &Path) -> io::Result<UnixListener> {
    let _left_over = fs::remove_file(path);
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // No connection comes before it listens.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn listen_at_address(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // It listens already; only the length of the queue changes.
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_is_for_this_user_alone_and_goes() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("admin.sock");
        let (listener, name) = bind_path(&path)?;
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        assert_eq!(name.path, path);
        drop((listener, name));
        assert!(fs::read_dir(folder.path())?.next().is_none());
        Ok(())
    }

    #[test]
    fn a_stale_socket_is_taken_over_and_one_that_lives_is_not() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path)?);
        let first = bind_path(&path)?;
        assert!(bind_path(&path).is_err_and(|error| error.to_string().contains("another host")));
        // The one that lives keeps its name.
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
        fs::write(&path, "text")?;
        assert!(bind_path(&path).is_err_and(|error| error.to_string().contains("no socket")));
        Ok(())
    }

    #[test]
    fn a_full_queue_of_another_program_is_not_waited_for() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("admin.sock");
        let listener = listen_at(&path)?;
        rustix::net::listen(&listener, 0)?;
        let mut waiting = Vec::new();
        // One more than the queue holds.
        while waiting.len() < 100 {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            if rustix::net::connect(&socket, &SocketAddrUnix::new(&path)?) == Err(Errno::AGAIN) {
                break;
            }
            waiting.push(socket);
        }
        assert!(bind_path(&path).is_err_and(|error| error.to_string().contains("queue is full")));
        Ok(())
    }

    /// The one that comes second looks once the first one is there.
    #[test]
    fn of_hosts_that_start_at_once_one_answers() -> Result<()> {
        for _ in 0..20 {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("admin.sock");
            drop(UnixListener::bind(&path)?);
            let start = std::sync::Barrier::new(4);
            let bound = thread::scope(|scope| {
                let binds = || {
                    start.wait();
                    bind_path(&path)
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(binds)).collect();
                threads.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
            });
            assert_eq!(bound.len(), 4);
            assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1, "{bound:?}");
            assert!(UnixStream::connect(&path).is_ok());
        }
        Ok(())
    }

    #[test]
    fn the_lock_of_a_directory_is_waited_for_and_not_for_ever() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("admin.sock");
        let held = alone_at(&path)?;
        let (bound, is_bound) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| bound.send(bind_path(&path)));
            // It waits as long as the other host looks.
            assert!(is_bound.recv_timeout(Duration::from_millis(100)).is_err());
            drop(held);
            assert!(is_bound.recv().is_ok_and(|bound| bound.is_ok()));
        });
        // A program that is no host may hold it.
        let _held = alone_at(&path)?;
        assert!(bind_path(&path).is_ok());
        Ok(())
    }

    #[test]
    fn the_name_of_another_host_stays() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("admin.sock");
        let first = bind_path(&path)?;
        fs::remove_file(&path)?;
        let _other = UnixListener::bind(&path)?;
        drop(first);
        assert!(UnixStream::connect(&path).is_ok());
        Ok(())
    }
}
