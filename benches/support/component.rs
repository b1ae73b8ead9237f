//! A component of WASI 0.2 that makes one call again and again.
//!
//! It is written here, as text: a core module with a function for each case, and the lowered imports it calls.

use std::net::Ipv4Addr;

use tokio::runtime::{Builder, Runtime};
use wasmtime::component::Component;
use wasmtime::{Engine, Error, Result};
use wasock::WasockCtx;
use wasock::internals::{ComponentInstance, Repeated};

/// One case: calls that are made in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ComponentCase {
    /// Its name, behind what it costs beside the call itself.
    pub(crate) label: &'static str,
    /// Its calls: instructions that leave 0 where each has answered as it shall.
    calls: &'static str,
}

// Results are written to 0x100. `$near` and `$far` are the ends of a connection, and 0x200 has its 64 bytes; `$idle` reads
// from one whose other end says nothing. Lists of pollables begin at 0x300: one that is ready; 31 that are not, and
// one that is.
pub(crate) const CASES: &[ComponentCase] = &[
    ComponentCase { label: "sync: nothing, by Wasmtime alone", calls: "(call $nothing)" },
    ComponentCase {
        label: "sync: nothing of a borrowed resource, by Wasmtime alone",
        calls: "(call $thing_nothing (global.get $thing))",
    },
    ComponentCase { label: "async: nothing async, by Wasmtime alone", calls: "(call $nothing_async)" },
    ComponentCase {
        label: "sync: tcp-socket.is-listening",
        calls: "(i32.xor (call $is_listening (global.get $listener)) (i32.const 1))",
    },
    ComponentCase {
        label: "sync: output-stream.check-write",
        calls: "(call $check_write (global.get $near) (i32.const 0x100)) (i32.load8_u (i32.const 0x100))",
    },
    ComponentCase {
        label: "system: input-stream.read, nothing there",
        calls: "(call $read (global.get $idle) (i64.const 16384) (i32.const 0x100))
          (i32.or (i32.load8_u (i32.const 0x100)) (i32.load offset=8 (i32.const 0x100)))",
    },
    ComponentCase {
        label: "system: tcp-socket.accept, nothing there",
        calls: "(call $accept (global.get $listener) (i32.const 0x100))
          (i32.xor (i32.load16_u (i32.const 0x100)) (i32.const 1))
          (i32.or (i32.xor (i32.load8_u offset=4 (i32.const 0x100)) (i32.const 8)))",
    },
    ComponentCase {
        label: "system: check-write, write and read of 64 bytes",
        calls: "(call $check_write (global.get $near) (i32.const 0x100))
          (i32.load8_u (i32.const 0x100))
          (call $write (global.get $near) (i32.const 0x200) (i32.const 64) (i32.const 0x100))
          (i32.or (i32.load8_u (i32.const 0x100)))
          (call $read (global.get $far) (i64.const 16384) (i32.const 0x100))
          (i32.or (i32.load8_u (i32.const 0x100)))
          (i32.or (i32.xor (i32.load offset=8 (i32.const 0x100)) (i32.const 64)))",
    },
    ComponentCase {
        label: "sync: input-stream.subscribe, and the drop of the pollable",
        calls: "(call $drop_pollable (call $subscribe (global.get $far))) (i32.const 0)",
    },
    ComponentCase {
        label: "system: poll, 1 pollable",
        calls: "(call $poll (i32.const 0x300) (i32.const 1) (i32.const 0x100))
          (i32.xor (i32.load offset=4 (i32.const 0x100)) (i32.const 1))",
    },
    ComponentCase {
        label: "system: poll, 32 pollables",
        calls: "(call $poll (i32.const 0x304) (i32.const 32) (i32.const 0x100))
          (i32.xor (i32.load offset=4 (i32.const 0x100)) (i32.const 1))
          (i32.or (i32.xor (i32.load (i32.load (i32.const 0x100))) (i32.const 31)))",
    },
];

