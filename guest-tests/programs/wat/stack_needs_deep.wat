;; Calls itself 100000 deep, in the first thread and then in another one: some megabytes of
;; stack, as a recursive interpreter needs them.
(module
  (import "env" "memory" (memory 2 2 shared))
  (import "wasi" "thread-spawn" (func $thread_spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;; 0: 1 once the other thread is back.

  ;; The sum of all numbers up to `n`: each is needed after the call for the next.
  (func $sum (param $n i64) (result i64)
    (if (result i64) (i64.eqz (local.get $n))
      (then (i64.const 0))
      (else
        (i64.add (local.get $n) (call $sum (i64.sub (local.get $n) (i64.const 1)))))))

  (func $deep
    (if (i64.ne (call $sum (i64.const 100000)) (i64.const 5000050000))
      (then (call $proc_exit (i32.const 1)))))

  (func (export "wasi_thread_start") (param i32 i32)
    (call $deep)
    (i32.atomic.store (i32.const 0) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))

  (func (export "_start")
    (call $deep)
    (if (i32.lt_s (call $thread_spawn (i32.const 0)) (i32.const 0))
      (then (call $proc_exit (i32.const 2))))
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
    (call $proc_exit (i32.const 42))))
