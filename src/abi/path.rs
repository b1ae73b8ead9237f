//! Names of files, for every dialect.

use std::sync::Arc;

use wiggle::{GuestMemory, GuestPtr};

use super::call::Call;
use super::flags;
use super::memory::{check_out_value, read_bytes};
use crate::error::{Errno, Error};
use crate::fd::{Descriptor, Rights};
use crate::file::{OpenOptions, Opened};
use crate::process::{Directory, Open, OpenFile, Process, Thread};

/// The longest path, in bytes, as Linux has it.
const MAX_PATH: u32 = 4096;

/// The path at a pointer.
///
/// # Errors
///
/// `ENAMETOOLONG`; `EILSEQ` for what is not UTF-8; a trap outside of the memory.
pub(crate) fn read(memory: &GuestMemory<'_>, path: GuestPtr<[u8]>) -> Result<String, Error> {
    let bytes = read_bytes(memory, path, MAX_PATH, Errno::ENAMETOOLONG)?;
    String::from_utf8(bytes).map_err(|_| Errno::EILSEQ.into())
}

/// The path at a pointer, as seen from the directory `fd`.
///
/// The C library of WASIX leaves the slash that an absolute path begins with when it passes the
/// path to the directory that is preopened as the root, so there it is ignored. Anywhere else such
/// a path is absolute, and leaves the directory.
///
/// # Errors
///
/// Those of [`read`].
pub(crate) fn below(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: GuestPtr<[u8]>,
) -> Result<String, Error> {
    let path = read(memory, path)?;
    if !path.starts_with('/') || !thread.personality.root_takes_absolute_paths || !thread.is_root(fd) {
        return Ok(path);
    }
    Ok(match path.trim_start_matches('/') {
        "" => ".".to_owned(),
        relative => relative.to_owned(),
    })
}

/// Does a path follow the symbolic link that it ends in?
pub(crate) fn follows(lookup: u32) -> Result<bool, Errno> {
    Ok(flags::known(lookup, 1)? != 0)
}

/// What `path_open` was asked, whatever the dialect.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    pub(crate) fd: u32,
    pub(crate) lookup: u32,
    pub(crate) oflags: u32,
    pub(crate) rights: u64,
    pub(crate) fdflags: u32,
    pub(crate) close_on_exec: bool,
}

const OFLAG_CREAT: u16 = 1;
const OFLAG_DIRECTORY: u16 = 2;
const OFLAG_EXCL: u16 = 4;
const OFLAG_TRUNC: u16 = 8;

/// Opens a file or a directory as a new descriptor.
///
/// The rights that a program names decide whether a file is read and written, and nothing
/// else: a new descriptor inherits all others from its directory. So does Wasmtime, and
/// programs rely on it: they name no rights at all, or `fd_read` and then seek. What
/// `fd_fdstat_set_rights` removed from the directory is not inherited.
///
/// # Errors
///
/// `EMFILE` before anything is created, and those of [`crate::file::Dir::open`].
pub(crate) fn open(
    call: &mut Call<'_>,
    memory: &mut GuestMemory<'_>,
    request: &OpenRequest,
    path: GuestPtr<[u8]>,
    ret_fd: GuestPtr<u32>,
) -> Result<(), Error> {
    let oflags = flags::known(request.oflags, 0b1111);
    let needed = needed(*oflags.as_ref().unwrap_or(&0));
    if call.is_devices(request.fd, needed)? {
        return open_device(call, memory, request, path, ret_fd);
    }
    let dir = call.directory(request.fd, needed)?;
    let passed_on = call.descriptor(request.fd, Rights::PATH_OPEN)?.inheriting;
    check_out_value(memory, ret_fd)?;
    let path = below(call, memory, request.fd, path)?;
    let options = options(request, oflags?, passed_on)?;
    call.process().fds().check_room()?;
    let close_on_exec = request.close_on_exec;
    let install = move |thread: &Thread, memory: &mut GuestMemory<'_>, opened| {
        let descriptor = opened_as(opened, &options, passed_on, close_on_exec);
        let fd = thread.process().fds().insert(descriptor)?;
        Ok(memory.write(ret_fd, fd)?)
    };
    call.file_call_as(memory, move || dir.open(&path, &options), install)
}

/// The descriptor of what was opened.
fn opened_as(
    opened: Opened,
    options: &OpenOptions,
    passed_on: Rights,
    close_on_exec: bool,
) -> Descriptor<OpenFile> {
    let (open, most) = match opened {
        Opened::File(file) => (Open::File(Arc::new(file)), Rights::FILE),
        Opened::Dir(dir) => {
            let directory = Directory { dir: Arc::new(dir), preopened_as: None };
            (Open::Directory(Box::new(directory)), Rights::DIRECTORY)
        }
    };
    Descriptor {
        open: OpenFile::with_nonblocking(open, options.nonblock),
        rights: (passed_on & most).without(unused(options)),
        inheriting: passed_on,
        close_on_exec,
    }
}

