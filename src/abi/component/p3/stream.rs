//! The streams of a socket: its connections, what is received, what is sent.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Resource, Source, StreamConsumer, StreamProducer, StreamResult};

use wasmtime_wasi_io::bytes::BytesMut;

use super::outcome::Outcome;
use super::tcp::TcpSocket;
use crate::abi::component::Getter;
use crate::abi::component::connection::Connection;
use crate::abi::component::descriptor::GuestSocket;
use crate::abi::component::failure::Failure;
use crate::abi::component::tcp::{accept, may_accept};
use crate::error::Errno;
use crate::io::{Events, HostRuntime, Pollable, Took};
use crate::socket::{Connected, ShutdownHow};

/// How much is received where the guest has no buffer of its own waiting.
const CAPACITY: usize = 8 * 1024;

type Produced = Poll<wasmtime::Result<StreamResult>>;

/// The end of a read that the guest gives up. It takes nothing, also where something has come meanwhile: the guest may
/// not look at what it has given up, and a connection or bytes would be lost with it.
fn given_up() -> Produced {
    Poll::Ready(Ok(StreamResult::Cancelled))
}

/// Nothing now: the end of the call where that is asked for.
fn nothing(finish: bool) -> Produced {
    if finish { given_up() } else { Poll::Pending }
}

/// The connections of a listener. It never ends by itself: a connection that broke while it waited is passed over,
/// and without a descriptor for the next one it waits.
pub(super) struct Connections<T: 'static> {
    pub(super) listener: Arc<GuestSocket>,
    pub(super) getter: Getter<T>,
    /// Had the host no descriptor for the last one?
    is_short: bool,
    /// A descriptor may become free.
    freed: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<T> Connections<T> {
    pub(super) fn of(listener: Arc<GuestSocket>, getter: Getter<T>) -> Self {
        Self { listener, getter, is_short: false, freed: None }
    }

    /// Is there a connection that may be taken? Wakes `context` where there may be one later.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            if let Some(freed) = &mut self.freed {
                if freed.as_mut().poll(context).is_pending() {
                    return false;
                }
                self.freed = None;
            }
            let socket = self.listener.socket();
            let found = socket.poll(Events::READ, context);
            if found.and(Events::OF_READERS).is_empty() {
                return false;
            }
            if may_accept(self.listener.process(), &mut self.is_short, socket) {
                return true;
            }
            self.freed = Some(Box::pin(HostRuntime::of_process().descriptors.wait_anywhere()));
        }
    }
}

impl<T: Send + 'static> StreamProducer<T> for Connections<T> {
    type Item = Resource<TcpSocket>;
    type Buffer = Option<Resource<TcpSocket>>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, T>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Produced {
        if finish {
            return given_up();
        }
        let this = &mut *self;
        // A read of nothing asks whether there is something.
        let only_asks = destination.remaining(&mut store) == Some(0);
        loop {
            let view = (this.getter)(store.data_mut());
            if !only_asks && this.freed.is_none() {
                match accept(view.thread, &this.listener) {
                    Ok(tcp) => {
                        let accepted = view.table.push(TcpSocket::of(tcp))?;
                        destination.set_buffer(Some(accepted));
                        return Poll::Ready(Ok(StreamResult::Completed));
                    }
                    Err(Failure::Trap(trap)) => return Poll::Ready(Err(trap)),
                    Err(Failure::Errno(Errno::ENFILE)) => this.is_short = true,
                    // None waits, one broke, or there is no number for it.
                    Err(_) => {}
                }
            }
            if !this.poll_ready(context) {
                return Poll::Pending;
            }
            if only_asks {
                return Poll::Ready(Ok(StreamResult::Completed));
            }
        }
    }
}

/// What is received.
pub(super) struct Receiving {
    socket: Arc<GuestSocket>,
    connection: Arc<Connection>,
    outcome: Outcome,
    /// Has all been taken that was there?
    is_spent: bool,
}

