;; The name of a handler that is not in the memory traps.
(module
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (call $callback_signal (i32.const 65530) (i32.const 13))))
