;; Names a handler for signals that is none, under a name that would forge a line of the
;; host's.
(module
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "h\1b[31m\0awasock: forged")
  (func (export "h\1b[31m\0awasock: forged") (param i64))
  (func (export "_start") (call $callback_signal (i32.const 16) (i32.const 21))))
