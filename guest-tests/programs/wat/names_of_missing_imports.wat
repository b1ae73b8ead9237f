;; Imports what no host has, under names that would forge lines of the host's.
(module
  (import "nobody\1b[31m\0awasock: forged" "x\1b]0;title\07" (func))
  (memory (export "memory") 1)
  (func (export "_start")))
