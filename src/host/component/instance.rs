//! An instance of a component that starts nothing by itself: the benches call its functions one by one.

use wasmtime::Store;
use wasmtime::component::{Component, Instance, Linker, Resource, ResourceType, TypedFunc};

use super::super::WasockCtx;
use super::data::Data;
use super::link::link_p2;
use super::run::store_for;

/// An interface whose functions do nothing: no call is cheaper than these.
const NOTHING: &str = "bench:calls/nothing";

/// A component of WASI 0.2 whose functions are called from outside. What it calls does what it does for a program that
/// the host runs.
pub struct ComponentInstance {
    store: Store<Data>,
    instance: Instance,
}

/// A function that makes its calls so many times, and returns 0 where each has answered as it shall.
pub type Repeated = TypedFunc<(u64,), (u32,)>;

/// A resource of nothing.
struct Thing;

impl ComponentInstance {
    /// Makes an instance.
    ///
    /// # Errors
    ///
    /// Where an import is missing, and those of the instantiation.
    pub async fn new(component: &Component, ctx: WasockCtx) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(component.engine());
        link_p2(&mut linker)?;
        link_nothing(&mut linker)?;
        let pre = linker.instantiate_pre(component)?;
        let mut store = store_for(ctx, &pre)?;
        // It is not interrupted.
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = pre.instantiate_async(&mut store).await?;
        Ok(Self { store, instance })
    }

    /// Finds a function.
    ///
    /// # Errors
    ///
    /// Where it exports none of this name and type.
    pub fn function(&mut self, name: &str) -> wasmtime::Result<Repeated> {
        self.instance.get_typed_func(&mut self.store, name)
    }

    /// Calls a function.
    ///
    /// # Errors
    ///
    /// A trap.
    pub async fn call(&mut self, function: &Repeated, times: u64) -> wasmtime::Result<u32> {
        Ok(function.call_async(&mut self.store, (times,)).await?.0)
    }
}

fn link_nothing(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    let mut nothing = linker.instance(NOTHING)?;
    nothing.resource("thing", ResourceType::host::<Thing>(), |_, _| Ok(()))?;
    nothing.func_wrap("make", |_, (): ()| Ok((Resource::<Thing>::new_own(1),)))?;
    nothing.func_wrap("[method]thing.nothing", |_, (_thing,): (Resource<Thing>,)| Ok((0_u32,)))?;
    nothing.func_wrap("nothing", |_, (): ()| Ok((0_u32,)))?;
    nothing.func_wrap_async("nothing-async", |_, (): ()| Box::new(std::future::ready(Ok((0_u32,)))))
}