/// The imports: of each interface what the calls need.
const IMPORTS: &str = r#"
  (import "bench:calls/nothing" (instance $nothing
    (export "thing" (type $thing (sub resource)))
    (export "make" (func (result (own $thing))))
    (export "[method]thing.nothing" (func (param "self" (borrow $thing)) (result u32)))
    (export "nothing" (func (result u32)))
    (export "nothing-async" (func (result u32)))))
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error))
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "error" (type $error_in (eq $error)))
    (export "pollable" (type $pollable_in (eq $pollable)))
    (type $stream_error_ (variant (case "last-operation-failed" (own $error_in)) (case "closed")))
    (export "stream-error" (type $stream_error (eq $stream_error_)))
    (export "input-stream" (type $input (sub resource)))
    (export "output-stream" (type $output (sub resource)))
    (export "[method]input-stream.read"
      (func (param "self" (borrow $input)) (param "len" u64) (result (result (list u8) (error $stream_error)))))
    (export "[method]input-stream.subscribe" (func (param "self" (borrow $input)) (result (own $pollable_in))))
    (export "[method]output-stream.check-write"
      (func (param "self" (borrow $output)) (result (result u64 (error $stream_error)))))
    (export "[method]output-stream.write"
      (func (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $stream_error)))))
    (export "[method]output-stream.subscribe" (func (param "self" (borrow $output)) (result (own $pollable_in))))))
  (alias export $streams "input-stream" (type $input))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:sockets/network@0.2.0" (instance $network
    (export "network" (type (sub resource)))
    (type $error_code (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
      "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable"
      "address-in-use" "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted"
      "datagram-too-large" "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type (eq $error_code)))
    (type $family (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type (eq $family)))
    (type $ipv4_address (tuple u8 u8 u8 u8))
    (export "ipv4-address" (type $ipv4_address_ (eq $ipv4_address)))
    (type $ipv4 (record (field "port" u16) (field "address" $ipv4_address_)))
    (export "ipv4-socket-address" (type $ipv4_ (eq $ipv4)))
    (type $ipv6_address (tuple u16 u16 u16 u16 u16 u16 u16 u16))
    (export "ipv6-address" (type $ipv6_address_ (eq $ipv6_address)))
    (type $ipv6 (record (field "port" u16) (field "flow-info" u32) (field "address" $ipv6_address_)
      (field "scope-id" u32)))
    (export "ipv6-socket-address" (type $ipv6_ (eq $ipv6)))
    (type $address (variant (case "ipv4" $ipv4_) (case "ipv6" $ipv6_)))
    (export "ip-socket-address" (type (eq $address)))))
  (alias export $network "network" (type $network_))
  (alias export $network "error-code" (type $error_code))
  (alias export $network "ip-address-family" (type $family))
  (alias export $network "ip-socket-address" (type $address))
  (import "wasi:sockets/instance-network@0.2.0" (instance $instance_network
    (export "network" (type $network (eq $network_)))
    (export "instance-network" (func (result (own $network))))))
  (import "wasi:sockets/tcp@0.2.0" (instance $tcp
    (export "network" (type $network (eq $network_)))
    (export "pollable" (type $pollable_in (eq $pollable)))
    (export "input-stream" (type $input_in (eq $input)))
    (export "output-stream" (type $output_in (eq $output)))
    (export "error-code" (type $error_code_in (eq $error_code)))
    (export "ip-socket-address" (type $address_in (eq $address)))
    (export "tcp-socket" (type $socket (sub resource)))
    (type $done (result (error $error_code_in)))
    (export "[method]tcp-socket.start-bind" (func (param "self" (borrow $socket))
      (param "network" (borrow $network)) (param "local-address" $address_in) (result $done)))
    (export "[method]tcp-socket.finish-bind" (func (param "self" (borrow $socket)) (result $done)))
    (export "[method]tcp-socket.start-listen" (func (param "self" (borrow $socket)) (result $done)))
    (export "[method]tcp-socket.finish-listen" (func (param "self" (borrow $socket)) (result $done)))
    (export "[method]tcp-socket.start-connect" (func (param "self" (borrow $socket))
      (param "network" (borrow $network)) (param "remote-address" $address_in) (result $done)))
    (export "[method]tcp-socket.finish-connect" (func (param "self" (borrow $socket))
      (result (result (tuple (own $input_in) (own $output_in)) (error $error_code_in)))))
    (export "[method]tcp-socket.accept" (func (param "self" (borrow $socket))
      (result (result (tuple (own $socket) (own $input_in) (own $output_in)) (error $error_code_in)))))
    (export "[method]tcp-socket.local-address" (func (param "self" (borrow $socket))
      (result (result $address_in (error $error_code_in)))))
    (export "[method]tcp-socket.is-listening" (func (param "self" (borrow $socket)) (result bool)))
    (export "[method]tcp-socket.subscribe" (func (param "self" (borrow $socket)) (result (own $pollable_in))))))
  (alias export $tcp "tcp-socket" (type $socket))
  (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
    (export "error-code" (type $error_code_in (eq $error_code)))
    (export "ip-address-family" (type $family_in (eq $family)))
    (export "tcp-socket" (type $socket_in (eq $socket)))
    (export "create-tcp-socket" (func (param "address-family" $family_in)
      (result (result (own $socket_in) (error $error_code_in)))))))
"#;

