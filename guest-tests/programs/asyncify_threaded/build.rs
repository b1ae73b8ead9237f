//! The host sets the stack pointer of these programs, and where their thread-local variables are.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for global in ["__stack_pointer", "__tls_base", "__data_end"] {
        println!("cargo::rustc-link-arg-bins=--export={global}");
    }
}
