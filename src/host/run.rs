//! Running a guest from its start to its end.

use wasmtime::{Engine, ExternType, Linker, SharedMemory, Store};

use super::{Guest, WasockCtx, add_to_linker, link_unknown_imports};
use crate::error::Exit;
use crate::observe::Event;

/// How a guest ended by itself. A trap is an error instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code: 0 where the program returned from its start.
    pub code: u32,
}

impl Guest {
    /// Runs the guest: instantiates it, and calls `_start`.
    ///
    /// Imports that the host lacks answer `ENOSYS`, and each is told to the observer
    /// once. To end code that never calls the host, increment the engine's epoch.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the guest; everything it had open is closed.
    ///
    /// # Errors
    ///
    /// Where the module imports from a module that nobody knows (the message lists
    /// all of them), has no `_start`, or traps (the error holds the backtrace).
    pub async fn run(&self, mut ctx: WasockCtx) -> wasmtime::Result<Ended> {
        let engine = self.module().engine();
        let mut linker: Linker<WasockCtx> = Linker::new(engine);
        add_to_linker(&mut linker, |ctx| ctx)?;
        ctx.adapt_to(self.module());
        let memory = self.imported_memory(engine)?;
        if let Some(memory) = &memory {
            ctx.set_shared_memory(memory.clone());
        }
        for import in link_unknown_imports(&mut linker, self.module())? {
            let event = Event::Stubbed { module: import.module.clone(), name: import.name.clone() };
            ctx.thread.process().report().tell(event);
        }
        let mut store = Store::new(engine, ctx);
        store.set_epoch_deadline(1);
        if let Some(memory) = memory {
            linker.define(&mut store, "env", "memory", memory)?;
        }
        let instance = linker.instantiate_async(&mut store, self.module()).await?;
        let Ok(start) = instance.get_typed_func::<(), ()>(&mut store, "_start") else {
            return Err(wasmtime::Error::msg(
                "the module exports no _start: it is a library; build it as a program (a command module)",
            ));
        };
        match start.call_async(&mut store, ()).await {
            Ok(()) => Ok(Ended { code: 0 }),
            Err(error) => match error.downcast_ref::<Exit>() {
                Some(Exit(code)) => Ok(Ended { code: *code }),
                None => Err(error),
            },
        }
    }

    /// The shared memory that the module imports, made as it asks.
    fn imported_memory(&self, engine: &Engine) -> wasmtime::Result<Option<SharedMemory>> {
        for import in self.module().imports() {
            if let ExternType::Memory(ty) = import.ty()
                && (import.module(), import.name()) == ("env", "memory")
                && ty.is_shared()
            {
                return SharedMemory::new(engine, ty).map(Some);
            }
        }
        Ok(None)
    }
}
