;; Sleeps for ever.
(module
  (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (drop (call $sleep (i64.const -1)))))
