;; Memories, tables and threads with memories of their own, as many as there may be, and every
;; page of them written to. Prints a line then.
(module
  (import "env" "memory" (memory 1 1 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory $own 64)
  (memory $more 0)
  (memory $wide i64 0)
  (table $table 1 (ref null func))
  (func $any)
  (elem declare func $any)
  (data $line "\08\02\00\00\05\00\00\00done\0a")
  ;; 512: what is written. 540: what is read. 1024: the threads that have touched theirs.
  (func $touch (local $at i32)
    (loop $again
      (i32.store8 $own (local.get $at) (i32.const 1))
      (br_if $again
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const 0x400000)))))
  (func (export "wasi_thread_start") (param i32 i32)
    (call $touch)
    (drop (i32.atomic.rmw.add (i32.const 1024) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 1024) (i32.const 1)))
    (drop (memory.atomic.wait32 (i32.const 2048) (i32.const 0) (i64.const -1))))
  (func (export "_start") (local $count i32) (local $seen i32)
    (memory.init $line (i32.const 512) (i32.const 0) (i32.const 13))
    (call $touch)
    ;; Four threads, then a quarter of a megabyte of each other kind in turn.
    (loop $again
      (if (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0))
        (then
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $count) (i32.const 4))))))
    (loop $again
      (local.set $seen (i32.const 0))
      (if (i32.ne (table.grow $table (ref.func $any) (i32.const 32768)) (i32.const -1))
        (then (local.set $seen (i32.const 1))))
      (if (i32.ne (memory.grow $more (i32.const 4)) (i32.const -1))
        (then
          (local.set $seen (i32.const 1))
          (memory.fill $more
            (i32.mul (i32.sub (memory.size $more) (i32.const 4)) (i32.const 65536))
            (i32.const 1) (i32.const 262144))))
      (if (i64.ne (memory.grow $wide (i64.const 4)) (i64.const -1))
        (then
          (local.set $seen (i32.const 1))
          (memory.fill $wide
            (i64.mul (i64.sub (memory.size $wide) (i64.const 4)) (i64.const 65536))
            (i32.const 1) (i64.const 262144))))
      (br_if $again (local.get $seen)))
    (loop $again
      (local.set $seen (i32.atomic.load (i32.const 1024)))
      (if (i32.lt_u (local.get $seen) (local.get $count))
        (then
          (drop (memory.atomic.wait32 (i32.const 1024) (local.get $seen) (i64.const -1)))
          (br $again))))
    (drop (call $write (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 16)))
    (i32.store (i32.const 560) (i32.const 540))
    (i32.store (i32.const 564) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 560) (i32.const 1) (i32.const 16)))
    (call $proc_exit (i32.const 0))))
