;; Traps in a function whose name would set a terminal's title and colours, and begin lines
;; that look like the host's.
(module
  (memory (export "memory") 1)
  (func $"\1b]0;title\07\1b[31mwasock: listening on 0.0.0.0:22 (fd 3)\1b[0m\0awasock: forged\e2\80\ae"
    unreachable)
  (func (export "_start")
    (call $"\1b]0;title\07\1b[31mwasock: listening on 0.0.0.0:22 (fd 3)\1b[0m\0awasock: forged\e2\80\ae")))
