;; Threads with 10 MiB of their own each, as many as there may be, twice: the exit code is 16
;; times as many as were started first, and those that were started when these had ended.
(module
  (import "env" "memory" (memory 1 1 shared))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasix_32v1" "thread_join" (func $join (param i32) (result i32)))
  (memory $own 160)
  ;; 512: may they end? 1024: the threads.
  (func (export "wasi_thread_start") (param i32 i32)
    (i32.store $own (i32.const 0x9ffff0) (i32.const 1))
    (drop (memory.atomic.wait32 (i32.const 512) (i32.const 0) (i64.const -1))))
  (func $start_all (result i32)
    (local $count i32) (local $tid i32)
    (i32.atomic.store (i32.const 512) (i32.const 0))
    (loop $again
      (local.set $tid (call $spawn (i32.const 0)))
      (if (i32.gt_s (local.get $tid) (i32.const 0))
        (then
          (i32.store offset=1024 (i32.mul (local.get $count) (i32.const 4)) (local.get $tid))
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (br $again))))
    ;; EAGAIN
    (if (i32.ne (local.get $tid) (i32.const -6)) (then unreachable))
    (local.get $count))
  (func $end_all (param $count i32)
    (i32.atomic.store (i32.const 512) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 512) (i32.const -1)))
    (loop $again
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (if (call $join (i32.load offset=1024 (i32.mul (local.get $count) (i32.const 4)))) (then unreachable))
      (br_if $again (local.get $count))))
  (func (export "_start") (local $count i32)
    (local.set $count (call $start_all))
    (call $end_all (local.get $count))
    (call $proc_exit (i32.add (i32.mul (local.get $count) (i32.const 16)) (call $start_all)))))
