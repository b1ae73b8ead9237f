//! Backtraces of guests, as text.

use std::fmt;

use wasmtime::{FrameInfo, WasmBacktrace};

use crate::observe::text::{Excerpt, is_printable};

/// A backtrace, a frame a line.
///
/// The names in it are the module's: of the module, its functions and its source files. A
/// line feed in one begins no line of its own, and a long one is cut.
pub(crate) struct Backtrace<'a>(pub(crate) &'a WasmBacktrace);

impl fmt::Display for Backtrace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = self.0.frames();
        if frames.iter().all(has_printable_names) {
            // No compiler makes other names. A demangled name is a name too.
            let text = self.0.to_string();
            let mut lines = text.lines();
            if let Some(first) = lines.next() {
                write!(f, "{}", Excerpt::sentence(first))?;
            }
            return lines.try_for_each(|line| write!(f, "\n{}", Excerpt::sentence(line)));
        }
        f.write_str("error while executing at wasm backtrace:")?;
        for (index, frame) in frames.iter().enumerate() {
            let module = frame.module().name().unwrap_or("<unknown>");
            write!(f, "\n  {index:>3}: {}!", Excerpt::name(module))?;
            match frame.func_name() {
                Some(name) => write!(f, "{}", Excerpt::name(name))?,
                None => write!(f, "<wasm function {}>", frame.func_index())?,
            }
        }
        Ok(())
    }
}

fn has_printable_names(frame: &FrameInfo) -> bool {
    let symbols = frame.symbols().iter().flat_map(|symbol| [symbol.name(), symbol.file()]);
    symbols.chain([frame.module().name(), frame.func_name()]).flatten().all(is_printable)
}
