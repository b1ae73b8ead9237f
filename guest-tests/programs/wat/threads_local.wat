;; Values that each thread has for itself, kept by the host: as programs of early 2023 do it.
(module
  (import "env" "memory" (memory 8 64 shared))
  (import "wasix_32v1" "proc_exit"
    (func $proc_exit (param i32)))
  (import "wasix_32v1" "thread_spawn"
    (func $thread_spawn (param i64 i64 i64 i32 i32) (result i32)))
  (import "wasix_32v1" "thread_join"
    (func $thread_join (param i32) (result i32)))
  (import "wasix_32v1" "thread_exit"
    (func $thread_exit (param i32)))
  (import "wasix_32v1" "thread_local_create"
    (func $thread_local_create (param i64 i32) (result i32)))
  (import "wasix_32v1" "thread_local_destroy"
    (func $thread_local_destroy (param i32) (result i32)))
  (import "wasix_32v1" "thread_local_set"
    (func $thread_local_set (param i32 i64) (result i32)))
  (import "wasix_32v1" "thread_local_get"
    (func $thread_local_get (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_id"
    (func $thread_id (param i32) (result i32)))

  ;; 160: the key. 164: a key that is destroyed. 168: a thread. 176: what was read.
  ;; 1024: the sum of what the destructor got.

  ;; An error number becomes the exit code.
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  (func $get (param $key i32) (result i64)
    (call $must (call $thread_local_get (local.get $key) (i32.const 176)))
    (i64.load (i32.const 176)))

  ;; The user's word is 3 and 4; what is set again is destroyed again.
  (func (export "_thread_local_destroy") (param $user_low i32) (param $user_high i32) (param $low i32) (param $high i32)
    (call $expect (local.get $user_low) (i32.const 3))
    (call $expect (local.get $user_high) (i32.const 4))
    (call $expect (local.get $high) (i32.const 1))
    (drop (i32.atomic.rmw.add (i32.const 1024) (local.get $low)))
    (if (i32.eq (local.get $low) (i32.const 5))
      (then (call $must (call $thread_local_set (i32.load (i32.const 160)) (i64.const 0x1_0000_0010))))))

  (func (export "_start_thread") (param $low i32) (param $high i32)
    ;; Another thread's value is not this one's.
    (if (i64.ne (call $get (i32.load (i32.const 160))) (i64.const 0)) (then unreachable))
    (call $must (call $thread_local_set (i32.load (i32.const 160)) (i64.const 0x1_0000_0005)))
    (if (i64.ne (call $get (i32.load (i32.const 160))) (i64.const 0x1_0000_0005)) (then unreachable))
    (call $expect (call $thread_local_set (i32.load (i32.const 164)) (i64.const 1)) (i32.const 28))
    (call $expect (call $thread_local_get (i32.load (i32.const 164)) (i32.const 176)) (i32.const 28))
    (if (local.get $low) (then (call $thread_exit (i32.const 0)))))

  ;; Both ways to end.
  (func $thread (param $how i64)
    (call $must (call $thread_spawn (local.get $how) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 168)))
    (call $must (call $thread_join (i32.load (i32.const 168)))))

  (func (export "_start")
    (call $must (call $thread_local_create (i64.const 0x4_0000_0003) (i32.const 160)))
    (call $must (call $thread_local_create (i64.const 0) (i32.const 164)))
    (call $must (call $thread_local_set (i32.load (i32.const 160)) (i64.const 77)))
    (call $must (call $thread_local_set (i32.load (i32.const 164)) (i64.const 78)))
    (call $must (call $thread_local_destroy (i32.load (i32.const 164))))
    (call $expect (call $thread_local_destroy (i32.load (i32.const 164))) (i32.const 28))
    (call $thread (i64.const 0))
    (call $thread (i64.const 1))
    (if (i64.ne (call $get (i32.load (i32.const 160))) (i64.const 77)) (then unreachable))
    ;; Twice 5, and 16 that a destructor set.
    (call $expect (i32.atomic.load (i32.const 1024)) (i32.const 42))))
