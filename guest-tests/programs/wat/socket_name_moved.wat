;; Gives the granted name app.sock to another socket, by rename and by link, and connects to
;; both names. Exit code: 16 times the answer for secret.sock, and that for app.sock.
(module
  (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_connect" (func $connect (param i32 i32) (result i32)))
  (import "wasix_32v1" "path_link" (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "\03\00/run/secret.sock\00")
  (data (i32.const 200) "\03\00/run/app.sock\00")
  (data (i32.const 400) "secret.sock")
  (data (i32.const 500) "app.sock")
  (data (i32.const 600) "app.old")
  (func (export "_start") (local $direct i32)
    (drop (call $open (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 0)))
    (local.set $direct (call $connect (i32.load (i32.const 0)) (i32.const 64)))
    (drop (call $rename
      (i32.const 3) (i32.const 500) (i32.const 8) (i32.const 3) (i32.const 600) (i32.const 7)))
    (drop (call $link
      (i32.const 3) (i32.const 0) (i32.const 400) (i32.const 11) (i32.const 3) (i32.const 500) (i32.const 8)))
    (call $exit (i32.add
      (i32.mul (local.get $direct) (i32.const 16))
      (call $connect (i32.load (i32.const 0)) (i32.const 200))))))
