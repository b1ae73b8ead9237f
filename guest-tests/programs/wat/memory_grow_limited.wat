;; Two memories of its own, a page at a time until there is no more: the exit code is how many
;; pages they have in all.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory $first (export "memory") 1)
  (memory $second 0)
  (func (export "_start")
    ;; As many as 60, so that the other one has some.
    (loop $again
      (br_if $again
        (i32.and
          (i32.ne (memory.grow $first (i32.const 1)) (i32.const -1))
          (i32.lt_u (memory.size $first) (i32.const 60)))))
    (loop $again
      (br_if $again (i32.ne (memory.grow $second (i32.const 1)) (i32.const -1))))
    ;; What was refused took nothing.
    (if (i32.ne (memory.grow $first (i32.const 0)) (memory.size $first)) (then unreachable))
    ;; More than any memory can have: nothing of what there is counts less after that.
    (drop (memory.grow $first (i32.const 65536)))
    (if (i32.ne (memory.grow $second (i32.const 1)) (i32.const -1)) (then unreachable))
    (call $proc_exit (i32.add (memory.size $first) (memory.size $second)))))
