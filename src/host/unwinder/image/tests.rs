//! A copy of an instance is as the instance was.

use wasmtime::{Engine, Instance, Module, Store};

use super::*;
use crate::host::unwinder::memory_of;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const TEXT: &str = r#"(module
    (memory (export "memory") 2 4)
    (global (export "number") (mut i32) (i32.const 1))
    (global (export "wide") (mut v128) (v128.const i64x2 1 2))
    (global (export "constant") i32 (i32.const 3))
    (data (i32.const 8190) "begins")
    (data (i32.const 70000) "is cleared"))"#;

#[test]
fn a_copy_has_the_memory_and_the_globals() -> TestResult {
    let engine = Engine::default();
    let module = Module::new(&engine, TEXT)?;
    let mut parent = Store::new(&engine, ());
    let instance = Instance::new(&mut parent, &module, &[])?;
    let memory = memory_of(&instance, &mut parent, None).ok_or("no memory")?;
    let GuestMemoryHandle::Plain(plain) = &memory else { return Err("shared".into()) };
    plain.grow(&mut parent, 1)?;
    plain.write(&mut parent, 70000, &[0; 10])?;
    plain.write(&mut parent, 65530, b"across the pages")?;
    plain.write(&mut parent, 3 * 65536 - 1, b"!")?;
    let number = instance.get_global(&mut parent, "number").ok_or("no global")?;
    number.set(&mut parent, Val::I32(-7))?;

    let image = MemoryImage::of(&memory, &mut parent).map_err(|_| "no image")?;
    assert!(
        image.runs.iter().map(|(_, run)| run.len()).sum::<usize>() <= 5 * PAGE,
        "zero pages are left out"
    );
    let globals = GlobalsImage::of(&module, &instance, &mut parent);

    let mut child = Store::new(&engine, ());
    let copy = Instance::new(&mut child, &module, &[])?;
    let of_child = memory_of(&copy, &mut child, None).ok_or("no memory")?;
    image.write(&of_child, &mut child)?;
    globals.write(&copy, &mut child)?;
    let GuestMemoryHandle::Plain(written) = &of_child else { return Err("shared".into()) };
    assert_eq!(written.data(&child).len(), 3 * 65536);
    assert!(written.data(&child) == plain.data(&parent), "the bytes are the same");
    let number = copy.get_global(&mut child, "number").ok_or("no global")?;
    assert_eq!(number.get(&mut child).i32(), Some(-7));
    Ok(())
}