/// Opens what `path` names for `process`, seen from its working directory. The descriptor in `request` means nothing.
///
/// # Errors
///
/// `ENOENT` where no granted directory has it, and those of [`open`].
pub(crate) fn open_named(
    process: &Process,
    request: &OpenRequest,
    path: &str,
) -> Result<Descriptor<OpenFile>, Errno> {
    let oflags = flags::known(request.oflags, 0b1111)?;
    let place = process.place_of(path)?;
    place.rights.require(needed(oflags))?;
    let options = options(request, oflags, place.inheriting)?;
    let Some(dir) = &place.dir else {
        let (open, most) = process.open_device(&place.rest, &options)?;
        return Ok(Descriptor {
            open,
            rights: (place.inheriting & most).without(unused(&options)),
            inheriting: place.inheriting,
            close_on_exec: request.close_on_exec,
        });
    };
    let opened = dir.open(&place.rest, &options)?;
    Ok(opened_as(opened, &options, place.inheriting, request.close_on_exec))
}

/// [`open`], below the directory of the built-in devices.
fn open_device(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    request: &OpenRequest,
    path: GuestPtr<[u8]>,
    ret_fd: GuestPtr<u32>,
) -> Result<(), Error> {
    let oflags = flags::known(request.oflags, 0b1111);
    let passed_on = thread.descriptor(request.fd, Rights::PATH_OPEN)?.inheriting;
    check_out_value(memory, ret_fd)?;
    let path = read(memory, path)?;
    let options = options(request, oflags?, passed_on)?;
    let (open, most) = thread.process().open_device(&path, &options)?;
    let descriptor = Descriptor {
        open,
        rights: (passed_on & most).without(unused(&options)),
        inheriting: passed_on,
        close_on_exec: request.close_on_exec,
    };
    let fd = thread.process().fds().insert(descriptor)?;
    Ok(memory.write(ret_fd, fd)?)
}

fn needed(oflags: u16) -> Rights {
    let mut needed = Rights::PATH_OPEN;
    if oflags & OFLAG_CREAT != 0 {
        needed = needed | Rights::PATH_CREATE_FILE;
    }
    if oflags & OFLAG_TRUNC != 0 {
        needed = needed | Rights::PATH_FILESTAT_SET_SIZE;
    }
    needed
}

/// The rights that a descriptor opened so has no use for. Programs learn from them whether
/// they may read and write: the C library's `fcntl(fd, F_GETFL)` does.
fn unused(options: &OpenOptions) -> Rights {
    let none = Rights::NONE;
    let reading = if options.read { none } else { Rights::FD_READ | Rights::FD_READDIR };
    let writing = if options.write { none } else { Rights::FD_WRITE };
    reading | writing
}

fn options(request: &OpenRequest, oflags: u16, passed_on: Rights) -> Result<OpenOptions, Errno> {
    let fdflags = flags::descriptor(request.fdflags)?;
    let asked = Rights::from_bits(request.rights);
    // The other rights to change a file come with masks that programs have for any file:
    // Go asks for `fd_filestat_set_size` to read one. Wasmtime checks these two as well. A
    // program that creates a file or cuts it, and names neither, may do both there.
    let names_one = asked & (Rights::FD_READ | Rights::FD_WRITE) != Rights::NONE;
    let changes = oflags & (OFLAG_CREAT | OFLAG_TRUNC) != 0;
    let write =
        (asked.contains(Rights::FD_WRITE) || changes && !names_one) && passed_on.contains(Rights::FD_WRITE);
    Ok(OpenOptions {
        read: asked.contains(Rights::FD_READ) || !names_one || !write,
        write,
        create: oflags & OFLAG_CREAT != 0,
        exclusive: oflags & OFLAG_EXCL != 0,
        truncate: oflags & OFLAG_TRUNC != 0,
        directory: oflags & OFLAG_DIRECTORY != 0,
        append: fdflags & flags::FDFLAG_APPEND != 0,
        dsync: fdflags & flags::FDFLAG_DSYNC != 0,
        rsync: fdflags & flags::FDFLAG_RSYNC != 0,
        sync: fdflags & flags::FDFLAG_SYNC != 0,
        nonblock: fdflags & flags::FDFLAG_NONBLOCK != 0,
        follow_symlinks: follows(request.lookup)?,
    })
}