impl Receiving {
    pub(super) fn of(socket: Arc<GuestSocket>, connection: Arc<Connection>, outcome: Outcome) -> Self {
        Self { socket, connection, outcome, is_spent: false }
    }

    fn end(&self, outcome: Result<(), Errno>) -> Produced {
        self.outcome.tell(outcome);
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl<T> StreamProducer<T> for Receiving {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, T>,
        destination: Destination<'a, u8, Self::Buffer>,
        finish: bool,
    ) -> Produced {
        if finish {
            return given_up();
        }
        let this = self.get_mut();
        let connected = this.connection.connected();
        let only_asks = destination.remaining(&mut store) == Some(0);
        if only_asks {
            return wait_for(connected, Events::READ, context, &mut this.is_spent);
        }
        let mut direct = destination.as_direct(store, CAPACITY);
        let buffer = direct.remaining();
        let room = buffer.len();
        let attempt = || {
            let count = connected.try_recv(&mut *buffer, false)?.count;
            Ok(Took::of_stream(count, count, room))
        };
        match ready!(connected.poll_io(Events::READ, context, &mut this.is_spent, attempt)) {
            Ok(0) => this.end(Ok(())),
            Ok(count) => {
                this.socket.process().instance().usage().received(count);
                direct.mark_written(count);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Err(errno) => this.end(Err(errno)),
        }
    }
}

/// Waits until `connected` is ready, and takes nothing.
fn wait_for(connected: &Connected, mask: Events, context: &mut Context<'_>, is_spent: &mut bool) -> Produced {
    let look = || match connected.look().and(mask.or(Events::ALWAYS)).is_empty() {
        true => Err(Errno::EAGAIN),
        false => Ok(Took::Some(())),
    };
    // Without the event queue the next read or write tells.
    let _looked = ready!(connected.poll_io(mask, context, is_spent, look));
    Poll::Ready(Ok(StreamResult::Completed))
}

/// "dropping the stream is equivalent to shutdown(SHUT_RD)": the guest receives no more.
impl Drop for Receiving {
    fn drop(&mut self) {
        self.outcome.tell(Ok(()));
        // A peer that is gone sees nothing of it.
        let _gone = self.connection.shutdown(ShutdownHow::Read);
    }
}

/// What is sent.
pub(super) struct Sending {
    socket: Arc<GuestSocket>,
    connection: Arc<Connection>,
    outcome: Outcome,
    /// Has the kernel taken as much as it takes?
    is_spent: bool,
}

impl Sending {
    pub(super) fn of(socket: Arc<GuestSocket>, connection: Arc<Connection>, outcome: Outcome) -> Self {
        Self { socket, connection, outcome, is_spent: false }
    }
}

impl<T> StreamConsumer<T> for Sending {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, T>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Produced {
        let this = self.get_mut();
        let connected = this.connection.connected();
        let mut direct = source.as_direct(store);
        // A write of nothing asks whether there is room.
        if direct.remaining().is_empty() {
            let asked = wait_for(connected, Events::WRITE, context, &mut this.is_spent);
            return if asked.is_pending() { nothing(finish) } else { asked };
        }
        let bytes = direct.remaining();
        let length = bytes.len();
        let bytes = [IoSlice::new(bytes)];
        let attempt = || {
            let count = connected.try_send(&bytes)?;
            Ok(Took::of_stream(count, count, length))
        };
        match connected.poll_io(Events::WRITE, context, &mut this.is_spent, attempt) {
            Poll::Ready(Ok(count)) => {
                this.socket.process().instance().usage().sent(count);
                direct.mark_read(count);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(Err(errno)) => {
                this.outcome.tell(Err(errno));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Pending => nothing(finish),
        }
    }
}

/// The end of what the guest sends is the end of this direction.
impl Drop for Sending {
    fn drop(&mut self) {
        let _gone = self.connection.shutdown(ShutdownHow::Write);
        self.outcome.tell(Ok(()));
    }
}