/// The functions of the imports that the module calls: the instance and the name, what the module calls them, and
/// their core parameters and results.
const LOWERED: &[(&str, &str, &str, &str)] = &[
    ("nothing", "nothing", "nothing", "(result i32)"),
    ("nothing", "nothing-async", "nothing_async", "(result i32)"),
    ("nothing", "make", "make", "(result i32)"),
    ("nothing", "[method]thing.nothing", "thing_nothing", "(param i32) (result i32)"),
    ("poll", "[method]pollable.block", "block", "(param i32)"),
    ("poll", "poll", "poll", "(param i32 i32 i32)"),
    ("streams", "[method]input-stream.read", "read", "(param i32 i64 i32)"),
    ("streams", "[method]input-stream.subscribe", "subscribe", "(param i32) (result i32)"),
    ("streams", "[method]output-stream.check-write", "check_write", "(param i32 i32)"),
    ("streams", "[method]output-stream.write", "write", "(param i32 i32 i32 i32)"),
    ("streams", "[method]output-stream.subscribe", "subscribe_output", "(param i32) (result i32)"),
    ("instance_network", "instance-network", "instance_network", "(result i32)"),
    ("create", "create-tcp-socket", "create", "(param i32 i32)"),
    ("tcp", "[method]tcp-socket.start-bind", "start_bind", ADDRESSED),
    ("tcp", "[method]tcp-socket.finish-bind", "finish_bind", "(param i32 i32)"),
    ("tcp", "[method]tcp-socket.start-listen", "start_listen", "(param i32 i32)"),
    ("tcp", "[method]tcp-socket.finish-listen", "finish_listen", "(param i32 i32)"),
    ("tcp", "[method]tcp-socket.start-connect", "start_connect", ADDRESSED),
    ("tcp", "[method]tcp-socket.finish-connect", "finish_connect", "(param i32 i32)"),
    ("tcp", "[method]tcp-socket.accept", "accept", "(param i32 i32)"),
    ("tcp", "[method]tcp-socket.local-address", "local_address", "(param i32 i32)"),
    ("tcp", "[method]tcp-socket.is-listening", "is_listening", "(param i32) (result i32)"),
    ("tcp", "[method]tcp-socket.subscribe", "subscribe_socket", "(param i32) (result i32)"),
];

/// A socket, a network, an address, and where the result goes.
const ADDRESSED: &str = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)";

/// What there has to be before the calls.
const SETUP: &str = r#"
  (global $thing (mut i32) (i32.const 0))
  (global $network (mut i32) (i32.const 0))
  (global $listener (mut i32) (i32.const 0))
  (global $near (mut i32) (i32.const 0))
  (global $far (mut i32) (i32.const 0))
  (global $idle (mut i32) (i32.const 0))

  ;; Traps where the result at 0x100 is an error.
  (func $check (if (i32.load8_u (i32.const 0x100)) (then (unreachable))))

  ;; Waits for what the pollable is of, and drops it.
  (func $wait (param $pollable i32)
    (call $block (local.get $pollable))
    (call $drop_pollable (local.get $pollable)))

  ;; A socket that has begun to connect to the listener.
  (func $connect (param $port i32) (result i32)
    (local $socket i32)
    (call $create (i32.const 0) (i32.const 0x100))
    (call $check)
    (local.set $socket (i32.load offset=4 (i32.const 0x100)))
    (call $start_connect (local.get $socket) (global.get $network) (i32.const 0) (local.get $port)
      (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0x100))
    (call $check)
    (call $wait (call $subscribe_socket (local.get $socket)))
    (call $finish_connect (local.get $socket) (i32.const 0x100))
    (call $check)
    (local.get $socket))

  (func (export "setup") (param $times i64) (result i32)
    (local $port i32) (local $at i32) (local $socket i32)
    (global.set $thing (call $make))
    (global.set $network (call $instance_network))
    (call $create (i32.const 0) (i32.const 0x100))
    (call $check)
    (global.set $listener (i32.load offset=4 (i32.const 0x100)))
    (call $start_bind (global.get $listener) (global.get $network) (i32.const 0) (i32.const 0)
      (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0x100))
    (call $check)
    (call $finish_bind (global.get $listener) (i32.const 0x100))
    (call $check)
    (call $start_listen (global.get $listener) (i32.const 0x100))
    (call $check)
    (call $finish_listen (global.get $listener) (i32.const 0x100))
    (call $check)
    (call $local_address (global.get $listener) (i32.const 0x100))
    (call $check)
    (local.set $port (i32.load16_u offset=8 (i32.const 0x100)))

    (drop (call $connect (local.get $port)))
    (global.set $near (i32.load offset=8 (i32.const 0x100)))
    (call $wait (call $subscribe_socket (global.get $listener)))
    (call $accept (global.get $listener) (i32.const 0x100))
    (call $check)
    (global.set $far (i32.load offset=8 (i32.const 0x100)))
    (drop (call $connect (local.get $port)))
    (global.set $idle (i32.load offset=4 (i32.const 0x100)))
    (call $wait (call $subscribe_socket (global.get $listener)))
    (call $accept (global.get $listener) (i32.const 0x100))
    (call $check)

    (i32.store (i32.const 0x300) (call $subscribe_output (global.get $near)))
    (local.set $at (i32.const 0x304))
    (loop $next
      (i32.store (local.get $at) (call $subscribe (global.get $idle)))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 0x380))))
    (i32.store (local.get $at) (call $subscribe_output (global.get $near)))
    (i32.const 0))
