;; Looks `localhost` up: the error number becomes the exit code.
(module
  (import "wasix_32v1" "resolve" (func $resolve (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "localhost")
  (func (export "_start")
    (call $exit (call $resolve
      (i32.const 16) (i32.const 9) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 8)))))
