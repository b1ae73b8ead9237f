;; One thread accepts; eight answer a request of each connection: as a program of early 2023 does it.
(module
  (import "env" "memory" (memory 8 64 shared))
  (import "wasix_32v1" "sock_open"
    (func $sock_open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind"
    (func $sock_bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen"
    (func $sock_listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_accept"
    (func $sock_accept (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_recv"
    (func $sock_recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_send"
    (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_close"
    (func $fd_close (param i32) (result i32)))
  (import "wasix_32v1" "proc_exit"
    (func $proc_exit (param i32)))
  (import "wasix_32v1" "thread_spawn"
    (func $thread_spawn (param i64 i64 i64 i32 i32) (result i32)))
  (import "wasix_32v1" "futex_wait"
    (func $futex_wait (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "futex_wake"
    (func $futex_wake (param i32 i32) (result i32)))

  ;; 0: the address 127.0.0.1, port 0. 64: no limit. 128: the listener. 132: the connection.
  ;; 136: the peer. 160: what is not read. 512: one vector, to the answer behind it.
  ;; 1024 and 1088: how many connections were taken and put; 4096: the queue between them.
  (data $address "\01\00\00\00\7f\00\00\01")
  (data $answer "\08\02\00\00\3b\00\00\00"
    "HTTP/1.1 200 OK\0d\0aConnection: close\0d\0aContent-Length: 2\0d\0a\0d\0aok")

  ;; An error number becomes the exit code.
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  ;; Takes a connection out of the queue, and waits where there is none.
  (func $take (param $at i32) (result i32)
    (local $head i32) (local $fd i32)
    (loop $again
      (local.set $head (i32.atomic.load (i32.const 1024)))
      (if (i32.eq (local.get $head) (i32.atomic.load (i32.const 1088)))
        (then
          (call $must (call $futex_wait (i32.const 1088) (local.get $head) (i32.const 64)
            (local.get $at)))
          (br $again)))
      (local.set $fd (i32.atomic.load offset=4096
        (i32.shl (i32.and (local.get $head) (i32.const 255)) (i32.const 2))))
      (br_if $again (i32.ne (local.get $head)
        (i32.atomic.rmw.cmpxchg (i32.const 1024) (local.get $head)
          (i32.add (local.get $head) (i32.const 1))))))
    (call $must (call $futex_wake (i32.const 1024) (local.get $at)))
    (local.get $fd))

  ;; Puts a connection into the queue, and waits where it is full.
  (func $put (param $fd i32)
    (local $head i32) (local $tail i32)
    (local.set $tail (i32.atomic.load (i32.const 1088)))
    (block $room
      (loop $full
        (local.set $head (i32.atomic.load (i32.const 1024)))
        (br_if $room (i32.lt_u (i32.sub (local.get $tail) (local.get $head)) (i32.const 256)))
        (call $must (call $futex_wait (i32.const 1024) (local.get $head) (i32.const 64)
          (i32.const 160)))
        (br $full)))
    (i32.atomic.store offset=4096
      (i32.shl (i32.and (local.get $tail) (i32.const 255)) (i32.const 2)) (local.get $fd))
    (i32.atomic.store (i32.const 1088) (i32.add (local.get $tail) (i32.const 1)))
    (call $must (call $futex_wake (i32.const 1088) (i32.const 160))))

  ;; Answers one request of each connection.
  (func $work (param $slot i32)
    (local $at i32) (local $fd i32)
    (local.set $at (i32.add (i32.const 65536) (i32.shl (local.get $slot) (i32.const 12))))
    (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 32)))
    (loop $next
      (local.set $fd (call $take (i32.add (local.get $at) (i32.const 16))))
      (i32.store offset=4 (local.get $at) (i32.const 4000))
      (if (i32.eqz (call $sock_recv (local.get $fd) (local.get $at) (i32.const 1) (i32.const 0)
            (i32.add (local.get $at) (i32.const 8)) (i32.add (local.get $at) (i32.const 12))))
        (then
          (drop (call $sock_send (local.get $fd) (i32.const 512) (i32.const 1) (i32.const 0)
            (i32.add (local.get $at) (i32.const 8))))))
      (drop (call $fd_close (local.get $fd)))
      (br $next)))

  (func (export "_start_thread") (param $slot i32) (param i32)
    (call $work (local.get $slot)))

  (func (export "_start")
    (local $slot i32)
    (memory.init $address (i32.const 0) (i32.const 0) (i32.const 8))
    (memory.init $answer (i32.const 512) (i32.const 0) (i32.const 67))
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 128)))
    (call $must (call $sock_bind (i32.load (i32.const 128)) (i32.const 0)))
    (call $must (call $sock_listen (i32.load (i32.const 128)) (i32.const 128)))
    (loop $more
      (call $must (call $thread_spawn (i64.extend_i32_u (local.get $slot))
        (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 160)))
      (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $slot) (i32.const 8))))
    (loop $next
      (call $must (call $sock_accept
        (i32.load (i32.const 128)) (i32.const 0) (i32.const 132) (i32.const 136)))
      (call $put (i32.load (i32.const 132)))
      (br $next))))
