;; Answers one connection, in a shared memory that the host makes, as every WASIX program with threads.
(module
  (import "env" "memory" (memory 1 4 shared))
  (import "wasix_32v1" "sock_open"
    (func $sock_open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind" (func $sock_bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen" (func $sock_listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_accept_v2"
    (func $sock_accept_v2 (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_send"
    (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasix_32v1" "proc_exit" (func $proc_exit (param i32)))

  ;; 0: the address 127.0.0.1, port 0
  (data (i32.const 0) "\01\00\00\00\7f\00\00\01")
  ;; 128: the listener. 132: the connection. 136: the peer.
  ;; 256: one vector, to the two letters behind it. 272: how many were sent.
  (data (i32.const 256) "\08\01\00\00\02\00\00\00ok")

  ;; An error number becomes the exit code.
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  (func (export "_start")
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 128)))
    (call $must (call $sock_bind (i32.load (i32.const 128)) (i32.const 0)))
    (call $must (call $sock_listen (i32.load (i32.const 128)) (i32.const 4)))
    (call $must (call $sock_accept_v2
      (i32.load (i32.const 128)) (i32.const 0) (i32.const 132) (i32.const 136)))
    (call $must (call $sock_send
      (i32.load (i32.const 132)) (i32.const 256) (i32.const 1) (i32.const 0) (i32.const 272)))
    (call $must (call $fd_close (i32.load (i32.const 132))))))
