;; A shared memory of a terabyte from the start, and a thread that waits at its end.
(module
  (import "env" "memory" (memory i64 16000000 16000000 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
  (func (export "wasi_thread_start") (param i32 i32)
    (loop $again
      (drop (memory.atomic.wait32 (i64.const 1000000000000) (i32.const 0) (i64.const -1)))
      (br $again)))
  (func (export "_start")
    (drop (call $spawn (i32.const 0)))
    (drop (call $sleep (i64.const -1)))))
