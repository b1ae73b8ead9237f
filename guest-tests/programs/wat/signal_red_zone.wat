;; Code that computes keeps something below its stack pointer, as compiled functions do that call
;; no other. A handler that interrupts it leaves that alone.
(module
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (import "wasix_32v1" "proc_raise_interval" (func $interval (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "handler")
  (global $sp (export "__stack_pointer") (mut i32) (i32.const 8192))
  (global $handled (mut i32) (i32.const 0))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  ;; It takes 64 bytes, fills them, and uses its own red zone too.
  (func (export "handler") (param $signal i32)
    (call $expect (i32.and (global.get $sp) (i32.const 15)) (i32.const 0))
    (global.set $sp (i32.sub (global.get $sp) (i32.const 64)))
    (memory.fill (i32.sub (global.get $sp) (i32.const 128)) (i32.const 0xff) (i32.const 192))
    (global.set $sp (i32.add (global.get $sp) (i32.const 64)))
    (global.set $handled (i32.add (global.get $handled) (i32.const 1))))

  (func (export "_start")
    (call $callback_signal (i32.const 16) (i32.const 7))
    (memory.fill (i32.sub (global.get $sp) (i32.const 128)) (i32.const 7) (i32.const 128))
    (drop (call $interval (i32.const 14) (i64.const 2000000) (i32.const 1)))
    (loop $again (br_if $again (i32.lt_u (global.get $handled) (i32.const 5))))
    (call $expect (i32.load8_u (i32.sub (global.get $sp) (i32.const 1))) (i32.const 7))
    (call $expect (i32.load8_u (i32.sub (global.get $sp) (i32.const 128))) (i32.const 7))
    (call $expect (global.get $sp) (i32.const 8192))))
