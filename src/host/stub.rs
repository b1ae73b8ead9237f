//! Imports that the host lacks.

use std::fmt;

use wasmtime::{ExternType, FuncType, ImportType, Linker, Module, Val};

use crate::abi::{Function, Import, Imports, Support, WIDE_MODULE, errno};
use crate::error::{Errno, Trap};

/// Functions after which the guest does not expect to run on. Answering them
/// would send it into code that its compiler took for unreachable.
const NEVER_RETURN: &[&str] = &["proc_exec", "proc_exec2", "proc_exit2", "stack_restore", "thread_exit"];

/// "Call is unsupported" - bus_errno of October 2022
const BUS_UNSUPPORTED: i32 = 11;

/// Gives `linker` a function for every import of `module` that is in a module the
/// host knows, but that the host lacks or has with another type. It fails
/// with `ENOSYS`; one that must not return traps. So a program that never calls it
/// runs. Returns the names of these imports.
///
/// ```
/// use wasmtime::{Engine, Linker, Module};
/// use wasock::WasockCtx;
///
/// # fn example() -> wasmtime::Result<()> {
/// let engine = Engine::default();
/// // A function that was in WASIX once, and one of its own.
/// let module = Module::new(&engine, r#"(module
///     (import "wasix_32v1" "ws_connect" (func (param i32 i32 i32) (result i32)))
///     (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32))))"#)?;
/// let mut linker: Linker<WasockCtx> = Linker::new(&engine);
/// wasock::add_to_linker(&mut linker, &module, |ctx| ctx)?;
/// let stubbed = wasock::link_unknown_imports(&mut linker, &module)?;
/// assert_eq!(stubbed[0].to_string(), "wasix_32v1.ws_connect");
/// # linker.instantiate_pre(&module).map(drop)
/// # }
/// # example().unwrap();
/// ```
///
/// A function that the embedder defined itself is left alone. Shadowing is off in
/// `linker` afterwards.
///
/// # Errors
///
/// [`MissingImports`] where `module` imports from a module that neither the host nor the
/// embedder knows: the message lists all of these imports.
pub fn link_unknown_imports<T: Send + 'static>(
    linker: &mut Linker<T>,
    module: &Module,
) -> wasmtime::Result<Vec<Import>> {
    // Names that are taken: checked on a copy, because a linker only shows it by refusing.
    let mut taken = linker.clone();
    taken.allow_shadowing(false);
    let mut missing = Vec::new();
    let mut stubbed = Vec::new();
    let imports = Imports::of(module);
    for import in module.imports() {
        match imports.support(&import) {
            Support::Supported | Support::Refused => {}
            Support::Missing if is_defined(&mut taken, &import) => {}
            Support::Missing => missing.push((Import::of(&import), kind(&import.ty()))),
            Support::Stubbed => {
                let lacks = Function::find(import.module(), import.name()).is_none();
                if lacks && is_defined(&mut taken, &import) {
                    continue;
                }
                if let ExternType::Func(ty) = import.ty() {
                    define_stub(linker, &import, ty)?;
                    stubbed.push(Import::of(&import));
                }
            }
        }
    }
    if missing.is_empty() {
        return Ok(stubbed);
    }
    Err(wasmtime::Error::new(MissingImports::of_module(&missing)))
}

/// Imports that neither the host nor the embedder has, with what each of them is.
///
/// It is printed in several lines, the first of which ends in a colon. The names in the
/// others are the module's to choose, and [escaped](crate::observe::Escaped).
#[derive(Clone, Debug)]
pub struct MissingImports {
    /// A module, or a component.
    of: &'static str,
    lines: Vec<String>,
}

impl MissingImports {
    fn of_module(imports: &[(Import, &'static str)]) -> Self {
        let mut lines: Vec<_> = imports.iter().map(|(import, kind)| format!("{import} ({kind})")).collect();
        if imports.iter().any(|(import, _)| import.module == WIDE_MODULE) {
            lines.push(format!(
                "{WIDE_MODULE} is for memories of 64 bits: build the program for those of 32 bits"
            ));
        }
        Self { of: "module", lines }
    }

    /// Each line names one import, and has no character in it that acts on a terminal.
    #[cfg(feature = "components")]
    pub(super) fn of_component(lines: Vec<String>) -> Self {
        Self { of: "component", lines }
    }
}

impl fmt::Display for MissingImports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} imports what this host does not have:", self.of)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for MissingImports {}

/// Does a linker have what `import` names? A linker only shows it by refusing, so `taken` is a copy of it,
/// without shadowing.
pub(super) fn is_defined<T: 'static>(taken: &mut Linker<T>, import: &ImportType<'_>) -> bool {
    let nothing = FuncType::new(taken.engine(), [], []);
    taken.func_new(import.module(), import.name(), nothing, |_, _, _| Ok(())).is_err()
}

fn kind(ty: &ExternType) -> &'static str {
    match ty {
        ExternType::Func(_) => "a function",
        ExternType::Global(_) => "a global",
        ExternType::Table(_) => "a table",
        ExternType::Memory(ty) if !ty.is_shared() => "a memory that is not shared",
        ExternType::Memory(_) => "a memory",
        ExternType::Tag(_) => "a tag",
    }
}

/// Defines the stub, in the place of our own function of another type where there
/// is one.
fn define_stub<T: 'static>(
    linker: &mut Linker<T>,
    import: &ImportType<'_>,
    ty: FuncType,
) -> wasmtime::Result<()> {
    let name = Import::of(import);
    let nosys = errno::number(Errno::ENOSYS);
    let answer = match import.name() {
        // Its result is a thread's number, or a negative errno.
        "thread-spawn" => -nosys,
        // The bus of the first generation has errors of its own.
        name if name.starts_with("bus_") => BUS_UNSUPPORTED,
        _ => nosys,
    };
    let is_errno = ty.results().all(|result| result.is_i32());
    let returns = is_errno && !NEVER_RETURN.contains(&import.name());
    linker.allow_shadowing(true);
    let defined = linker
        .func_new(import.module(), import.name(), ty, move |_, _, results| {
            if !returns {
                return Err(Trap::new(format!("the host lacks {name}, which the guest called")).into());
            }
            results.fill(Val::I32(answer));
            Ok(())
        })
        .map(drop);
    linker.allow_shadowing(false);
    defined
}
