;; Reads the named pipe `f` in its first directory once. It has a handler for signals, at
;; whose end the read is over.
(module
  (import "wasix_32v1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "callback_signal" (func $handle (param i32 i32)))
  (import "wasix_32v1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "f")
  (data (i32.const 32) "handler")
  (data (i32.const 200) "\00\10\00\00\00\10\00\00")
  (func (export "handler") (param i32))
  (func (export "_start")
    (call $handle (i32.const 32) (i32.const 7))
    (if (call $open
        (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 0)
        (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0))
      (then unreachable))
    (call $exit (call $read
      (i32.load (i32.const 0)) (i32.const 200) (i32.const 1) (i32.const 8)))))
