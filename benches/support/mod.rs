//! A guest that makes one call again and again, with each kind of memory.
//!
//! The module is written here, as text: a function for each case, which loops over its
//! calls and checks what they answer.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use tokio::runtime::{Builder, Runtime};
use wasmtime::{Engine, Error, Linker, MemoryType, Module, Result, SharedMemory, Store, TypedFunc};
use wasock::WasockCtx;

/// How the guest has its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    Plain,
    SharedExported,
    SharedImported,
}

/// How the guest is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    memory: Memory,
    /// By synchronous calls, as on a thread of its own; otherwise they are async.
    own_thread: bool,
}

pub(crate) const SETUPS: [Setup; 5] = [
    Setup { memory: Memory::Plain, own_thread: false },
    Setup { memory: Memory::SharedExported, own_thread: false },
    Setup { memory: Memory::SharedImported, own_thread: false },
    Setup { memory: Memory::Plain, own_thread: true },
    Setup { memory: Memory::SharedImported, own_thread: true },
];

impl Setup {
    pub(crate) fn name(self) -> String {
        let how = if self.own_thread { "-own-thread" } else { "" };
        format!("{}{how}", self.memory.name())
    }
}

impl Memory {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::SharedExported => "shared-exported",
            Self::SharedImported => "shared-imported",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Plain => r#"(memory (export "memory") 1 1)"#,
            Self::SharedExported => r#"(memory (export "memory") 1 1 shared)"#,
            Self::SharedImported => r#"(import "env" "memory" (memory 1 1 shared))"#,
        }
    }
}

/// One case: calls that are made in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    kind: Kind,
    /// Each call with its arguments, and the error number that it shall answer.
    calls: &'static [(&'static str, u32)],
}

impl Case {
    /// Its name, behind what it costs beside the call itself.
    pub(crate) fn label(&self) -> String {
        let kind = match self.kind {
            Kind::Sync => "sync",
            Kind::Async => "async",
            Kind::System => "system",
        };
        format!("{kind}: {}", self.name)
    }
}

/// Functions that Wasmtime links by itself and that do nothing: what no call can be below.
const NOTHING: &str = "nothing, by Wasmtime alone";
const NOTHING_ASYNC: &str = "nothing async, by Wasmtime alone";

/// A call that is refused whatever it is given: what the glue costs.
const REFUSED: &str = "port_mac, refused";

/// What a case costs beside the call itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The call cannot wait, and the kernel is not asked.
    Sync,
    /// The call may wait, but need not here, and the kernel is not asked.
    Async,
    /// The kernel is asked.
    System,
}

