;; Imports from modules that no host knows.
(module
  (import "no_such_module" "first" (func (param i32) (result i32)))
  (import "no_such_module" "second" (func))
  (import "another_module" "third" (func))
  (memory (export "memory") 1)
  (func (export "_start")))
