;; A memory of 64 bits, a page at a time until there is no more: the exit code is how many
;; pages it has.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") i64 1)
  (func (export "_start")
    ;; 64 GB at once.
    (if (i64.ne (memory.grow (i64.const 1000000)) (i64.const -1)) (then unreachable))
    (loop $again
      (br_if $again (i64.ne (memory.grow (i64.const 1)) (i64.const -1))))
    (call $proc_exit (i32.wrap_i64 (memory.size)))))
