//! Descriptors of guests on their way, in messages over Unix sockets.
//!
//! A message carries a token, which is one end of a pipe that the host makes for it; who receives it
//! gets what the token stands for, and nobody else does. The other end tells the host when the last
//! token of a message is gone: it was received, dropped unread, or went with its socket. What is on
//! its way is closed then, unless somebody has it.
//!
//! The tokens are those of one generation's instances: they have the same grants. To others they
//! stand for nothing.
//!
//! A message in the queue of a socket that is on its way itself, by that very message, is gone
//! for nobody. So what an instance has sent is closed a while after its end, and at once with the
//! last instance.

use std::any::Any;
use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::report::unpoisoned;
use crate::error::Errno;
use crate::io::{AsyncFd, Events, HostRuntime, own_reactor};

/// What a token stands for. It is closed when it is dropped.
pub(crate) type Load = Arc<dyn Any + Send + Sync>;

/// How long what an instance has sent goes on after its end.
pub(super) const KEPT_AFTER_END: Duration = Duration::from_secs(10);

/// How many descriptors and messages of instances that have ended are kept. Beyond that the oldest
/// messages go.
const MOST_KEPT: usize = 1024;

/// How often a pipe is made anew whose number an earlier token has: the kernel's numbers of pipes
/// have 32 bits, and come round.
const MOST_TRIES: u32 = 4;

/// The device and the number of a pipe, both ends of which have the same.
type PipeId = (u64, u64);

/// What is on its way between the instances of one generation.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<Messages>);

#[derive(Default)]
struct Messages {
    all: HashMap<PipeId, Entry>,
    next: u64,
}

struct Entry {
    load: Load,
    /// How many descriptors there are, and one for the message.
    weight: usize,
    /// The instance that has sent it, while it lives.
    sender: Option<u64>,
    sent_by: u64,
    /// Later ones have larger numbers.
    number: u64,
}

/// A token that is not sent yet: dropped, it stands for nothing any more.
pub(crate) struct Token {
    fd: OwnedFd,
    id: PipeId,
    number: u64,
    messages: Option<Arc<InFlight>>,
}

impl InFlight {
    /// A token for `load`, with so many descriptors, which the instance `sender` sends.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptors for it, `EAGAIN` where it can't start its reactor.
    pub(crate) fn token(
        self: &Arc<Self>,
        load: Load,
        descriptors: usize,
        sender: u64,
    ) -> Result<Token, Errno> {
        let reactor = own_reactor()?;
        let mut weight_and_load = Some((descriptors.saturating_add(1), load));
        for _ in 0..MOST_TRIES {
            let (kept, fd) = pipe()?;
            let id = id_of(fd.as_fd())?;
            let mut messages = unpoisoned(&self.0);
            if messages.all.contains_key(&id) {
                continue;
            }
            let Some((weight, load)) = weight_and_load.take() else { break };
            messages.next = messages.next.wrapping_add(1);
            let number = messages.next;
            messages.all.insert(id, Entry { load, weight, sender: Some(sender), sent_by: sender, number });
            drop(messages);
            let (kept, watcher) = (AsyncFd::with(&reactor, Arc::new(kept)), Arc::downgrade(self));
            reactor.spawn(async move { close_when_gone(&kept, &watcher, id, number).await });
            return Ok(Token { fd, id, number, messages: Some(Arc::clone(self)) });
        }
        Err(Errno::ENFILE)
    }

    /// What `token` stands for, which has come with a message; nothing for what is no token of this
    /// service, and a second time. A message that was only looked at will come again.
    pub(crate) fn received(&self, token: BorrowedFd<'_>, peek: bool) -> Option<Load> {
        let id = id_of(token).ok()?;
        let mut messages = unpoisoned(&self.0);
        match peek {
            true => messages.all.get(&id).map(|entry| Arc::clone(&entry.load)),
            false => messages.all.remove(&id).map(|entry| entry.load),
        }
    }

    /// The instance `sender` has ended. What it has sent is kept for a while; tells whether there is
    /// anything.
    pub(super) fn sender_ended(&self, sender: u64) -> bool {
        let mut gone = Vec::new();
        let mut messages = unpoisoned(&self.0);
        let mut has_any = false;
        for entry in messages.all.values_mut().filter(|entry| entry.sender == Some(sender)) {
            entry.sender = None;
            has_any = true;
        }
        if has_any {
            let kept = messages.all.iter().filter(|(_, entry)| entry.sender.is_none());
            let mut kept: Vec<_> = kept.map(|(id, entry)| (entry.number, *id, entry.weight)).collect();
            kept.sort_unstable();
            let mut weight: usize = kept.iter().map(|(.., weight)| *weight).sum();
            for (_, id, its_weight) in kept {
                if weight <= MOST_KEPT {
                    break;
                }
                weight = weight.saturating_sub(its_weight);
                gone.extend(messages.all.remove(&id));
            }
        }
        // Closed when the lock is free: that asks for others.
        drop(messages);
        drop(gone);
        has_any
    }

