//! WASI 0.2: `wasi:sockets`, and what its sockets wait by, `wasi:io`.
//!
//! # Streams and pollables
//!
//! The streams of a socket are entries of the one table of resources, and so are its pollables. Which type
//! an entry has depends on who serves `wasi:io` ([`View::serves_io`](super::View::serves_io)):
//!
//! * wasock does, for the guests that it runs. Entries are of types of its own, which `stream.rs` and
//!   `poll.rs` find behind the handles and deal with by themselves: no future a stream, no allocation a write.
//!   All others (standard streams, files) they pass on to `wasmtime_wasi_io`.
//! * An embedder does, by `wasmtime_wasi_io`. Then entries are what that knows: boxes of its traits.
//!
//! A pollable is no child of what it waits for, nor a stream of its socket: a guest may drop them in any order.

mod clock;
mod error;
mod foreign;
mod look;
mod name;
mod network;
mod poll;
mod source;
mod stream;
mod tcp;
mod udp;

use wasmtime::component::Linker;

use super::{Getter, Sockets};

pub(crate) use poll::Waiting;

/// How a call of `wasi:sockets` 0.2 fails.
pub(crate) type SocketError = super::code::SocketError<sockets::network::ErrorCode>;

/// What `bindgen!` makes of `wit/p2`. No call is an async function but those that wait.
#[allow(missing_docs, reason = "the text of the interfaces is the standard's")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/p2",
        world: "wasock:p2/served",
        imports: {
            "wasi:io/poll.poll": async | trappable,
            "wasi:io/poll.[method]pollable.block": async | trappable,
            "wasi:io/poll.[method]pollable.ready": async | trappable,
            "wasi:io/streams.[drop]input-stream": async | trappable,
            "wasi:io/streams.[drop]output-stream": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-read": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-skip": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-splice": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-and-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-zeroes-and-flush": async | trappable,
            "wasi:sockets/tcp.[method]tcp-socket.start-connect": async | trappable,
            "wasi:sockets/udp.[method]outgoing-datagram-stream.send": async | trappable,
            "wasi:sockets/udp.[method]udp-socket.stream": async | trappable,
            default: trappable,
        },
        trappable_error_type: {
            "wasi:io/streams.stream-error" => wasmtime_wasi_io::streams::StreamError,
            "wasi:sockets/network.error-code" => super::SocketError,
        },
        with: {
            "wasi:io/error.error": wasmtime_wasi_io::streams::Error,
            "wasi:io/poll.pollable": wasmtime_wasi_io::poll::DynPollable,
            "wasi:io/streams.input-stream": wasmtime_wasi_io::streams::DynInputStream,
            "wasi:io/streams.output-stream": wasmtime_wasi_io::streams::DynOutputStream,
            "wasi:sockets/ip-name-lookup.resolve-address-stream": super::name::ResolveAddressStream,
            "wasi:sockets/network.network": super::network::Network,
            "wasi:sockets/tcp.tcp-socket": super::tcp::TcpSocket,
            "wasi:sockets/udp.incoming-datagram-stream": super::udp::Incoming,
            "wasi:sockets/udp.outgoing-datagram-stream": super::udp::Outgoing,
            "wasi:sockets/udp.udp-socket": super::udp::UdpSocket,
        },
        require_store_data_send: true,
    });
}

use bindings::wasi::{clocks, io, sockets};

/// Adds the interfaces of `wasi:sockets` 0.2 to `linker`.
///
/// # Errors
///
/// Where `linker` has one of them and does not allow shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: Getter<T>,
) -> wasmtime::Result<()> {
    let mut options = sockets::network::LinkOptions::default();
    options.network_error_code(true);
    sockets::network::add_to_linker::<T, Sockets>(linker, &options, view)?;
    sockets::instance_network::add_to_linker::<T, Sockets>(linker, view)?;
    sockets::ip_name_lookup::add_to_linker::<T, Sockets>(linker, view)?;
    sockets::tcp::add_to_linker::<T, Sockets>(linker, view)?;
    sockets::tcp_create_socket::add_to_linker::<T, Sockets>(linker, view)?;
    sockets::udp::add_to_linker::<T, Sockets>(linker, view)?;
    sockets::udp_create_socket::add_to_linker::<T, Sockets>(linker, view)
}

/// Adds `wasi:io` and `wasi:clocks/monotonic-clock` to `linker`, for views that [serve](super::View::serves_io) them.
///
/// # Errors
///
/// As for [`add_to_linker`].
pub(crate) fn add_io_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: Getter<T>,
) -> wasmtime::Result<()> {
    io::error::add_to_linker::<T, Sockets>(linker, view)?;
    io::poll::add_to_linker::<T, Sockets>(linker, view)?;
    io::streams::add_to_linker::<T, Sockets>(linker, view)?;
    clocks::monotonic_clock::add_to_linker::<T, Sockets>(linker, view)
}
