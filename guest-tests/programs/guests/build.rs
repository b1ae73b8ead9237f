//! Arguments of the linker for one program alone.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // As WASIX programs do: the host interrupts code that computes where it sees the stack.
    println!("cargo::rustc-link-arg-bin=signal_handlers=--export=__stack_pointer");
}
