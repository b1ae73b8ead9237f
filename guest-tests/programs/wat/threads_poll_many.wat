;; Sixteen threads, each with 65,536 subscriptions in one poll at the same time, for a tenth of a
;; second; some fail, for there is no memory for that. Prints a line at the end.
(module
  (import "env" "memory" (memory 100 100 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasix_32v1" "thread_join" (func $join (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_pair" (func $pair (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  ;; 0: the pair. 128: threads. 512: what is written. 520: the line. 540: what is read. From
  ;; 65536 the subscriptions, which all threads share, from 3276800 the events.
  (data $line "\08\02\00\00\05\00\00\00done\0a")
  (func (export "wasi_thread_start") (param i32 i32) (local $errno i32)
    (local.set $errno
      (call $poll (i32.const 65536) (i32.const 3276800) (i32.const 65536) (i32.const 16)))
    ;; ENOMEM
    (if (i32.and (i32.ne (local.get $errno) (i32.const 0)) (i32.ne (local.get $errno) (i32.const 48)))
      (then unreachable)))
  (func (export "_start") (local $i i32) (local $at i32)
    (memory.init $line (i32.const 512) (i32.const 0) (i32.const 13))
    (if (call $pair (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 4)) (then unreachable))
    (loop $again
      (local.set $at (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 48))))
      (i32.store8 offset=8 (local.get $at) (i32.const 1))
      (i32.store offset=16 (local.get $at) (i32.load (i32.const 0)))
      (br_if $again
        (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 65536))))
    ;; The last one is a clock.
    (i32.store8 offset=8 (local.get $at) (i32.const 0))
    (i32.store offset=16 (local.get $at) (i32.const 1))
    (i64.store offset=24 (local.get $at) (i64.const 100000000))
    (local.set $i (i32.const 16))
    (loop $again
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (i32.store offset=128 (i32.mul (local.get $i) (i32.const 4)) (call $spawn (i32.const 0)))
      (br_if $again (local.get $i)))
    (local.set $i (i32.const 16))
    (loop $again
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (drop (call $join (i32.load offset=128 (i32.mul (local.get $i) (i32.const 4)))))
      (br_if $again (local.get $i)))
    (drop (call $write (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 16)))
    (i32.store (i32.const 560) (i32.const 540))
    (i32.store (i32.const 564) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 560) (i32.const 1) (i32.const 16)))
    (call $proc_exit (i32.const 0))))
