//! The code of programs that are in files of images: compiled once on this host, and handed to each container's process.
//!
//! A container's process can't see the folder of it, and must not: it asks its shim, by a socket that it has from the
//! fork. The shim passes a file in memory that nobody can change. What is not there yet, it has compiled by another
//! process, from the program: no code comes out of a container.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use wasock::observe::Escaped;
use wasock_cli::{KeepCode, Precompiler};

use crate::precompiled;

/// The argument by which this program is the process that compiles. containerd gives none that begins so.
const COMPILE: &str = "compile-and-keep";

/// How many bytes a key has at most.
const LARGEST_KEY: usize = 64;

/// A larger program is compiled by its container, within the limits of that.
const LARGEST_PROGRAM: u64 = 64 << 20;

/// How much processor time a program may take to be compiled outside of its container's limits, in seconds, and how
/// many bytes of memory. Beyond that it is compiled by the container.
const MOST_TIME: u64 = 60;
const MOST_MEMORY: u64 = 2 << 30;

/// How long a container's process waits: longer than that, on a machine that is busy.
const WAIT_TIMEOUT: Duration = Duration::from_secs(100);

/// The two ends of the socket by which is asked. Every process that is forked has them.
static ENDS: OnceLock<Ends> = OnceLock::new();

struct Ends {
    /// For those who ask.
    asking: OwnedFd,
    /// For the one who answers; the others give it up.
    answering: Mutex<Option<OwnedFd>>,
}

/// Makes the socket, before there is any other process. Without it each container compiles for itself.
pub(crate) fn open() {
    let _none = pair().map(|(asking, answering)| {
        _ = ENDS.set(Ends { asking, answering: Mutex::new(Some(answering)) });
    });
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    // Each message comes whole, whoever else asks at the same time.
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn take_answering() -> Option<OwnedFd> {
    ENDS.get()?.answering.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Has the process of a container give up what is the shim's.
pub(crate) fn leave() {
    drop(take_answering());
}

/// Answers the containers of this shim from now on, on a thread of its own.
pub(crate) fn answer() {
    let (Some(precompiler), Some(socket)) = (precompiled::precompiler(), take_answering()) else { return };
    let answering = thread::Builder::new().name("keeper".to_owned());
    // Where the host can't, nobody answers, and who has asked sees the end of it.
    let _none = answering.spawn(move || {
        while let Ok(request) = Request::receive(socket.as_fd()) {
            let Some(request) = request else { continue };
            let found = request.find(&precompiler).unwrap_or_else(|error| {
                log::warn!("the code of a program is not kept: {}", Escaped(format_args!("{error:#}")));
                None
            });
            let _gone = send(request.reply.as_fd(), b"\0", found.as_ref().map(OwnedFd::as_fd).as_slice());
        }
    });
}

/// What a container's process wants.
struct Request {
    key: Vec<u8>,
    program: OwnedFd,
    reply: OwnedFd,
}

impl Request {
    /// The next one; `None` for what is none.
    fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let (key, files) = receive(socket)?;
        let mut files = files.into_iter();
        let (Some(program), Some(reply)) = (files.next(), files.next()) else { return Ok(None) };
        Ok(Some(Self { key, program, reply }))
    }

    /// The code that it asks for, which is compiled if it is not kept yet.
    fn find(&self, precompiler: &Precompiler) -> Result<Option<OwnedFd>> {
        match precompiler.kept_code(&self.key) {
            Ok(Some(code)) => return Ok(Some(code)),
            Ok(None) => {}
            // It takes the place of what is there.
            Err(error) => {
                log::warn!("compiling anew: the code that is kept can't be used: {}", Escaped(error))
            }
        }
        let key: String = self.key.iter().map(|byte| format!("{byte:02x}")).collect();
        // A process of its own: its memory goes with it, and whatever befalls it is not the shim's.
        let mut compiling = Command::new("/proc/self/exe")
            .args([COMPILE, &key])
            .stdin(self.program.try_clone()?)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the process that compiles")?;
        let mut said = String::new();
        let mut output = compiling.stdout.take().context("no output")?;
        output.read_to_string(&mut said)?;
        // The shim asks after all of its children, and may have been first.
        let _code = compiling.wait();
        ensure!(said.is_empty(), "{}", said.trim_end());
        Ok(precompiler.kept_code(&self.key)?)
    }
}

/// Is this process the one that compiles, by its arguments? Then it does, and says on its standard output what went wrong.
pub(crate) fn compiles(arguments: &[String]) -> bool {
    let [_, order, key] = arguments else { return false };
    let is_asked = order == COMPILE;
    if is_asked && let Err(error) = compile(key) {
        let _unread = writeln!(io::stdout(), "{error:#}");
    }
    is_asked
}

/// Compiles what standard input has.
fn compile(key: &str) -> Result<()> {
    // Whoever waits for it has gone with the shim.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    for (resource, most) in [(Resource::Cpu, MOST_TIME), (Resource::Data, MOST_MEMORY), (Resource::Core, 0)] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    let key = bytes_of(key).context("it is no key")?;
    let mut program = Vec::new();
    io::stdin().take(LARGEST_PROGRAM).read_to_end(&mut program)?;
    let precompiler = precompiled::precompiler().context("there is no folder for it")?;
    precompiler.keep_code(&key, &program)
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).ok());
    digits.map(|two| u8::from_str_radix(two?, 16).ok()).collect()
}

