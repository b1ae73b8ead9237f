//! Unmodified servers, compiled for wasm32-wasip2.

use crate::wasock;
use anyhow::Result;
use guest_tests::components;

/// The component, where the toolchain of the guests has its target.
fn of_wasip2(component: Option<&'static str>) -> Option<&'static str> {
    if component.is_none() {
        eprintln!("passed over: the toolchain has no wasm32-wasip2");
    }
    component
}

#[test]
pub(crate) fn std_echo() -> Result<()> {
    let Some(component) = of_wasip2(components::STD_ECHO) else { return Ok(()) };
    wasock()
        .args(["inspect", component])
        .succeed()?
        .expect_stdout("  wasi:sockets/tcp@0.2")?
        .expect_stdout("missing (the component does not start): 0\n")
        .map(drop)
}
