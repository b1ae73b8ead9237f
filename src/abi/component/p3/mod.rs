//! WASI 0.3: `wasi:sockets`, whose calls are async functions, streams and futures of the component model.
//!
//! What waits is a future of the engine's, which is woken as every wait of wasock is. A stream of bytes is read
//! from the kernel to the guest's memory and back without a copy between. Nothing is buffered here. After a read that
//! took all there was the kernel is asked again when it has reported something: a stream has no other reader.

mod error;
mod name;
mod outcome;
mod stream;
mod tcp;
mod udp;

use wasmtime::component::Linker;

use super::{Getter, Sockets};

/// How a call of `wasi:sockets` 0.3 fails.
pub(crate) type SocketError = super::code::SocketError<sockets::types::ErrorCode>;

/// What `bindgen!` makes of `wit/p3`.
#[allow(missing_docs, reason = "the text of the interfaces is the standard's")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/p3",
        world: "wasock:p3/served",
        imports: {
            "wasi:sockets/types.[method]tcp-socket.listen": store | trappable,
            "wasi:sockets/types.[method]tcp-socket.receive": store | trappable,
            "wasi:sockets/types.[method]tcp-socket.send": store | trappable,
            "wasi:sockets/types.[method]udp-socket.connect": async | trappable,
            default: trappable,
        },
        trappable_error_type: {
            "wasi:sockets/types.error-code" => super::SocketError,
        },
        with: {
            "wasi:sockets/types.tcp-socket": super::tcp::TcpSocket,
            "wasi:sockets/types.udp-socket": super::udp::UdpSocket,
        },
        require_store_data_send: true,
    });
}

use bindings::wasi::sockets;

/// Adds the interfaces of `wasi:sockets` 0.3 to `linker`, whose engine has async functions of components.
///
/// # Errors
///
/// Where it has not; where `linker` has one of them and does not allow shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: Getter<T>,
) -> wasmtime::Result<()> {
    sockets::types::add_to_linker::<T, Sockets>(linker, view)?;
    sockets::ip_name_lookup::add_to_linker::<T, Sockets>(linker, view)
}
