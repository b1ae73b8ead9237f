;; A thread for each connection sends back what comes.
(module
  (import "env" "memory" (memory 8 64 shared))
  (import "wasix_32v1" "sock_open"
    (func $sock_open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind"
    (func $sock_bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen"
    (func $sock_listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_accept_v2"
    (func $sock_accept_v2 (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv"
    (func $sock_recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send"
    (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close"
    (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit"
    (func $proc_exit (param i32)))
  (import "wasi" "thread-spawn"
    (func $thread_spawn (param i32) (result i32)))

  ;; 0: the address 127.0.0.1, port 0. 128: the listener. 132: the connection. 136: the peer.
  (data $address "\01\00\00\00\7f\00\00\01")

  ;; An error number becomes the exit code.
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  ;; Sends back what comes, until the peer ends. Each thread has a kilobyte.
  (func $serve (param $tid i32) (param $fd i32)
    (local $at i32)
    (local.set $at (i32.add (i32.const 65536)
      (i32.shl (i32.and (local.get $tid) (i32.const 255)) (i32.const 10))))
    (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 32)))
    (block $over
      (loop $next
        (i32.store offset=4 (local.get $at) (i32.const 960))
        (br_if $over (call $sock_recv (local.get $fd) (local.get $at) (i32.const 1) (i32.const 0)
          (i32.add (local.get $at) (i32.const 8)) (i32.add (local.get $at) (i32.const 12))))
        (br_if $over (i32.eqz (i32.load offset=8 (local.get $at))))
        (i32.store offset=4 (local.get $at) (i32.load offset=8 (local.get $at)))
        (br_if $over (call $sock_send (local.get $fd) (local.get $at) (i32.const 1) (i32.const 0)
          (i32.add (local.get $at) (i32.const 8))))
        (br $next)))
    (drop (call $fd_close (local.get $fd))))

  (func (export "wasi_thread_start") (param $tid i32) (param $fd i32)
    (call $serve (local.get $tid) (local.get $fd)))

  (func (export "_start")
    (memory.init $address (i32.const 0) (i32.const 0) (i32.const 8))
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 128)))
    (call $must (call $sock_bind (i32.load (i32.const 128)) (i32.const 0)))
    (call $must (call $sock_listen (i32.load (i32.const 128)) (i32.const 128)))
    (loop $next
      (call $must (call $sock_accept_v2
        (i32.load (i32.const 128)) (i32.const 0) (i32.const 132) (i32.const 136)))
      ;; No thread, no service.
      (if (i32.lt_s (call $thread_spawn (i32.load (i32.const 132))) (i32.const 0))
        (then (call $must (call $fd_close (i32.load (i32.const 132))))))
      (br $next))))
