;; Exceptions as today's toolchain makes them of setjmp and of C++: thrown and caught, far
;; more often than they fit in a heap, in the first thread and in another one. With the
;; argument `u` the last one is not caught.
(module
  (import "env" "memory" (memory 1 4 shared))
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi" "thread-spawn" (func $thread_spawn (param i32) (result i32)))
  (import "wasix_32v1" "thread_join" (func $thread_join (param i32) (result i32)))
  (import "wasix_32v1" "thread_id" (func $thread_id (param i32) (result i32)))

  (tag $jump (param i32 i32))

  (func $is (param $holds i32) (if (i32.eqz (local.get $holds)) (then unreachable)))

  ;; A few frames up, with a call of the host on the way.
  (func $throws (param $depth i32) (param $value i32)
    (if (i32.eqz (local.get $depth)) (then (throw $jump (i32.const 7) (local.get $value))))
    (drop (call $thread_id (i32.const 136)))
    (call $throws (i32.sub (local.get $depth) (i32.const 1)) (local.get $value)))

  (func $catches (param $value i32)
    (block $caught (result i32 i32)
      (try_table (catch $jump $caught)
        (call $throws (i32.const 5) (local.get $value)))
      unreachable)
    (call $is (i32.eq (local.get $value)))
    (call $is (i32.eq (i32.const 7))))

  (func $often (param $times i32)
    (loop $next
      (call $catches (local.get $times))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $next (local.get $times))))

  ;; 64: how often the other thread caught one.
  (func (export "wasi_thread_start") (param $tid i32) (param $times i32)
    (call $often (local.get $times))
    (i32.atomic.store (i32.const 64) (local.get $times)))

  (func (export "_start")
    (local $tid i32)
    (local.set $tid (call $thread_spawn (i32.const 20000)))
    (call $is (i32.gt_s (local.get $tid) (i32.const 0)))
    (call $often (i32.const 20000))
    (call $is (i32.eqz (call $thread_join (local.get $tid))))
    (call $is (i32.eq (i32.atomic.load (i32.const 64)) (i32.const 20000)))
    (call $is (i32.eqz (call $args_sizes_get (i32.const 128) (i32.const 132))))
    (if (i32.gt_u (i32.load (i32.const 128)) (i32.const 1))
      (then (call $throws (i32.const 3) (i32.const 1))))))
