;; Traps, two calls deep.
(module
  (memory (export "memory") 1)
  (func $the_innermost_function unreachable)
  (func $the_function_around_it (call $the_innermost_function))
  (func (export "_start") (call $the_function_around_it)))
