//! What a component's imports are served by.
//!
//! Each interface is linked once, by itself: what is forgotten is missing, and never served by
//! something that asks no policy.

use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi::p3;
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};

use super::data::Data;
use super::view::{add_all_to_linker, add_p3_to_linker};

/// Everything that a component of WASI 0.2 may import.
///
/// # Errors
///
/// None, unless an interface is linked twice.
pub(super) fn link_p2(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    add_all_to_linker(linker)?;
    clocks::wall_clock::add_to_linker::<Data, WasiClocks>(linker, Data::clocks)?;
    random::random::add_to_linker::<Data, WasiRandom>(linker, Data::random)?;
    random::insecure::add_to_linker::<Data, WasiRandom>(linker, Data::random)?;
    random::insecure_seed::add_to_linker::<Data, WasiRandom>(linker, Data::random)?;
    cli::environment::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    cli::exit::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    cli::stdin::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    cli::stdout::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    cli::stderr::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    cli::terminal_input::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    cli::terminal_output::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    cli::terminal_stdin::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    cli::terminal_stdout::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    cli::terminal_stderr::add_to_linker::<Data, WasiCli>(linker, Data::cli)?;
    filesystem::types::add_to_linker::<Data, WasiFilesystem>(linker, Data::filesystem)?;
    filesystem::preopens::add_to_linker::<Data, HasSelf<Data>>(linker, |data| data)?;
    Ok(())
}

/// What a component of WASI 0.3 may import besides.
///
/// # Errors
///
/// Where the engine has no async functions of the component model.
pub(super) fn link_p3(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    use p3::bindings::filesystem;

    add_p3_to_linker(linker)?;
    p3::cli::add_to_linker(linker)?;
    p3::clocks::add_to_linker(linker)?;
    p3::random::add_to_linker(linker)?;
    filesystem::types::add_to_linker::<Data, WasiFilesystem>(linker, Data::filesystem)?;
    filesystem::preopens::add_to_linker::<Data, HasSelf<Data>>(linker, |data| data)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;

    use super::*;
    use crate::abi::component::all_interfaces;
    use crate::host::Guest;

    /// What is told to be supported is what is linked.
    #[test]
    fn every_interface_of_the_list_is_linked() -> wasmtime::Result<()> {
        let mut config = Guest::engine_config();
        config.concurrency_support(true);
        let mut linker = Linker::new(&Engine::new(&config)?);
        link_p2(&mut linker)?;
        link_p3(&mut linker)?;
        for name in all_interfaces() {
            // A name that is taken is refused.
            let taken = linker.root().func_wrap(&name, |_, (): ()| Ok(())).is_err();
            assert!(taken, "{name} is not linked");
        }
        Ok(())
    }

    /// Where no component is async, calls are cheaper without.
    #[test]
    fn an_engine_without_async_functions_serves_wasi_0_2_alone() -> wasmtime::Result<()> {
        let mut linker = Linker::new(&Engine::new(&Guest::engine_config())?);
        link_p2(&mut linker)?;
        assert!(link_p3(&mut linker).is_err());
        Ok(())
    }
}
