;; Listens, watches the listener for nothing but errors, takes all descriptors that the host
;; has, and waits for ever.
(module
  (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind" (func $bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen" (func $listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "epoll_create" (func $create (param i32) (result i32)))
  (import "wasix_32v1" "epoll_ctl" (func $control (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "epoll_wait" (func $wait (param i32 i32 i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "\01\00\00\00\7f\00\00\01")  ;; 127.0.0.1:0
  (func (export "_start")
    (drop (call $open (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 0)))
    (drop (call $bind (i32.load (i32.const 0)) (i32.const 64)))
    (drop (call $listen (i32.load (i32.const 0)) (i32.const 8)))
    (drop (call $create (i32.const 4)))
    (drop (call $control (i32.load (i32.const 4)) (i32.const 1) (i32.load (i32.const 0)) (i32.const 128)))
    (loop $more
      (br_if $more (i32.eqz (call $open (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 8)))))
    (drop (call $wait
      (i32.load (i32.const 4)) (i32.const 1024) (i32.const 8) (i64.const -1) (i32.const 16)))))
