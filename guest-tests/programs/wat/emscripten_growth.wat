;; As Emscripten's standalone programs whose memory may grow: it says that it has grown, and writes from the new page.
(module
  (import "env" "emscripten_notify_memory_growth" (func $notify (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.ne (memory.grow (i32.const 1)) (i32.const 1)) (then unreachable))
    (call $notify (i32.const 0))
    (i32.store (i32.const 65536) (i32.const 0x0a6b6f))
    (i32.store (i32.const 0) (i32.const 65536))
    (i32.store (i32.const 4) (i32.const 3))
    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))))
