;; Threads and signals; the first argument chooses. The handler counts: for each thread, by the
;; value that the thread has set in its own global.
(module
  (import "env" "memory" (memory 4 64 shared))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (import "wasix_32v1" "thread_signal" (func $thread_signal (param i32 i32) (result i32)))
  (import "wasix_32v1" "proc_signal" (func $proc_signal (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $thread_sleep (param i64) (result i32)))
  (import "wasix_32v1" "thread_join" (func $thread_join (param i32) (result i32)))
  (import "wasix_32v1" "futex_wait" (func $futex_wait (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_raise_interval" (func $proc_raise_interval (param i32 i64 i32) (result i32)))
  (import "wasi" "thread-spawn" (func $thread_spawn (param i32) (result i32)))

  ;; 0, 16: names. 48: no limit. 64: a vector, to a text. 96: what is not read. 128: how often
  ;; the handler ran, in the thread of this task, 4 bytes each. 256: the word that is waited at.
  ;; 300: a thread blocks signals. 304: the
  ;; task that has begun. 512: what the call of that task answered, and 1 more. 1024: the arguments, and their text.
  (data $handler "__wasm_signal")
  (data $none "__wasm_signal_blocked")
  (data $started "\c8\00\00\00\08\00\00\00")
  (data $text "started\0a")

  (global $task (mut i32) (i32.const 0))
  ;; Lets the host interrupt code that computes.
  (global (export "__stack_pointer") (mut i32) (i32.const 65536))

  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  (func $count (param $task i32) (result i32)
    (i32.atomic.load offset=128 (i32.shl (local.get $task) (i32.const 2))))

  (func $answer (param $task i32) (result i32)
    (i32.atomic.load offset=512 (i32.shl (local.get $task) (i32.const 2))))

  (func $pause (drop (call $thread_sleep (i64.const 2000000))))

  (func (export "__wasm_signal") (param $signal i32)
    (drop (i32.atomic.rmw.add offset=128 (i32.shl (global.get $task) (i32.const 2)) (i32.const 1))))

  ;; Task 1 sleeps, 2 computes until it has had a signal, 3 waits at a futex, 4 in the memory,
  ;; 5 computes for ever, 6 blocks signals and sleeps.
  (func (export "wasi_thread_start") (param $tid i32) (param $given i32) (local $answer i32)
    (global.set $task (local.get $given))
    ;; Until now its signals would count as the main thread's.
    (i32.atomic.store (i32.const 304) (local.get $given))
    (block $six (block $five (block $four (block $three (block $two (block $one
      (br_table $one $one $two $three $four $five $six (local.get $given)))
      (local.set $answer (call $thread_sleep (i64.const -1))) (br $six))
      (loop $again (br_if $again (i32.eqz (call $count (i32.const 2))))) (br $six))
      (local.set $answer (call $futex_wait (i32.const 256) (i32.const 0) (i32.const 48) (i32.const 96)))
      (br $six))
      (local.set $answer (memory.atomic.wait32 (i32.const 256) (i32.const 0) (i64.const -1))) (br $six))
      (loop $again (br $again)))
    (if (i32.eq (local.get $given) (i32.const 6))
      (then
        (call $callback_signal (i32.const 16) (i32.const 21))
        (i32.atomic.store (i32.const 300) (i32.const 1))
        (local.set $answer (call $thread_sleep (i64.const 300000000)))
        (call $expect (call $count (i32.const 6)) (i32.const 0))
        (call $callback_signal (i32.const 0) (i32.const 13))))
    (i32.atomic.store offset=512 (i32.shl (local.get $given) (i32.const 2))
      (i32.add (local.get $answer) (i32.const 1))))

  (func $spawn (param $task i32) (result i32) (local $tid i32)
    (local.set $tid (call $thread_spawn (local.get $task)))
    (if (i32.lt_s (local.get $tid) (i32.const 2)) (then unreachable))
    (loop $again
      (if (i32.ne (i32.atomic.load (i32.const 304)) (local.get $task)) (then (call $pause) (br $again))))
    (i32.atomic.store (i32.const 304) (i32.const 0))
    (local.get $tid))

  ;; The thread of $task gets signals until it has answered $expected.
  (func $directed (param $task i32) (param $expected i32) (local $tid i32)
    (local.set $tid (call $spawn (local.get $task)))
    (loop $again
      (call $must (call $thread_signal (local.get $tid) (i32.const 12)))
      (call $pause)
      (br_if $again (i32.eqz (call $answer (local.get $task)))))
    (call $must (call $thread_join (local.get $tid)))
    (call $expect (call $answer (local.get $task)) (i32.add (local.get $expected) (i32.const 1)))
    (if (i32.eqz (call $count (local.get $task))) (then unreachable))
    ;; It was none of the others'.
    (call $expect (call $count (i32.const 0)) (i32.const 0)))

  ;; A thread that blocks signals takes none, neither its own nor the process's.
  (func $blocked (local $tid i32)
    (local.set $tid (call $spawn (i32.const 6)))
    (loop $again
      (call $pause)
      (br_if $again (i32.eqz (i32.atomic.load (i32.const 300)))))
    (call $must (call $thread_signal (local.get $tid) (i32.const 12)))
    (call $must (call $proc_signal (i32.const 1) (i32.const 10)))
    ;; The process's is handled here, before the call returns.
    (call $expect (call $count (i32.const 0)) (i32.const 1))
    (call $must (call $thread_join (local.get $tid)))
    (call $expect (call $count (i32.const 6)) (i32.const 1))
    (call $expect (call $answer (i32.const 6)) (i32.const 1))
    (i32.atomic.store (i32.const 128) (i32.const 0)))

  ;; A thousand signals for the process, each handled once, by whichever thread.
  (func $spread (local $round i32) (local $total i32) (local $first i32)
    (local.set $first (call $spawn (i32.const 5)))
    (drop (call $spawn (i32.const 5)))
    (local.set $round (i32.const 1000))
    (loop $next
      (local.set $total (i32.add (i32.const 1) (call $total)))
      (call $must (call $proc_signal (i32.const 1) (i32.const 10)))
      (loop $again
        (if (i32.lt_u (call $total) (local.get $total)) (then (call $pause) (br $again))))
      (call $expect (call $total) (local.get $total))
      (local.set $round (i32.sub (local.get $round) (i32.const 1)))
      (br_if $next (local.get $round))))

  (func $total (result i32)
    (i32.add (call $count (i32.const 0)) (call $count (i32.const 5))))

  (func $tell_started
    (call $must (call $fd_write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 96))))

  (func $prepare
    (memory.init $handler (i32.const 0) (i32.const 0) (i32.const 13))
    (memory.init $none (i32.const 16) (i32.const 0) (i32.const 21))
    (memory.init $started (i32.const 64) (i32.const 0) (i32.const 8))
    (memory.init $text (i32.const 200) (i32.const 0) (i32.const 8))
    (call $must (call $args_get (i32.const 1024) (i32.const 1056))))

  (func (export "_start") (local $case i32)
    (call $prepare)
    ;; The first letter of the first argument.
    (local.set $case (i32.load8_u (i32.load (i32.const 1028))))
    ;; default: without handlers, and a thread is asked to end.
    (if (i32.eq (local.get $case) (i32.const 0x64))
      (then
        (drop (call $spawn (i32.const 4)))
        (drop (call $spawn (i32.const 5)))
        (call $must (call $thread_signal (call $spawn (i32.const 1)) (i32.const 15)))
        (drop (call $thread_sleep (i64.const -1)))
        unreachable))
    (call $callback_signal (i32.const 0) (i32.const 13))
    ;; each: one thread after the other.
    (if (i32.eq (local.get $case) (i32.const 0x65))
      (then
        (call $directed (i32.const 1) (i32.const 27))
        (call $directed (i32.const 2) (i32.const 0))
        (call $directed (i32.const 3) (i32.const 0))
        (call $blocked)
        (call $spread)))
    ;; operator: the main thread waits in the memory, another one in the host: it takes it.
    (if (i32.eq (local.get $case) (i32.const 0x6f))
      (then
        (drop (call $spawn (i32.const 1)))
        (call $tell_started)
        (loop $again
          (drop (memory.atomic.wait32 (i32.const 256) (i32.const 0) (i64.const 1000000)))
          (br_if $again (i32.eqz (call $answer (i32.const 1)))))
        (call $expect (call $answer (i32.const 1)) (i32.const 28))
        (if (i32.eqz (call $count (i32.const 1))) (then unreachable))))
    ;; kill: there is no handler for it.
    (if (i32.eq (local.get $case) (i32.const 0x6b))
      (then
        (drop (call $spawn (i32.const 1)))
        (drop (call $spawn (i32.const 4)))
        (drop (call $spawn (i32.const 5)))
        (drop (call $proc_signal (i32.const 1) (i32.const 9)))
        unreachable))
    ;; stress: signals by the clock while threads end.
    (if (i32.eq (local.get $case) (i32.const 0x73))
      (then
        (call $must (call $proc_raise_interval (i32.const 14) (i64.const 1000000) (i32.const 1)))
        (drop (call $spawn (i32.const 1)))
        (drop (call $spawn (i32.const 3)))
        (drop (call $spawn (i32.const 4)))
        (drop (call $spawn (i32.const 5)))
        (call $pause) (call $pause) (call $pause) (call $pause)))))
