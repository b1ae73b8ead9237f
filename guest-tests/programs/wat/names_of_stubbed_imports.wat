;; Imports a function that the host lacks, under a name that would forge a line of the host's.
(module
  (import "wasix_32v1" "zz\1b[31m\0awasock: forged\1b[0m" (func (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")))
