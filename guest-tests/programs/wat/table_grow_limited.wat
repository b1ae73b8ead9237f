;; A table, 64 elements at a time until there is no more: the exit code is how often it grew.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (table $table 1 (ref null func))
  (func $any)
  (elem declare func $any)
  (func (export "_start") (local $count i32)
    ;; 80 MB at once.
    (if (i32.ne (table.grow $table (ref.func $any) (i32.const 10000000)) (i32.const -1)) (then unreachable))
    (block $done
      (loop $again
        (br_if $done
          (i32.eq (table.grow $table (ref.func $any) (i32.const 64)) (i32.const -1)))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br $again)))
    (call $proc_exit (local.get $count))))