// The descriptors: 3 listens, 4 and 5 are two ends of a connection, 6 is one whose other
// end says nothing, 7 takes datagrams. In the memory: 0x210 an event descriptor, 0x220 and
// 0x224 a pair, which the guest made itself and so the kernel can watch; 0x214 an epoll of
// the one, which has room to write, 0x218 one of the other, which has nothing to read.
pub(crate) const CASES: &[Case] = &[
    Case { name: NOTHING, kind: Kind::Sync, calls: &[("nothing", 0)] },
    Case { name: NOTHING_ASYNC, kind: Kind::Async, calls: &[("nothing_async", 0)] },
    Case { name: REFUSED, kind: Kind::Sync, calls: &[("port_mac (i32.const 0x800)", ENOTSUP)] },
    Case {
        name: "clock_time_get",
        kind: Kind::Sync,
        calls: &[("clock_time_get (i32.const 1) (i64.const 1) (i32.const 0x200)", 0)],
    },
    Case {
        name: "sock_status",
        kind: Kind::System,
        calls: &[("sock_status (i32.const 6) (i32.const 0x200)", 0)],
    },
    Case {
        name: "sock_addr_local",
        kind: Kind::System,
        calls: &[("sock_addr_local (i32.const 6) (i32.const 0x800)", 0)],
    },
    Case {
        name: "futex_wake",
        kind: Kind::Sync,
        calls: &[("futex_wake (i32.const 0x400) (i32.const 0x200)", 0)],
    },
    Case {
        name: "fd_fdstat_get",
        kind: Kind::Sync,
        calls: &[("fd_fdstat_get (i32.const 6) (i32.const 0x800)", 0)],
    },
    Case {
        name: "sock_addr_peer",
        kind: Kind::Sync,
        calls: &[("sock_addr_peer (i32.const 6) (i32.const 0x800)", 0)],
    },
    Case {
        name: "epoll_ctl, changed",
        kind: Kind::System,
        calls: &[(
            "epoll_ctl (i32.load (i32.const 0x214)) (i32.const 3) (i32.load (i32.const 0x220)) (i32.const 0x340)",
            0,
        )],
    },
    Case {
        name: "random_get of 32 bytes",
        kind: Kind::Sync,
        calls: &[("random_get (i32.const 0x800) (i32.const 32)", 0)],
    },
    Case { name: "sched_yield", kind: Kind::System, calls: &[("sched_yield", 0)] },
    Case { name: "sock_recv, nothing there", kind: Kind::System, calls: &[(RECV_NOTHING, EAGAIN)] },
    Case {
        name: "sock_accept_v2, nothing there",
        kind: Kind::System,
        calls: &[("sock_accept_v2 (i32.const 3) (i32.const 0) (i32.const 0x200) (i32.const 0x800)", EAGAIN)],
    },
    Case {
        name: "fd_write and fd_read of an event descriptor",
        kind: Kind::Async,
        calls: &[
            ("fd_write (i32.load (i32.const 0x210)) (i32.const 0x108) (i32.const 1) (i32.const 0x200)", 0),
            ("fd_read (i32.load (i32.const 0x210)) (i32.const 0x108) (i32.const 1) (i32.const 0x200)", 0),
        ],
    },
    Case {
        name: "poll_oneoff, 1 subscription",
        kind: Kind::System,
        calls: &[("poll_oneoff (i32.const 0x25d0) (i32.const 0x3000) (i32.const 1) (i32.const 0x200)", 0)],
    },
    Case {
        name: "poll_oneoff, 32 subscriptions",
        kind: Kind::System,
        calls: &[("poll_oneoff (i32.const 0x2000) (i32.const 0x3000) (i32.const 32) (i32.const 0x200)", 0)],
    },
    Case {
        name: "epoll_wait, one ready",
        kind: Kind::System,
        calls: &[(
            "epoll_wait (i32.load (i32.const 0x214)) (i32.const 0x4000) (i32.const 8) (i64.const -1) \
             (i32.const 0x200)",
            0,
        )],
    },
    Case {
        name: "epoll_wait, none ready",
        kind: Kind::System,
        calls: &[(
            "epoll_wait (i32.load (i32.const 0x218)) (i32.const 0x4000) (i32.const 8) (i64.const 0) \
             (i32.const 0x200)",
            0,
        )],
    },
    Case {
        name: "sock_send and sock_recv of 64 bytes",
        kind: Kind::System,
        calls: &[
            ("sock_send (i32.const 4) (i32.const 0x100) (i32.const 1) (i32.const 0) (i32.const 0x200)", 0),
            (
                "sock_recv (i32.const 5) (i32.const 0x100) (i32.const 1) (i32.const 0) (i32.const 0x200) \
                 (i32.const 0x204)",
                0,
            ),
        ],
    },
    Case {
        name: "sock_send_to and sock_recv_from of 64 bytes",
        kind: Kind::System,
        calls: &[
            (
                "sock_send_to (i32.const 7) (i32.const 0x100) (i32.const 1) (i32.const 0) (i32.const 0x240) \
                 (i32.const 0x200)",
                0,
            ),
            (
                "sock_recv_from (i32.const 7) (i32.const 0x100) (i32.const 1) (i32.const 0) (i32.const 0x200) \
                 (i32.const 0x204) (i32.const 0x800)",
                0,
            ),
        ],
    },
    Case {
        name: "fd_write and fd_read of 64 bytes of a socket",
        kind: Kind::System,
        calls: &[
            ("fd_write (i32.const 4) (i32.const 0x100) (i32.const 1) (i32.const 0x200)", 0),
            ("fd_read (i32.const 5) (i32.const 0x100) (i32.const 1) (i32.const 0x200)", 0),
        ],
    },
];

const EAGAIN: u32 = 6;
const ENOTSUP: u32 = 58;