/// What a container's process asks.
pub(crate) fn keeper() -> Option<Arc<dyn KeepCode>> {
    ENDS.get().map(|ends| Arc::new(Keeper(&ends.asking)) as Arc<dyn KeepCode>)
}

struct Keeper(&'static OwnedFd);

impl KeepCode for Keeper {
    fn code(&self, key: &[u8], program: &[u8]) -> io::Result<Option<OwnedFd>> {
        if u64::try_from(program.len()).is_ok_and(|length| length > LARGEST_PROGRAM) {
            return Ok(None);
        }
        let mut file = File::from(memfd_create("program", MemfdFlags::CLOEXEC)?);
        file.write_all(program)?;
        io::Seek::rewind(&mut file)?;
        let (reply, of_keeper) = pair()?;
        send(self.0.as_fd(), key, &[file.as_fd(), of_keeper.as_fd()])?;
        // So that the end is seen where nobody answers.
        drop(of_keeper);
        let mut ready = [PollFd::new(&reply, PollFlags::IN)];
        let timeout = Timespec::try_from(WAIT_TIMEOUT).map_err(io::Error::other)?;
        if retry_on_intr(|| poll(&mut ready, Some(&timeout)))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (_, files) = receive(reply.as_fd())?;
        Ok(files.into_iter().next())
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Whoever does not read waits for no one else.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?;
    Ok(())
}

/// A message with its descriptors. One of no bytes is the end: nobody is there who could send another one.
fn receive(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; LARGEST_KEY];
    let received = retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let files = files.flatten().collect();
    Ok((bytes.get(..received.bytes).unwrap_or_default().to_vec(), files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_two_digits_a_byte() {
        assert_eq!(bytes_of("01ff"), Some(vec![1, 255]));
        assert_eq!(bytes_of("0"), Some(vec![0]));
        for none in ["0g", "é", "+1é"] {
            assert_eq!(bytes_of(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_asked_comes_with_the_program_and_a_way_to_answer() -> io::Result<()> {
        let (asking, answering) = pair()?;
        let asking: &'static OwnedFd = Box::leak(Box::new(asking));
        let answers = thread::spawn(move || -> io::Result<Vec<u8>> {
            let request = Request::receive(answering.as_fd())?.ok_or(io::ErrorKind::InvalidData)?;
            let mut program = Vec::new();
            File::from(request.program).read_to_end(&mut program)?;
            let code = memfd_create("code", MemfdFlags::CLOEXEC)?;
            File::from(code.try_clone()?).write_all(b"code")?;
            send(request.reply.as_fd(), b"\0", &[code.as_fd()])?;
            Ok([request.key, program].concat())
        });
        let code = Keeper(asking).code(b"key of ", b"program")?.ok_or(io::ErrorKind::NotFound)?;
        assert_eq!(File::from(code).metadata()?.len(), 4);
        assert_eq!(answers.join().map_err(|_| io::ErrorKind::Other)??, b"key of program");
        Ok(())
    }

    #[test]
    fn where_nobody_answers_that_is_an_error_at_once() -> io::Result<()> {
        let (asking, answering) = pair()?;
        drop(answering);
        let asking: &'static OwnedFd = Box::leak(Box::new(asking));
        assert!(Keeper(asking).code(b"key", b"program").is_err());
        let (asking, answering) = pair()?;
        let asking: &'static OwnedFd = Box::leak(Box::new(asking));
        // What has only one descriptor is no request, and who waits for an answer sees its end.
        let answers = thread::spawn(move || Request::receive(answering.as_fd()).map(drop));
        assert!(Keeper(asking).code(b"key", b"program").is_err());
        answers.join().map_err(|_| io::ErrorKind::Other)?
    }
}
