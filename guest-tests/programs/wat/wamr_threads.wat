;; A program of WAMR with wasi-threads: it listens, and a thread for each connection sends back what comes, and
;; closes its socket by the call that is for sockets.
(module
  (import "env" "memory" (memory 8 64 shared))
  (import "wasi_snapshot_preview1" "sock_open"
    (func $sock_open (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_bind"
    (func $sock_bind (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_listen"
    (func $sock_listen (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_accept"
    (func $sock_accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_addr_remote"
    (func $sock_addr_remote (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv_from"
    (func $sock_recv_from (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send"
    (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_close"
    (func $sock_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit"
    (func $proc_exit (param i32)))
  (import "wasi" "thread-spawn"
    (func $thread_spawn (param i32) (result i32)))

  ;; 8: the address 127.0.0.1, port 0. 128: the listener. 132: the connection.
  (data $address "\00\00\00\00\7f\00\00\01\00\00")

  ;; An error number becomes the exit code.
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  ;; Each thread has a kilobyte: the buffer of the bytes at 96; what came, and from whom.
  (func (export "wasi_thread_start") (param $tid i32) (param $fd i32)
    (local $at i32)
    (local.set $at (i32.add (i32.const 65536)
      (i32.shl (i32.and (local.get $tid) (i32.const 255)) (i32.const 10))))
    (call $must (call $sock_addr_remote (local.get $fd) (i32.add (local.get $at) (i32.const 32))))
    (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 96)))
    (block $over
      (loop $next
        (i32.store offset=4 (local.get $at) (i32.const 900))
        (br_if $over (call $sock_recv_from (local.get $fd) (local.get $at) (i32.const 1) (i32.const 0)
          (i32.add (local.get $at) (i32.const 64)) (i32.add (local.get $at) (i32.const 8))))
        (br_if $over (i32.eqz (i32.load offset=8 (local.get $at))))
        ;; From the peer: the same kind, address and port.
        (if (i64.ne (i64.load offset=32 (local.get $at)) (i64.load offset=64 (local.get $at))) (then unreachable))
        (if (i32.ne (i32.load16_u offset=40 (local.get $at)) (i32.load16_u offset=72 (local.get $at)))
          (then unreachable))
        (i32.store offset=4 (local.get $at) (i32.load offset=8 (local.get $at)))
        (br_if $over (call $sock_send (local.get $fd) (local.get $at) (i32.const 1) (i32.const 0)
          (i32.add (local.get $at) (i32.const 8))))
        (br $next)))
    (call $must (call $sock_close (local.get $fd))))

  (func (export "_start")
    (memory.init $address (i32.const 8) (i32.const 0) (i32.const 10))
    (call $must (call $sock_open (i32.const -1) (i32.const 0) (i32.const 1) (i32.const 128)))
    (call $must (call $sock_bind (i32.load (i32.const 128)) (i32.const 8)))
    (call $must (call $sock_listen (i32.load (i32.const 128)) (i32.const 128)))
    (loop $next
      (call $must (call $sock_accept (i32.load (i32.const 128)) (i32.const 0) (i32.const 132)))
      ;; No thread, no service.
      (if (i32.lt_s (call $thread_spawn (i32.load (i32.const 132))) (i32.const 0))
        (then (call $must (call $sock_close (i32.load (i32.const 132))))))
      (br $next))))
