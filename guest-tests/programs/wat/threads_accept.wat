;; Four threads accept from one listener, two of them only when a poll says so, and greet the client.
(module
  (import "env" "memory" (memory 8 64 shared))
  (import "wasi_snapshot_preview1" "proc_exit"
    (func $proc_exit (param i32)))
  (import "wasix_32v1" "sock_open"
    (func $sock_open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind"
    (func $sock_bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen"
    (func $sock_listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_accept_v2"
    (func $sock_accept_v2 (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send"
    (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close"
    (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi" "thread-spawn"
    (func $thread_spawn (param i32) (result i32)))

  ;; 0: the address 127.0.0.1, port 0. 128: the listener. 512: one vector, to the letter behind
  ;; it. 4096 and on: a kilobyte for each thread.
  (data $address "\01\00\00\00\7f\00\00\01")
  (data $greeting "\08\02\00\00\01\00\00\00!")

  ;; An error number becomes the exit code.
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  (func $serve (param $number i32)
    (local $at i32)
    (local.set $at (i32.add (i32.const 4096) (i32.shl (local.get $number) (i32.const 10))))
    (i32.store8 offset=72 (local.get $at) (i32.const 1))
    (i32.store offset=80 (local.get $at) (i32.load (i32.const 128)))
    (loop $next
      (if (i32.and (local.get $number) (i32.const 1))
        (then (call $must (call $poll_oneoff (i32.add (local.get $at) (i32.const 64))
          (i32.add (local.get $at) (i32.const 128)) (i32.const 1) (local.get $at)))))
      (call $must (call $sock_accept_v2 (i32.load (i32.const 128)) (i32.const 0)
        (local.get $at) (i32.add (local.get $at) (i32.const 8))))
      (drop (call $sock_send (i32.load (local.get $at)) (i32.const 512) (i32.const 1) (i32.const 0)
        (i32.add (local.get $at) (i32.const 4))))
      (call $must (call $fd_close (i32.load (local.get $at))))
      (br $next)))

  (func (export "wasi_thread_start") (param i32) (param $number i32)
    (call $serve (local.get $number)))

  (func (export "_start")
    (memory.init $address (i32.const 0) (i32.const 0) (i32.const 8))
    (memory.init $greeting (i32.const 512) (i32.const 0) (i32.const 9))
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 128)))
    (call $must (call $sock_bind (i32.load (i32.const 128)) (i32.const 0)))
    (call $must (call $sock_listen (i32.load (i32.const 128)) (i32.const 128)))
    (drop (call $thread_spawn (i32.const 1)))
    (drop (call $thread_spawn (i32.const 2)))
    (drop (call $thread_spawn (i32.const 3)))
    (call $serve (i32.const 4))))
