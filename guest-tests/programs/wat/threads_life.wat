;; Threads that begin, wait and end in every way; the first argument chooses.
(module
  (import "env" "memory" (memory 8 64 shared))
  (import "wasi_snapshot_preview1" "args_get"
    (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit"
    (func $proc_exit (param i32)))
  (import "wasi" "thread-spawn"
    (func $thread_spawn (param i32) (result i32)))
  ;; By the name that the reference host has for it today.
  (import "wasix_32v1" "thread_spawn"
    (func $thread_spawn_v2 (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_join"
    (func $thread_join (param i32) (result i32)))
  (import "wasix_32v1" "thread_exit"
    (func $thread_exit (param i32)))
  (import "wasix_32v1" "thread_id"
    (func $thread_id (param i32) (result i32)))
  (import "wasix_32v1" "thread_sleep"
    (func $thread_sleep (param i64) (result i32)))
  (import "wasix_32v1" "futex_wait"
    (func $futex_wait (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "futex_wake"
    (func $futex_wake (param i32 i32) (result i32)))
  (import "wasix_32v1" "futex_wake_all"
    (func $futex_wake_all (param i32 i32) (result i32)))

  ;; 64: no limit. 80: a limit of a millisecond. 96: an hour of nanoseconds. 160: what is not
  ;; reads. 512: how many threads are on their way. 1024: never changes. 1040: a lock.
  ;; 1056: what it guards. 8192: the arguments.
  (data $limit "\01\00\00\00\00\00\00\00\40\42\0f\00\00\00\00\00")

  ;; An error number becomes the exit code.
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  (func $spawn (param $task i32) (result i32)
    (local $tid i32)
    (local.set $tid (call $thread_spawn (local.get $task)))
    (if (i32.le_s (local.get $tid) (i32.const 1)) (then unreachable))
    (local.get $tid))

  ;; Waits until as many threads are on their way.
  (func $until (param $threads i32)
    (loop $again
      (call $must (call $thread_sleep (i64.const 1000000)))
      (br_if $again (i32.lt_u (i32.atomic.load (i32.const 512)) (local.get $threads)))))

  (func $here (drop (i32.atomic.rmw.add (i32.const 512) (i32.const 1))))

  (func $compute (call $here) (loop $for_ever (br $for_ever)))

  (func $wait_in_the_host (call $here) (call $must (call $thread_sleep (i64.const -1))))

  (func $wait_at_a_futex
    (call $here)
    (call $must (call $futex_wait (i32.const 1024) (i32.const 0) (i32.const 64) (i32.const 160))))

  (func $wait_32
    (call $here)
    (loop $again
      (drop (memory.atomic.wait32 (i32.const 1024) (i32.const 0) (i64.const -1)))
      (br $again)))

  ;; Several in a row: what wakes one meets the next.
  (func $wait_64
    (call $here)
    (drop (memory.atomic.wait64 (i32.const 2048) (i64.const 0) (i64.const -1)))
    (drop (memory.atomic.wait64 (i32.const 2056) (i64.const 0) (i64.const -1)))
    (drop (memory.atomic.wait32 (i32.const 400004) (i32.const 0) (i64.const -1))))

  (func $the_function_that_traps unreachable)

  ;; Adds one to a number a thousand times, each time under the lock.
  (func $count
    (local $times i32) (local $seen i32)
    (local.set $times (i32.const 1000))
    (loop $next
      (block $mine
        (br_if $mine (i32.eqz (i32.atomic.rmw.cmpxchg (i32.const 1040) (i32.const 0) (i32.const 1))))
        (loop $again
          ;; 2: taken, with waiters.
          (br_if $mine (i32.eqz (i32.atomic.rmw.xchg (i32.const 1040) (i32.const 2))))
          (call $must (call $futex_wait (i32.const 1040) (i32.const 2) (i32.const 64) (i32.const 160)))
          (br $again)))
      (i32.store (i32.const 1056) (i32.add (i32.load (i32.const 1056)) (i32.const 1)))
      (if (i32.eq (i32.atomic.rmw.xchg (i32.const 1040) (i32.const 0)) (i32.const 2))
        (then (call $must (call $futex_wake (i32.const 1040) (i32.const 160)))))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $next (local.get $times))))

  (func (export "wasi_thread_start") (param $tid i32) (param $task i32)
    (block $count (block $note (block $leave (block $trap (block $exit (block $wait_64
      (block $wait_32 (block $futex (block $host (block $compute
        (br_table $compute $host $futex $wait_32 $wait_64 $exit $trap $leave $note $count
          (local.get $task)))
      (call $compute) (return))
      (call $wait_in_the_host) (return))
      (call $wait_at_a_futex) (return))
      (call $wait_32) (return))
      (call $wait_64) (return))
      (call $until (i32.const 5)) (call $proc_exit (i32.const 7)) (return))
      (call $until (i32.const 5)) (call $the_function_that_traps) (return))
      (call $here) (call $thread_exit (i32.const 3)) (return))
      ;; Its own number, once it has slept.
      (call $must (call $thread_sleep (i64.const 20000000)))
      (call $must (call $thread_id (i32.const 1056)))
      (call $expect (i32.load (i32.const 1056)) (local.get $tid)) (return))
    (call $count))

  ;; One thread that waits or runs in each way there is.
  (func $start_all
    (local $task i32)
    (loop $next
      (drop (call $spawn (local.get $task)))
      (local.set $task (i32.add (local.get $task) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $task) (i32.const 5)))))

  (func $joins
    (local $tid i32)
    (call $must (call $thread_id (i32.const 160)))
    (call $expect (i32.load (i32.const 160)) (i32.const 1))
    (local.set $tid (call $spawn (i32.const 8)))
    (call $must (call $thread_join (local.get $tid)))
    (call $expect (i32.load (i32.const 1056)) (local.get $tid))
    ;; It has ended, and another one never was.
    (call $must (call $thread_join (local.get $tid)))
    (call $must (call $thread_join (i32.const 12345)))
    (call $expect (call $thread_join (i32.const 1)) (i32.const 16))
    (call $must (call $thread_spawn_v2 (i32.const 7) (i32.const 160)))
    (call $must (call $thread_join (i32.load (i32.const 160)))))

  ;; As many threads as there may be, then one more; again when they have gone.
  (func $bomb
    (local $tid i32) (local $last i32)
    (loop $next
      (local.set $tid (call $thread_spawn (i32.const 1)))
      (br_if $next (i32.gt_s (local.get $tid) (i32.const 0))))
    (call $expect (local.get $tid) (i32.const -6))
    (call $expect (call $thread_spawn_v2 (i32.const 1) (i32.const 160)) (i32.const 6))
    (call $until (i32.const 7)))

  (func $passing
    (local $times i32)
    (local.set $times (i32.const 500))
    (loop $next
      (call $must (call $thread_join (call $spawn (i32.const 7))))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $next (local.get $times))))

  (func $contend
    (local $first i32) (local $tid i32) (local $threads i32)
    (local.set $first (call $spawn (i32.const 9)))
    (local.set $threads (i32.const 7))
    (loop $next
      (local.set $tid (call $spawn (i32.const 9)))
      (local.set $threads (i32.sub (local.get $threads) (i32.const 1)))
      (br_if $next (local.get $threads)))
    (loop $next
      (call $must (call $thread_join (local.get $first)))
      (local.set $first (i32.add (local.get $first) (i32.const 1)))
      (br_if $next (i32.le_u (local.get $first) (local.get $tid))))
    (call $expect (i32.load (i32.const 1056)) (i32.const 8000)))

  (func $futexes
    ;; The word has another value: woken, at once.
    (call $must (call $futex_wait (i32.const 1024) (i32.const 1) (i32.const 64) (i32.const 160)))
    (call $expect (i32.load8_u (i32.const 160)) (i32.const 1))
    ;; The time is over.
    (call $must (call $futex_wait (i32.const 1024) (i32.const 0) (i32.const 80) (i32.const 160)))
    (call $expect (i32.load8_u (i32.const 160)) (i32.const 0))
    ;; There is no such thread.
    (call $must (call $futex_wake (i32.const 1024) (i32.const 160)))
    (call $expect (i32.load8_u (i32.const 160)) (i32.const 0))
    (drop (call $spawn (i32.const 2)))
    (drop (call $spawn (i32.const 2)))
    (call $until (i32.const 2))
    (call $must (call $thread_sleep (i64.const 20000000)))
    (call $must (call $futex_wake_all (i32.const 1024) (i32.const 168)))
    (call $expect (i32.load8_u (i32.const 168)) (i32.const 1))
    (call $must (call $thread_join (i32.const 2)))
    (call $must (call $thread_join (i32.const 3))))

  (func (export "_start")
    (local $case i32)
    (memory.init $limit (i32.const 80) (i32.const 0) (i32.const 16))
    (call $must (call $args_get (i32.const 8192) (i32.const 8448)))
    (local.set $case (i32.load8_u (i32.load (i32.const 8196))))
    ;; return
    (if (i32.eq (local.get $case) (i32.const 0x72))
      (then (call $start_all) (call $until (i32.const 5)) (return)))
    ;; exit: in another thread, while this one waits
    (if (i32.eq (local.get $case) (i32.const 0x65))
      (then (drop (call $spawn (i32.const 5))) (call $start_all) (call $wait_32)))
    ;; trap: likewise
    (if (i32.eq (local.get $case) (i32.const 0x74))
      (then (drop (call $spawn (i32.const 6))) (call $start_all) (call $wait_32)))
    ;; hang: until the operator ends it
    (if (i32.eq (local.get $case) (i32.const 0x68))
      (then (call $start_all) (call $until (i32.const 5)) (call $the_end_is_the_operators)))
    ;; last: the first thread leaves, and the program ends with the last one
    (if (i32.eq (local.get $case) (i32.const 0x6c))
      (then (drop (call $spawn (i32.const 8))) (call $thread_exit (i32.const 5))))
    ;; visit: the first thread leaves, and another one says how it ends
    (if (i32.eq (local.get $case) (i32.const 0x76))
      (then (drop (call $spawn (i32.const 5))) (call $start_all) (call $thread_exit (i32.const 5))))
    ;; join
    (if (i32.eq (local.get $case) (i32.const 0x6a)) (then (call $joins) (return)))
    ;; bomb
    (if (i32.eq (local.get $case) (i32.const 0x62)) (then (call $bomb) (return)))
    ;; passing: one after the other
    (if (i32.eq (local.get $case) (i32.const 0x70)) (then (call $passing) (return)))
    ;; contend
    (if (i32.eq (local.get $case) (i32.const 0x63)) (then (call $contend) (return)))
    ;; futexes
    (if (i32.eq (local.get $case) (i32.const 0x66)) (then (call $futexes) (return)))
    ;; unaligned: EINVAL
    (if (i32.eq (local.get $case) (i32.const 0x75))
      (then (call $no_words (i32.const 1025) (i32.const 28)) (return)))
    ;; outside of the memory: EFAULT
    (if (i32.eq (local.get $case) (i32.const 0x6f))
      (then
        (call $no_words (i32.const -4) (i32.const 21))
        (call $no_words (i32.mul (memory.size) (i32.const 65536)) (i32.const 21))
        (return)))
    unreachable)

  ;; Every call with a futex at $at answers $errno.
  (func $no_words (param $at i32) (param $errno i32)
    (if (i32.ne (local.get $errno) (call $futex_wait (local.get $at) (i32.const 0) (i32.const 64) (i32.const 160)))
      (then unreachable))
    (if (i32.ne (local.get $errno) (call $futex_wake (local.get $at) (i32.const 160)))
      (then unreachable))
    (if (i32.ne (local.get $errno) (call $futex_wake_all (local.get $at) (i32.const 160)))
      (then unreachable)))

  ;; Waits where only a notification of its address would wake it.
  (func $the_end_is_the_operators
    (drop (memory.atomic.wait32 (i32.const 3000) (i32.const 0) (i64.const -1)))))
