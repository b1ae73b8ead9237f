;; Asks for a signal (SIGWINCH, which does nothing) in a second: the error number becomes
;; the exit code.
(module
  (import "wasix_32v1" "proc_raise_interval" (func $raise (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (call $exit (call $raise (i32.const 17) (i64.const 1000000000) (i32.const 0)))))