const RECV_NOTHING: &str = "sock_recv (i32.const 6) (i32.const 0x100) (i32.const 1) (i32.const 0) \
     (i32.const 0x200) (i32.const 0x204)";

const IMPORTS: &str = r#"
  (import "bench" "nothing" (func $nothing (result i32)))
  (import "bench" "nothing_async" (func $nothing_async (result i32)))
  (import "wasix_32v1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_addr_peer" (func $sock_addr_peer (param i32 i32) (result i32)))
  (import "wasix_32v1" "port_mac" (func $port_mac (param i32) (result i32)))
  (import "wasix_32v1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasix_32v1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasix_32v1" "sock_status" (func $sock_status (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_addr_local" (func $sock_addr_local (param i32 i32) (result i32)))
  (import "wasix_32v1" "futex_wake" (func $futex_wake (param i32 i32) (result i32)))
  (import "wasix_32v1" "sched_yield" (func $sched_yield (result i32)))
  (import "wasix_32v1" "sock_recv" (func $sock_recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_send" (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_accept_v2" (func $sock_accept_v2 (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_send_to" (func $sock_send_to (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_recv_from"
    (func $sock_recv_from (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_event" (func $fd_event (param i64 i32 i32) (result i32)))
  (import "wasix_32v1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_pair" (func $sock_pair (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "epoll_create" (func $epoll_create (param i32) (result i32)))
  (import "wasix_32v1" "epoll_ctl" (func $epoll_ctl (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "epoll_wait" (func $epoll_wait (param i32 i32 i32 i64 i32) (result i32)))
"#;

/// What there has to be before the calls: two buffers, the subscriptions, the epolls.
const SETUP: &str = r#"
  ;; 64 bytes, and 8 that count 1.
  (data (i32.const 0x100) "\00\10\00\00\40\00\00\00" "\00\11\00\00\08\00\00\00")
  (data (i32.const 0x1100) "\01")
  ;; What the epolls watch for: readable, writable.
  (data (i32.const 0x300) "\01")
  (data (i32.const 0x340) "\02")
  (func (export "setup") (result i32)
    (local $at i32)
    ;; 31 ask whether 6 can be read, which it never can; the last, whether 4 can be written to.
    (local.set $at (i32.const 0x2000))
    (loop $next
      (i32.store8 offset=8 (local.get $at) (i32.const 1))
      (i32.store offset=16 (local.get $at) (i32.const 6))
      (local.set $at (i32.add (local.get $at) (i32.const 48)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 0x25d0))))
    (i32.store8 offset=8 (i32.const 0x25d0) (i32.const 2))
    (i32.store offset=16 (i32.const 0x25d0) (i32.const 4))
    ;; Where 7 sends to: itself.
    (call $sock_addr_local (i32.const 7) (i32.const 0x240))
    (i32.or (call $fd_event (i64.const 0) (i32.const 4) (i32.const 0x210)))
    (i32.or (call $sock_pair
      (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 0x220) (i32.const 0x224)))
    (i32.or (call $epoll_create (i32.const 0x214)))
    (i32.or (call $epoll_create (i32.const 0x218)))
    (i32.or (call $epoll_ctl
      (i32.load (i32.const 0x214)) (i32.const 1) (i32.load (i32.const 0x220)) (i32.const 0x340)))
    (i32.or (call $epoll_ctl
      (i32.load (i32.const 0x218)) (i32.const 1) (i32.load (i32.const 0x224)) (i32.const 0x300))))
"#;

/// The function of a case: so many times its calls. What it answers is 0 where each call
/// answered as it shall.
fn function(case: &Case) -> String {
    let calls: String = case
        .calls
        .iter()
        .map(|(call, errno)| {
            format!("(local.set $wrong (i32.or (local.get $wrong) (i32.xor (call ${call}) (i32.const {errno}))))\n")
        })
        .collect();
    format!(
        r#"(func (export "{}") (param $times i64) (result i32)
             (local $wrong i32)
             (loop $again
               {calls}
               (local.set $times (i64.sub (local.get $times) (i64.const 1)))
               (br_if $again (i64.ne (local.get $times) (i64.const 0))))
             (local.get $wrong))"#,
        case.name
    )
}

/// The guest, ready to make calls.
pub(crate) struct Guest {
    own_thread: bool,
    runtime: Runtime,
    store: Store<WasockCtx>,
    functions: Vec<TypedFunc<i64, i32>>,
    /// The other end of a connection, which says nothing.
    _silent: TcpStream,
}

impl Guest {
    pub(crate) fn new(Setup { memory, own_thread }: Setup) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let functions: String = CASES.iter().map(function).collect();
        // Imports come first in a module.
        let (imported, own) = match memory {
            Memory::SharedImported => (memory.text(), ""),
            _ => ("", memory.text()),
        };
        let text = format!("(module {imported} {IMPORTS} {own} {SETUP} {functions})");
        let engine = Engine::new(&wasock::Guest::engine_config())?;
        let module = Module::new(&engine, text)?;
        let (mut ctx, silent) = context(&runtime)?;
        ctx.adapt_to(&module);
        ctx.expect_single_instance();
        let mut linker: Linker<WasockCtx> = Linker::new(&engine);
        linker.func_wrap("bench", "nothing", || 0_i32)?;
        if own_thread {
            wasock::internals::add_to_linker_on_own_thread(&mut linker, &module)?;
            linker.func_wrap("bench", "nothing_async", || 0_i32)?;
        } else {
            wasock::add_to_linker(&mut linker, &module, |ctx| ctx)?;
            linker.func_wrap_async("bench", "nothing_async", |_, ()| Box::new(std::future::ready(0_i32)))?;
        }
        let shared = match memory {
            Memory::SharedImported => Some(SharedMemory::new(&engine, MemoryType::shared(1, 1))?),
            _ => None,
        };
        if let Some(shared) = &shared {
            ctx.set_shared_memory(shared.clone());
        }
        let mut store = Store::new(&engine, ctx);
        if let Some(shared) = shared {
            linker.define(&store, "env", "memory", shared)?;
        }
        // It is not interrupted.
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = if own_thread {
            linker.instantiate(&mut store, &module)?
        } else {
            runtime.block_on(linker.instantiate_async(&mut store, &module))?
        };
        let setup = instance.get_typed_func::<(), i32>(&mut store, "setup")?;
        let answer = if own_thread {
            let _inside = runtime.enter();
            setup.call(&mut store, ())?
        } else {
            runtime.block_on(setup.call_async(&mut store, ()))?
        };
        if answer != 0 {
            return Err(Error::msg(format!("the guest cannot begin: {answer}")));
        }
        let find = |case: &Case| instance.get_typed_func(&mut store, case.name);
        let functions = CASES.iter().map(find).collect::<Result<_>>()?;
        Ok(Self { own_thread, runtime, store, functions, _silent: silent })
    }

    /// Makes the calls of the case at `place` so many times.
    pub(crate) fn run(&mut self, place: usize, times: u64) -> Result<()> {
        let function = self.functions.get(place).ok_or_else(|| Error::msg("no such case"))?;
        let times = i64::try_from(times)?;
        let answer = if self.own_thread {
            let _inside = self.runtime.enter();
            function.call(&mut self.store, times)?
        } else {
            self.runtime.block_on(function.call_async(&mut self.store, times))?
        };
        match answer {
            0 => Ok(()),
            wrong => Err(Error::msg(format!("a call answered otherwise than it shall: {wrong:#x}"))),
        }
    }
}

/// The sockets that the guest finds, and the end of one that it does not have.
fn context(runtime: &Runtime) -> Result<(WasockCtx, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let pair = || -> Result<(TcpStream, TcpStream)> {
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        for stream in [&near, &far] {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
        }
        Ok((near, far))
    };
    let ((near, far), (idle, silent)) = (pair()?, pair()?);
    listener.set_nonblocking(true)?;
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    datagrams.set_nonblocking(true)?;
    let ctx = WasockCtx::builder()
        .preopened_sockets_on(runtime.handle())
        .preopened_nonblocking(true)
        .preopened_socket("listener", listener)?
        .preopened_socket("near", near)?
        .preopened_socket("far", far)?
        .preopened_socket("idle", idle)?
        .preopened_socket("datagrams", datagrams)?
        .udp_send(&"127.0.0.1:*".parse()?)
        .build_for_any_module()?;
    Ok((ctx, silent))
}
