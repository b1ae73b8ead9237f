;; One poll of 65,535 times the same epoll, which watches one event descriptor under 900 numbers,
;; and of a clock of a millisecond: the clock ends it. A look at each entry for each subscription
;; would take a minute.
(module
  (import "wasix_32v1" "fd_event" (func $event (param i64 i32 i32) (result i32)))
  (import "wasix_32v1" "epoll_create" (func $epoll (param i32) (result i32)))
  (import "wasix_32v1" "epoll_ctl" (func $control (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_renumber" (func $duplicate (param i32 i32) (result i32)))
  (import "wasix_32v1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 100)
  ;; 0: the epoll. 8: the event descriptor. 16: how many events the poll has. 24: the time. 64: what
  ;; an entry of the epoll waits for: something to read.
  (data (i32.const 64) "\01")

  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))
  (func $milliseconds (result i32)
    (call $must (call $now (i32.const 1) (i64.const 1) (i32.const 24)))
    (i32.wrap_i64 (i64.div_u (i64.load (i32.const 24)) (i64.const 1000000))))

  (func $watch (param $number i32)
    (call $must (call $duplicate (i32.load (i32.const 8)) (local.get $number)))
    (call $must (call $control (i32.load (i32.const 0)) (i32.const 1) (local.get $number) (i32.const 64))))

  ;; A subscription, 48 bytes each from 65536 on: its kind at 8, the number or the clock at 16, the
  ;; time at 24.
  (func $subscribe (param $place i32) (param $kind i32) (param $number i32) (param $time i64)
    (local $at i32)
    (local.set $at (i32.add (i32.const 65536) (i32.mul (local.get $place) (i32.const 48))))
    (i32.store8 offset=8 (local.get $at) (local.get $kind))
    (i32.store offset=16 (local.get $at) (local.get $number))
    (i64.store offset=24 (local.get $at) (local.get $time)))

  (func (export "_start") (local $count i32) (local $begun i32)
    (call $must (call $epoll (i32.const 0)))
    (call $must (call $event (i64.const 0) (i32.const 0) (i32.const 8)))
    (loop $again
      (call $watch (i32.add (i32.const 100) (local.get $count)))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $count) (i32.const 900))))
    (local.set $count (i32.const 0))
    (loop $again
      (call $subscribe (local.get $count) (i32.const 1) (i32.load (i32.const 0)) (i64.const 0))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $count) (i32.const 65535))))
    (call $subscribe (local.get $count) (i32.const 0) (i32.const 1) (i64.const 1000000))
    (local.set $begun (call $milliseconds))
    (call $must
      (call $poll (i32.const 65536) (i32.const 3276800) (i32.const 65536) (i32.const 16)))
    ;; The clock's event, alone.
    (call $expect (i32.load (i32.const 16)) (i32.const 1))
    (call $expect (i32.load8_u offset=10 (i32.const 3276800)) (i32.const 0))
    ;; Far more than it takes, and far less than a minute.
    (if (i32.gt_u (i32.sub (call $milliseconds) (local.get $begun)) (i32.const 5000))
      (then (call $exit (i32.const 99))))))
