//! What the command keeps of listeners by itself. How a service hands them from one instance to
//! the next is in the library's tests.

use super::run;
use anyhow::{Result, ensure};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A run without a flag for it holds nothing: a guest that ends leaves no listener.
#[test]
pub(super) fn adoption() -> Result<()> {
    let control = TcpListener::bind("127.0.0.1:0")?;
    let at = control.local_addr()?.to_string();
    let grants = ["--listen", "127.0.0.1:0", "--connect", &at];
    let running = run().args(grants).args([guest_tests::ADOPTION, &at]).start()?;
    let mut control = BufReader::new(control.accept()?.0);
    let mut ask = |order: &str| -> Result<String> {
        writeln!(control.get_mut(), "{order}")?;
        let mut answer = String::new();
        control.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    };
    for order in ["open a tcp", "bind a 127.0.0.1:0", "listen a 4"] {
        ensure!(ask(order)? == "ok", "{order}");
    }
    let addr: SocketAddr = ask("local a")?.parse()?;
    drop(TcpStream::connect(addr)?);
    ask("exit 0")?;
    running.finish()?.expect_code(0)?;
    ensure!(TcpStream::connect(addr).is_err(), "a listener is at {addr}");
    Ok(())
}
