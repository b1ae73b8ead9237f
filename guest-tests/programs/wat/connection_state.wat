;; Serves one connection, its standard input and output, by orders of one byte each:
;;
;; f  fills its memory, its globals, its table and its descriptors, and answers "f"
;; l  looks whether any of these is as that leaves it, or otherwise than at its start, and answers "l"
;;    if none is, else the letter of what is: m(emory), s(ize), g(lobal), t(able), e(lements), d(escriptors)
(module
  (import "wasix_32v1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_dup" (func $fd_dup (param i32 i32) (result i32)))
  (import "wasix_32v1" "fd_event" (func $fd_event (param i64 i32 i32) (result i32)))
  (memory (export "memory") 2 8)
  (table $table 4 16 funcref)
  (global $mark (mut i64) (i64.const 7))
  (elem declare func $fd_dup)

  ;; 0: one vector, of one byte at 16. 8: how much was moved. 32: a number.
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  ;; A page that has an image.
  (data (i32.const 65536) "image")

  (func $say (param $letter i32)
    (i32.store8 (i32.const 16) (local.get $letter))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func $fill (local $at i32)
    (drop (memory.grow (i32.const 2)))
    (local.set $at (i32.const 1024))
    (loop $next
      (i64.store (local.get $at) (i64.const 0x5a5a5a5a5a5a5a5a))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 262144))))
    (global.set $mark (i64.const 0x5a5a5a5a5a5a5a5a))
    (drop (table.grow $table (ref.func $fd_dup) (i32.const 4)))
    (table.set $table (i32.const 1) (ref.func $fd_dup))
    (drop (call $fd_dup (i32.const 0) (i32.const 32)))
    (drop (call $fd_event (i64.const 1) (i32.const 0) (i32.const 32))))

  (func $look (result i32) (local $at i32)
    (if (i32.ne (memory.size) (i32.const 2)) (then (return (i32.const 115))))
    (local.set $at (i32.const 1024))
    (loop $next
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
        (then
          (if (i32.ne (local.get $at) (i32.const 65536)) (then (return (i32.const 109))))
          (if (i64.ne (i64.load (local.get $at)) (i64.const 0x6567616d69)) (then (return (i32.const 109))))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 131072))))
    (if (i64.ne (global.get $mark) (i64.const 7)) (then (return (i32.const 103))))
    (if (i32.ne (table.size $table) (i32.const 4)) (then (return (i32.const 101))))
    (if (i32.eqz (ref.is_null (table.get $table (i32.const 1)))) (then (return (i32.const 116))))
    ;; The lowest free number is the one after the standard streams.
    (if (call $fd_dup (i32.const 2) (i32.const 32)) (then (return (i32.const 100))))
    (if (i32.ne (i32.load (i32.const 32)) (i32.const 3)) (then (return (i32.const 100))))
    (i32.const 108))

  (func (export "_start")
    (loop $next
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (return)))
      (if (i32.eqz (i32.load (i32.const 8))) (then (return)))
      (if (i32.eq (i32.load8_u (i32.const 16)) (i32.const 108))
        (then (call $say (call $look)))
        (else
          (call $fill)
          (call $say (i32.const 102))))
      (br $next))))
