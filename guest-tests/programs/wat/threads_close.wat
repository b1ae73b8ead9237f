;; Descriptors that one thread closes while another one waits in them; the first argument chooses.
(module
  (import "env" "memory" (memory 8 64 shared))
  (import "wasi_snapshot_preview1" "args_get"
    (func $args_get (param i32 i32) (result i32)))
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
  (import "wasi_snapshot_preview1" "sock_recv"
    (func $sock_recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send"
    (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close"
    (func $fd_close (param i32) (result i32)))
  (import "wasix_32v1" "fd_dup"
    (func $fd_dup (param i32 i32) (result i32)))
  (import "wasix_32v1" "fd_renumber"
    (func $fd_renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi" "thread-spawn"
    (func $thread_spawn (param i32) (result i32)))
  (import "wasix_32v1" "thread_join"
    (func $thread_join (param i32) (result i32)))
  (import "wasix_32v1" "thread_sleep"
    (func $thread_sleep (param i64) (result i32)))

  ;; 0: the address 127.0.0.1, port 0. 128: the listener. 132: the connection. 136: the peer.
  ;; 164: a duplicate. 508: the thread is about to call. 512: what the waiting call answered, and
  ;; 1 more. 1024: a vector of 64
  ;; bytes at 1100. 1032: how many. 1040: flags. 2048: subscriptions. 2304: events. 8192: the
  ;; arguments.
  (data $address "\01\00\00\00\7f\00\00\01")

  ;; An error number becomes the exit code.
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  (func $pause (call $must (call $thread_sleep (i64.const 20000000))))

  (func $receive (result i32)
    (call $sock_recv (i32.load (i32.const 132)) (i32.const 1024) (i32.const 1) (i32.const 0)
      (i32.const 1032) (i32.const 1040)))

  (func $accept (result i32)
    (call $sock_accept_v2 (i32.load (i32.const 128)) (i32.const 0) (i32.const 168) (i32.const 172)))

  (func $read (result i32)
    (call $fd_read (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 1032)))

  ;; For something to read from the connection.
  (func $poll (result i32)
    (i32.store8 (i32.const 2056) (i32.const 1))
    (i32.store (i32.const 2064) (i32.load (i32.const 132)))
    (call $must (call $poll_oneoff (i32.const 2048) (i32.const 2304) (i32.const 1) (i32.const 1032)))
    (call $expect (i32.load (i32.const 1032)) (i32.const 1))
    (i32.load16_u (i32.const 2312)))

  (func $close_everything
    (local $times i32) (local $fd i32)
    (local.set $times (i32.const 500))
    (loop $again
      (local.set $fd (i32.const 3))
      (loop $next
        (drop (call $fd_close (local.get $fd)))
        (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $fd) (i32.const 40))))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $again (local.get $times))))

  (func (export "wasi_thread_start") (param $tid i32) (param $task i32)
    (local $answer i32)
    (i32.atomic.store (i32.const 508) (i32.const 1))
    (block $everything (block $poll (block $read (block $accept (block $receive
      (br_table $receive $accept $read $poll $everything (local.get $task)))
      (local.set $answer (call $receive)) (br $everything))
      (local.set $answer (call $accept)) (br $everything))
      (local.set $answer (call $read)) (br $everything))
      (local.set $answer (call $poll)))
    (if (i32.eq (local.get $task) (i32.const 4))
      (then (call $close_everything) (return)))
    (i32.atomic.store (i32.const 512) (i32.add (local.get $answer) (i32.const 1))))

  (func $start (param $task i32) (result i32)
    (local $tid i32)
    (local.set $tid (call $thread_spawn (local.get $task)))
    (if (i32.lt_s (local.get $tid) (i32.const 2)) (then unreachable))
    ;; On a busy machine it takes its time to begin.
    (loop $again
      (call $pause)
      (br_if $again (i32.eqz (i32.atomic.rmw.xchg (i32.const 508) (i32.const 0)))))
    (call $pause)
    (call $pause)
    (call $expect (i32.atomic.load (i32.const 512)) (i32.const 0))
    (local.get $tid))

  ;; The waiting call ends, and answers BADF.
  (func $ended (param $tid i32)
    (call $must (call $thread_join (local.get $tid)))
    (call $expect (i32.atomic.load (i32.const 512)) (i32.const 9))
    (i32.atomic.store (i32.const 512) (i32.const 0)))

  (func $closed_under (param $task i32) (param $fd i32)
    (local $tid i32)
    (local.set $tid (call $start (local.get $task)))
    (call $must (call $fd_close (local.get $fd)))
    (call $ended (local.get $tid)))

  (func $duplicated (param $task i32)
    (local $tid i32)
    (call $must (call $fd_dup (i32.load (i32.const 132)) (i32.const 164)))
    (local.set $tid (call $start (local.get $task)))
    ;; It is still open by another number.
    (call $must (call $fd_close (i32.load (i32.const 132))))
    (call $pause)
    (call $expect (i32.atomic.load (i32.const 512)) (i32.const 0))
    ;; The listener takes its place.
    (call $must (call $fd_renumber (i32.load (i32.const 128)) (i32.load (i32.const 164))))
    (call $ended (local.get $tid)))

  (func $opening
    (local $times i32) (local $first i32) (local $second i32)
    (local.set $first (call $thread_spawn (i32.const 4)))
    (local.set $second (call $thread_spawn (i32.const 4)))
    (local.set $times (i32.const 5000))
    (loop $next
      (drop (call $sock_open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 128)))
      (drop (call $sock_bind (i32.load (i32.const 128)) (i32.const 0)))
      (drop (call $sock_listen (i32.load (i32.const 128)) (i32.const 4)))
      (drop (call $fd_dup (i32.load (i32.const 128)) (i32.const 164)))
      (drop (call $fd_renumber (i32.load (i32.const 164)) (i32.const 20)))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $next (local.get $times)))
    (call $must (call $thread_join (local.get $first)))
    (call $must (call $thread_join (local.get $second))))

  (func (export "_start")
    (local $case i32)
    (memory.init $address (i32.const 0) (i32.const 0) (i32.const 8))
    (i32.store (i32.const 1024) (i32.const 1100))
    (i32.store (i32.const 1028) (i32.const 64))
    (call $must (call $args_get (i32.const 8192) (i32.const 8448)))
    (local.set $case (i32.load8_u (i32.load (i32.const 8196))))
    ;; everything: whatever there is, by two threads
    (if (i32.eq (local.get $case) (i32.const 0x65)) (then (call $opening) (return)))
    ;; input
    (if (i32.eq (local.get $case) (i32.const 0x69))
      (then (call $closed_under (i32.const 2) (i32.const 0)) (return)))
    ;; handed: the listener is descriptor 3
    (if (i32.eq (local.get $case) (i32.const 0x68))
      (then
        (i32.store (i32.const 128) (i32.const 3))
        (call $closed_under (i32.const 1) (i32.const 3))
        (return)))
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 128)))
    (call $must (call $sock_bind (i32.load (i32.const 128)) (i32.const 0)))
    (call $must (call $sock_listen (i32.load (i32.const 128)) (i32.const 128)))
    (call $must (call $sock_accept_v2
      (i32.load (i32.const 128)) (i32.const 0) (i32.const 132) (i32.const 136)))
    ;; accept
    (if (i32.eq (local.get $case) (i32.const 0x61))
      (then (call $closed_under (i32.const 1) (i32.load (i32.const 128))) (return)))
    ;; receive
    (if (i32.eq (local.get $case) (i32.const 0x72))
      (then (call $closed_under (i32.const 0) (i32.load (i32.const 132))) (return)))
    ;; poll
    (if (i32.eq (local.get $case) (i32.const 0x70))
      (then (call $closed_under (i32.const 3) (i32.load (i32.const 132))) (return)))
    ;; duplicate, and poll a duplicate
    (if (i32.eq (local.get $case) (i32.const 0x64)) (then (call $duplicated (i32.const 0)) (return)))
    (call $duplicated (i32.const 3))))
