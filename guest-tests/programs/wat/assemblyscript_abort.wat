;; Imports of AssemblyScript's standard library. The first letter of the first argument chooses: `m` for an abort with a message
;; and a place, `w` for one with wild pointers, `n` for one with null; `t` traces, `s` compares two seeds.
(module
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (import "env" "trace" (func $trace (param i32 i32 f64 f64 f64 f64 f64)))
  (import "env" "seed" (func $seed (result f64)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; Strings: UTF-16, the number of bytes before.
  (data (i32.const 252) "\16\00\00\00o\00u\00t\00 \00o\00f\00 \00\1b\00\df\00\0a\00l\00")
  (data (i32.const 316) "\0a\00\00\00a\00p\00.\00t\00s\00")
  ;; One that claims more than there is.
  (data (i32.const 65528) "\ff\ff\ff\ff")
  (func $is (param $letter i32) (result i32)
    (i32.eq (i32.load8_u (i32.load (i32.const 4))) (local.get $letter)))
  (func (export "_start") (local $first f64)
    (drop (call $args_get (i32.const 0) (i32.const 64)))
    (if (call $is (i32.const 0x6d))
      (then (call $abort (i32.const 256) (i32.const 320) (i32.const 12) (i32.const 3))))
    (if (call $is (i32.const 0x77))
      (then (call $abort (i32.const 65532) (i32.const 0x7ffffff0) (i32.const -1) (i32.const -1))))
    (if (call $is (i32.const 0x6e))
      (then (call $abort (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
    (if (call $is (i32.const 0x74))
      (then
        (call $trace (i32.const 320) (i32.const 2) (f64.const 1.5) (f64.const -2) (f64.const 9) (f64.const 9) (f64.const 9))
        (call $trace (i32.const 0) (i32.const 99) (f64.const 1) (f64.const 2) (f64.const 3) (f64.const 4) (f64.const 5))
        (call $trace (i32.const -8) (i32.const -1) (f64.const 1) (f64.const 2) (f64.const 3) (f64.const 4) (f64.const 5))))
    (if (call $is (i32.const 0x73))
      (then
        (local.set $first (call $seed))
        (if (f64.eq (local.get $first) (call $seed)) (then unreachable))
        (if (i32.eqz (f64.lt (local.get $first) (f64.const 2))) (then unreachable))))))
