//! What a pollable waits for.

use std::sync::Arc;

use super::name::LookUp;
use crate::abi::component::connection::Connection;
use crate::account::Charge;
use crate::io::{Events, Pollable};
use crate::process::Process;
use crate::ready::{PollSet, PollSource, Watched};
use crate::socket::{Phase, Socket};

/// What a pollable takes of the host: an entry of the table, and this.
pub(super) const POLLABLE: u64 = 256;

/// A pollable of the guest: an entry of the table of resources.
pub(super) struct Subscription {
    pub(super) source: Source,
    /// The guest that it is of.
    pub(super) process: Arc<Process>,
    pub(super) _held: Charge,
}

/// What it waits for.
#[derive(Clone)]
pub(super) enum Source {
    /// A TCP socket: the end of what was started, or a connection.
    Tcp(Arc<Socket>),
    /// Something to read, or the end.
    Input(Arc<Connection>),
    /// Permission to write, or the end.
    Output(Arc<Connection>),
    /// A datagram.
    Incoming(Arc<Socket>),
    /// Room for a datagram.
    Outgoing(Arc<Socket>),
    /// The addresses of a name.
    LookUp(Arc<LookUp>),
    /// A time of the guest's clock, in nanoseconds.
    Clock(u64),
    /// Nothing: it is ready.
    Ready,
}

/// How that stands.
pub(super) enum Wait<'a> {
    /// It is ready.
    Ready,
    /// It is for this to say.
    For(&'a dyn Pollable, Events),
    /// The same, of what only this knows.
    ForNew(Arc<dyn Pollable>, Events),
    /// A connection has come, and there is a descriptor for it.
    Connection(&'a Socket),
    /// A time.
    Until(u64),
}

impl Source {
    pub(super) fn wait(&self) -> Wait<'_> {
        match self {
            Self::Tcp(socket) => match socket.stream().map(|stream| stream.phase()) {
                Ok(Phase::Connecting(attempt)) => Wait::ForNew(attempt, Events::WRITE),
                Ok(Phase::Listening(_)) => Wait::Connection(socket),
                Ok(Phase::Idle | Phase::Failed | Phase::Connected(_)) | Err(_) => Wait::Ready,
            },
            Self::Input(connection) if connection.is_input_over() => Wait::Ready,
            Self::Input(connection) => Wait::For(connection.connected(), Events::READ),
            Self::Output(connection) => match connection.remainder() {
                Some(remainder) => Wait::ForNew(remainder, Events::WRITE),
                None if connection.is_output_over() => Wait::Ready,
                None => Wait::For(connection.connected(), Events::WRITE),
            },
            Self::Incoming(socket) => Wait::For(socket.as_ref(), Events::READ),
            Self::Outgoing(socket) => Wait::For(socket.as_ref(), Events::WRITE),
            Self::LookUp(look_up) => match look_up.pending() {
                Some(pending) => Wait::For(pending, Events::READ),
                None => Wait::Ready,
            },
            Self::Clock(time) => Wait::Until(*time),
            Self::Ready => Wait::Ready,
        }
    }
}

impl<'a> Wait<'a> {
    /// The thing, where that [lasts](Self::lasts), and what of it.
    pub(super) fn lasting_thing(&self) -> Option<(&'a dyn Pollable, Events)> {
        match self {
            Self::For(thing, mask) => Some((*thing, *mask)),
            Self::Connection(socket) => Some((*socket, Events::READ)),
            Self::ForNew(..) | Self::Ready | Self::Until(_) => None,
        }
    }
}

impl Wait<'_> {
    /// The thing, and what of it.
    pub(super) fn thing(&self) -> Option<(&dyn Pollable, Events)> {
        match self {
            Self::For(thing, mask) => Some((*thing, *mask)),
            Self::ForNew(thing, mask) => Some((thing.as_ref(), *mask)),
            Self::Connection(socket) => Some((*socket, Events::READ)),
            Self::Ready | Self::Until(_) => None,
        }
    }

    /// Is it of nothing that was made for it alone?
    pub(super) fn lasts(&self) -> bool {
        !matches!(self, Self::ForNew(..))
    }

    /// What is watched for it.
    pub(super) fn watched(&self) -> Option<Watched<'_>> {
        let (thing, mask) = self.thing()?;
        Some(Watched { source: PollSource::Thing(thing), mask })
    }

    /// Takes note that the guest is told.
    pub(super) fn note_report(&self) {
        if let Self::Connection(listener) = self {
            PollSet::note_report(listener);
        }
    }
}
