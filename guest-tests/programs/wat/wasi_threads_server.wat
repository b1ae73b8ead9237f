;; A program of wasi-threads and preview 1, and nothing else: it accepts at the listener that it is handed, and a
;; thread for each connection sends back what comes. A connection that sends `e` ends the program with code 42, one
;; that sends `t` by a trap, one that sends `r` by the return of the first thread.
(module
  (import "env" "memory" (memory 8 64 shared))
  (import "wasi_snapshot_preview1" "sock_accept"
    (func $sock_accept (param i32 i32 i32) (result i32)))
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

  ;; 128: the connection. 132: the answer to a thread that did not start. 136: one byte to send, at 148, and
  ;; how many were sent. 160: whether to return.

  ;; An error number becomes the exit code.
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  ;; What a message asks for.
  (func $obey (param $letter i32)
    (if (i32.eq (local.get $letter) (i32.const 0x65)) (then (call $proc_exit (i32.const 42))))
    (if (i32.eq (local.get $letter) (i32.const 0x74)) (then unreachable))
    (if (i32.eq (local.get $letter) (i32.const 0x72)) (then (i32.atomic.store (i32.const 160) (i32.const 1)))))

  ;; Each thread has a kilobyte.
  (func (export "wasi_thread_start") (param $tid i32) (param $fd i32)
    (local $at i32)
    ;; "a positive integer, from 1 to 0x1FFFFFFF"
    (if (i32.or (i32.lt_s (local.get $tid) (i32.const 1)) (i32.gt_s (local.get $tid) (i32.const 0x1fffffff)))
      (then unreachable))
    (local.set $at (i32.add (i32.const 65536)
      (i32.shl (i32.and (local.get $tid) (i32.const 255)) (i32.const 10))))
    (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 32)))
    (block $over
      (loop $next
        (i32.store offset=4 (local.get $at) (i32.const 960))
        (br_if $over (call $sock_recv (local.get $fd) (local.get $at) (i32.const 1) (i32.const 0)
          (i32.add (local.get $at) (i32.const 8)) (i32.add (local.get $at) (i32.const 12))))
        (br_if $over (i32.eqz (i32.load offset=8 (local.get $at))))
        (call $obey (i32.load8_u (i32.load (local.get $at))))
        (i32.store offset=4 (local.get $at) (i32.load offset=8 (local.get $at)))
        (br_if $over (call $sock_send (local.get $fd) (local.get $at) (i32.const 1) (i32.const 0)
          (i32.add (local.get $at) (i32.const 8))))
        (br $next)))
    (drop (call $fd_close (local.get $fd))))

  (func (export "_start") (local $started i32)
    (loop $next
      (call $must (call $sock_accept (i32.const 3) (i32.const 0) (i32.const 128)))
      (local.set $started (call $thread_spawn (i32.load (i32.const 128))))
      ;; "or a negative number in case of an error": the client gets it as a letter, `g` for 6.
      (if (i32.lt_s (local.get $started) (i32.const 0))
        (then
          (i32.store8 (i32.const 148) (i32.sub (i32.const 0x61) (local.get $started)))
          (i32.store (i32.const 136) (i32.const 148))
          (i32.store (i32.const 140) (i32.const 1))
          (drop (call $sock_send (i32.load (i32.const 128)) (i32.const 136) (i32.const 1) (i32.const 0)
            (i32.const 152)))
          (drop (call $fd_close (i32.load (i32.const 128))))))
      (br_if $next (i32.eqz (i32.atomic.load (i32.const 160)))))))