    /// Closes what `sender` has sent and nobody has received.
    pub(super) fn close_of(&self, sender: u64) {
        self.close(|entry| entry.sent_by == sender);
    }

    /// Closes everything.
    pub(super) fn clear(&self) {
        self.close(|_| true);
    }

    fn close(&self, is_over: impl Fn(&Entry) -> bool) {
        let gone: Vec<_> = unpoisoned(&self.0).all.extract_if(|_, entry| is_over(entry)).collect();
        drop(gone);
    }

    fn remove(&self, id: PipeId, number: u64) {
        let gone = {
            let mut messages = unpoisoned(&self.0);
            let is_it = messages.all.get(&id).is_some_and(|entry| entry.number == number);
            if is_it { messages.all.remove(&id) } else { None }
        };
        drop(gone);
    }
}

/// Waits until nobody has the token any more, and closes what it stood for, unless that was received.
async fn close_when_gone(kept: &AsyncFd, messages: &Weak<InFlight>, id: PipeId, number: u64) {
    // Nobody writes to the pipe, so what happens is its end. Without a place in the reactor, what is on
    // its way stays until its sender ends.
    if kept.ready(Events::READ).await.is_ok()
        && let Some(messages) = messages.upgrade()
    {
        messages.remove(id, number);
    }
}

/// The end that the host keeps, and the token.
fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let highest = |(kept, token): &(PipeReader, PipeWriter)| kept.as_raw_fd().max(token.as_raw_fd());
    let (kept, token) = HostRuntime::of_process().descriptors.for_guest(2, io::pipe, highest)?;
    Ok((kept.into(), token.into()))
}

fn id_of(pipe: BorrowedFd<'_>) -> Result<PipeId, Errno> {
    let stat = rustix::fs::fstat(pipe)?;
    Ok((stat.st_dev, stat.st_ino))
}

impl Token {
    /// It is part of a message now, which the kernel has.
    pub(crate) fn sent(mut self) {
        self.messages = None;
    }
}

impl AsFd for Token {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(messages) = &self.messages {
            messages.remove(self.id, self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

    /// Tells when it is dropped.
    struct Noted(Sender<u32>, u32);

    impl Drop for Noted {
        fn drop(&mut self) {
            _ = self.0.send(self.1);
        }
    }

    fn number(load: &Load) -> Option<u32> {
        load.downcast_ref::<Noted>().map(|noted| noted.1)
    }

    #[test]
    fn a_token_counts_once_and_for_its_own_service_alone() -> Result<(), Errno> {
        let (dropped, _told) = channel();
        let (one, other) = (Arc::<InFlight>::default(), Arc::<InFlight>::default());
        let token = one.token(Arc::new(Noted(dropped, 1)), 1, 1)?;
        let sent = token.fd.try_clone()?;
        token.sent();
        assert!(other.received(sent.as_fd(), false).is_none());
        assert_eq!(one.received(sent.as_fd(), true).as_ref().and_then(number), Some(1));
        assert_eq!(one.received(sent.as_fd(), false).as_ref().and_then(number), Some(1));
        assert!(one.received(sent.as_fd(), false).is_none());
        Ok(())
    }

    #[test]
    fn what_is_dropped_unread_is_closed() -> Result<(), Errno> {
        let (dropped, told) = channel();
        let messages = Arc::<InFlight>::default();
        let kept = messages.token(Arc::new(Noted(dropped.clone(), 1)), 1, 1)?;
        let token = messages.token(Arc::new(Noted(dropped, 2)), 1, 1)?;
        // The last descriptor of it goes, as with the queue of a socket.
        token.sent();
        assert_eq!(told.recv_timeout(WAIT_TIMEOUT), Ok(2));
        assert!(messages.received(kept.as_fd(), true).is_some());
        drop(kept);
        assert_eq!(told.recv_timeout(WAIT_TIMEOUT), Ok(1));
        Ok(())
    }

    #[test]
    fn what_those_have_sent_who_have_ended_is_bounded_and_closed_later() -> Result<(), Errno> {
        let (dropped, told) = channel();
        let messages = Arc::<InFlight>::default();
        let mut sent = Vec::new();
        let descriptors = MOST_KEPT / 2;
        for (sender, number) in [(1, 1), (1, 2), (2, 3)] {
            let token = messages.token(Arc::new(Noted(dropped.clone(), number)), descriptors, sender)?;
            sent.push(token.fd.try_clone()?);
            token.sent();
        }
        assert!(!messages.sender_ended(9));
        assert!(messages.sender_ended(1));
        assert_eq!(told.try_recv(), Ok(1));
        assert!(told.try_recv().is_err());
        messages.close_of(1);
        assert_eq!(told.try_recv(), Ok(2));
        messages.clear();
        assert_eq!(told.try_recv(), Ok(3));
        Ok(())
    }
}
