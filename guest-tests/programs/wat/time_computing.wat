;; Two threads compute and never end; the first one sleeps meanwhile.
(module
  (import "env" "memory" (memory 1 1 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
  (func (export "wasi_thread_start") (param i32 i32) (loop $again (br $again)))
  (func (export "_start")
    (drop (call $spawn (i32.const 0)))
    (drop (call $spawn (i32.const 0)))
    (drop (call $sleep (i64.const -1)))))
