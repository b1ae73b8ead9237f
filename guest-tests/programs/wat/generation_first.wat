;; What the first generation imports with its own types, and what only it has. An error
;; number that was not expected becomes the exit code.
(module
  (import "env" "memory" (memory 1 16 shared))
  (import "wasix_32v1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasix_32v1" "proc_join" (func $proc_join (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_spawn"
    (func $thread_spawn (param i64 i64 i64 i32 i32) (result i32)))
  (import "wasix_32v1" "thread_local_create" (func $local_create (param i64 i32) (result i32)))
  (import "wasix_32v1" "sock_open" (func $sock_open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind" (func $sock_bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen" (func $sock_listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_connect" (func $sock_connect (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_accept"
    (func $sock_accept (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_addr_local" (func $sock_addr_local (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_addr_peer" (func $sock_addr_peer (param i32 i32) (result i32)))
  (import "wasix_32v1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasix_32v1" "callback_thread" (func $callback_thread (param i32 i32)))
  (import "wasix_32v1" "callback_reactor" (func $callback_reactor (param i32 i32)))
  (import "wasix_32v1" "callback_thread_local_destroy"
    (func $callback_thread_local_destroy (param i32 i32)))
  (import "wasix_32v1" "bus_open_local"
    (func $bus_open_local (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "bus_close" (func $bus_close (param i32) (result i32)))
  (import "wasix_32v1" "ws_connect" (func $ws_connect (param i32 i32 i32) (result i32)))
  (import "wasix_32v1" "http_request"
    (func $http_request (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "http_status" (func $http_status (param i32 i32) (result i32)))

  ;; 0: the address 127.0.0.1, port 0. 128: the listener. 132: a client. 136: its other end.
  ;; 256: an address from the host, with a mark behind the 20 bytes that it may have.
  ;; 512: numbers from the host.
  (data $address "\01\00\00\00\7f\00\00\01")

  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  ;; The place that this generation has for an address: 20 bytes.
  (func $mark (i64.store (i32.const 276) (i64.const -1)))
  (func $is_marked (if (i64.ne (i64.load (i32.const 276)) (i64.const -1)) (then unreachable)))

  ;; What $fd is: 5 datagrams, 6 a stream.
  (func $is_kind (param $fd i32) (param $kind i32)
    (call $must (call $fd_fdstat_get (local.get $fd) (i32.const 512)))
    (call $expect (i32.load8_u (i32.const 512)) (local.get $kind)))

  ;; Datagrams are 0 and streams 1; 2 is raw, not datagrams.
  (func $kinds
    (call $must (call $sock_open (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 132)))
    (call $is_kind (i32.load (i32.const 132)) (i32.const 5))
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 132)))
    (call $is_kind (i32.load (i32.const 132)) (i32.const 6))
    (if (i32.eqz (call $sock_open (i32.const 1) (i32.const 2) (i32.const 0) (i32.const 132)))
      (then unreachable)))

  (func $addresses
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 128)))
    (call $must (call $sock_bind (i32.load (i32.const 128)) (i32.const 0)))
    (call $must (call $sock_listen (i32.load (i32.const 128)) (i32.const 8)))
    (call $mark)
    (call $must (call $sock_addr_local (i32.load (i32.const 128)) (i32.const 256)))
    (call $is_marked)
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 132)))
    (call $must (call $sock_connect (i32.load (i32.const 132)) (i32.const 256)))
    (call $must (call $sock_accept
      (i32.load (i32.const 128)) (i32.const 0) (i32.const 136) (i32.const 256)))
    (call $is_marked)
    (call $expect (i32.load8_u (i32.const 256)) (i32.const 1))
    (call $expect (i32.load (i32.const 260)) (i32.load (i32.const 4)))
    (call $must (call $sock_addr_peer (i32.load (i32.const 132)) (i32.const 256)))
    (call $is_marked))

  ;; The reactor of a bus would be such a thread.
  (func (export "_start_thread") (param i32 i32) unreachable)
  (func (export "_react") (param i32 i32) unreachable)

  (func (export "_start")
    (memory.init $address (i32.const 0) (i32.const 0) (i32.const 8))
    ;; "ECHILD": no child, be it any or one by its number.
    (call $expect (call $proc_join (i32.const 512) (i32.const 516)) (i32.const 12))
    (i32.store (i32.const 512) (i32.const 1))
    (call $expect (call $proc_join (i32.const 512) (i32.const 516)) (i32.const 12))
    ;; "ENOTSUP": a thread that the host would call again and again.
    (call $expect (call $thread_spawn
      (i64.const 0) (i64.const 0) (i64.const 0) (i32.const 1) (i32.const 512)) (i32.const 58))
    (call $must (call $local_create (i64.const 0) (i32.const 512)))
    (call $kinds)
    (call $addresses)
    (call $callback_thread (i32.const 0) (i32.const 0))
    (call $callback_reactor (i32.const 0) (i32.const 0))
    (call $callback_thread_local_destroy (i32.const 0) (i32.const 0))
    ;; A bus has errors of its own: 11 is "unsupported".
    (call $expect (call $bus_open_local
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 512)) (i32.const 11))
    (call $expect (call $bus_close (i32.const 0)) (i32.const 11))
    ;; "ENOSYS"
    (call $expect (call $ws_connect (i32.const 0) (i32.const 0) (i32.const 512)) (i32.const 52))
    (call $expect (call $http_request (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 512)) (i32.const 52))
    (call $expect (call $http_status (i32.const 0) (i32.const 512)) (i32.const 52))))
