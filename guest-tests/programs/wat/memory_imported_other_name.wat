;; A shared memory that is imported by another name than tools use. The program starts a thread,
;; which shares it.
(module
  (import "foo" "bar" (memory 1 1 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (func (export "wasi_thread_start") (param $tid i32) (param $argument i32)
    (i32.atomic.store (i32.const 64) (local.get $argument))
    (drop (memory.atomic.notify (i32.const 64) (i32.const 1))))
  (func (export "_start")
    (if (i32.lt_s (call $spawn (i32.const 7)) (i32.const 0)) (then unreachable))
    (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const 20000000000)))
    (if (i32.ne (i32.atomic.load (i32.const 64)) (i32.const 7)) (then unreachable))))
