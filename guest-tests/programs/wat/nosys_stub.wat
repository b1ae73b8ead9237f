;; Calls a function that the host does not implement: its error number becomes
;; the exit code.
(module
  (import "wasix_32v1" "ws_connect"
    (func $ws_connect (param i32 i32 i32) (result i32)))
  (import "wasix_32v1" "http_status" (func (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (call $proc_exit (call $ws_connect
      (i32.const 0) (i32.const 0) (i32.const 0)))))
