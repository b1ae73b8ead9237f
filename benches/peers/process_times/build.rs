//! The host sets the stack pointer of these programs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "wasi") {
        for global in ["__stack_pointer", "__data_end"] {
            println!("cargo::rustc-link-arg-bins=--export={global}");
        }
    }
}