"#;

/// A memory, in which each list that a call returns has the same place.
const MEMORY: &str = r#"
  (core module $memory_module
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x10000)))
  (core instance $memory (instantiate $memory_module))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
"#;

/// The name by which the function of the case at `place` is exported.
fn exported(place: usize) -> String {
    format!("case-{place}")
}

fn text() -> String {
    let (mut lowered, mut given, mut imports) = (String::new(), String::new(), String::new());
    for (instance, name, short, ty) in LOWERED {
        lowered += &format!(
            "(core func ${short} (canon lower (func ${instance} \"{name}\") (memory $mem) (realloc $realloc)))\n"
        );
        given += &format!("(export \"{short}\" (func ${short}))\n");
        imports += &format!("(import \"host\" \"{short}\" (func ${short} {ty}))\n");
    }
    let (mut functions, mut lifted) = (String::new(), String::new());
    for (place, case) in CASES.iter().enumerate() {
        let (name, calls) = (exported(place), case.calls);
        functions += &format!(
            r#"(func (export "{name}") (param $times i64) (result i32)
                 (local $wrong i32)
                 (loop $again
                   {calls}
                   (local.set $wrong (i32.or (local.get $wrong)))
                   (local.set $times (i64.sub (local.get $times) (i64.const 1)))
                   (br_if $again (i64.ne (local.get $times) (i64.const 0))))
                 (local.get $wrong))"#
        );
        lifted += &lift(&name);
    }
    lifted += &lift("setup");
    format!(
        r#"(component {IMPORTS} {MEMORY} {lowered}
          (core func $drop_pollable (canon resource.drop $pollable))
          (core module $module_
            {imports}
            (import "host" "drop_pollable" (func $drop_pollable (param i32)))
            (import "host" "memory" (memory 2))
            {SETUP} {functions})
          (core instance $module (instantiate $module_ (with "host" (instance
            {given}
            (export "drop_pollable" (func $drop_pollable))
            (export "memory" (memory $mem))))))
          {lifted})"#
    )
}

/// Exports a function of the module as one of the component.
fn lift(name: &str) -> String {
    format!(
        "(func ${name}-lifted (param \"times\" u64) (result u32) (canon lift (core func $module \"{name}\")))
         (export \"{name}\" (func ${name}-lifted))\n"
    )
}

/// The component, ready to make calls.
pub(crate) struct ComponentGuest {
    runtime: Runtime,
    instance: ComponentInstance,
    functions: Vec<Repeated>,
}

/// The engines: without the async functions of the component model, and with them.
pub(crate) const ENGINES: [(&str, bool); 2] = [("component", false), ("component-with-async", true)];

impl ComponentGuest {
    pub(crate) fn new(has_async: bool) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut config = wasock::Guest::engine_config();
        config.concurrency_support(has_async);
        let component = Component::new(&Engine::new(&config)?, text())?;
        let loopback = Ipv4Addr::LOCALHOST;
        let ctx = WasockCtx::builder()
            .sockets_on(runtime.handle())
            .listen(&format!("{loopback}:0").parse()?)
            .connect(&format!("{loopback}:*").parse()?)
            .build_for_any_module()?;
        let mut instance = runtime.block_on(ComponentInstance::new(&component, ctx))?;
        let setup = instance.function("setup")?;
        let functions =
            (0..CASES.len()).map(|place| instance.function(&exported(place))).collect::<Result<_>>()?;
        runtime.block_on(instance.call(&setup, 1))?;
        Ok(Self { runtime, instance, functions })
    }

    /// Makes the calls of the case at `place` so many times.
    pub(crate) fn run(&mut self, place: usize, times: u64) -> Result<()> {
        let function = self.functions.get(place).ok_or_else(|| Error::msg("no such case"))?;
        match self.runtime.block_on(self.instance.call(function, times))? {
            0 => Ok(()),
            wrong => Err(Error::msg(format!("a call answered otherwise than it shall: {wrong:#x}"))),
        }
    }
}
