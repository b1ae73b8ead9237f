//! Scripts that run pipelines of small programs, by a shell of the tests' own: with today's calls, and with those of 2022.

use super::*;
use crate::asyncify::rewritten;
use guest_tests::asyncified;

const SCRIPT: &[u8] = b"#!/bin/sh
# Whatever a small script does.
echo one two three | cat | cat | wc -w
echo 'first  line' > /data/out
echo second >> /data/out
cat < /data/out | wc -l
false || echo \"status $?\"
true && fail 7
echo \"code $?\" $# \"$1\" '$1'
missing; echo \"missing $?\"
crash
echo crash $?
NAME=\"a b\"
echo \"inside: $(echo $NAME | cat | wc -w)\" ${NAME}
cat /data/none 2> /data/errors || wc -l < /data/errors
cat /data/none > /data/both 2>&1; wc -l < /data/both
exit 5
";

const PRINTED: &str = "3
2
status 1
code 7 2 first $1
missing 127
crash 134
inside: 2 a b
1
1
";

/// Has `shell` execute the script, which names the shell as its interpreter.
fn runs_the_script(shell: &str) -> Result<()> {
    let folder = programs(&[("sh", &fs::read(shell)?), ("script", SCRIPT)])?;
    let files = tempfile::tempdir()?;
    let data = format!("{}::/data", files.path().display());
    let commands = "/bin/script first second; echo outside $?";
    let host = with_programs(run(), folder.path()).args(["--dir", &data, shell, "-c", commands]);
    let finished = host.succeed()?;
    ensure!(finished.stdout == format!("{PRINTED}outside 5\n"), "{finished}");
    ensure!(fs::read_to_string(files.path().join("out"))? == "first  line\nsecond\n", "{finished}");
    Ok(())
}

#[test]
pub(crate) fn shell() -> Result<()> {
    runs_the_script(guest_tests::SHELL)
}

#[test]
pub(crate) fn shell_v1() -> Result<()> {
    let Some(program) = rewritten(asyncified::SHELL_V1)? else { return Ok(()) };
    runs_the_script(program)
}

/// The reader of a pipeline ends before its writer has written all: the writer learns it.
#[test]
fn a_writer_ends_whose_reader_has_ended() -> Result<()> {
    let folder = programs(&[])?;
    let files = tempfile::tempdir()?;
    fs::write(files.path().join("large"), vec![b'x'; 1 << 20])?;
    let data = format!("{}::/data", files.path().display());
    let host = with_programs(run(), folder.path());
    let commands = "cat /data/large | true; echo $?";
    host.args(["--dir", &data, guest_tests::SHELL, "-c", commands]).succeed()?.expect_stdout("0\n").map(drop)
}

/// Each request runs a script, whose pipeline is three programs.
#[test]
fn scripts_answer_the_clients_of_inetd() -> Result<()> {
    let shells = [Some(guest_tests::SHELL), rewritten(asyncified::SHELL_V1)?];
    for shell in shells.into_iter().flatten() {
        let page = b"#!/bin/sh\nanswer $(echo one two three | cat | wc -w)\n";
        let folder = programs(&[("sh", &fs::read(shell)?), ("page", page)])?;
        let host = with_programs(run_on_loopback(), folder.path());
        let mut host = host.args([guest_tests::INETD, "127.0.0.1:0", "/bin/page"]).start()?;
        let address = host.listening()?;
        ensure!(text(address, "/")? == "3\n");
        let before = host.descriptors()?;
        let load = Load::begin(address, 4, "/");
        load.goes_on(40)?;
        load.end()?;
        wait_until("the last programs", || Ok(host.descriptors()? <= before))?;
        host.stop()?;
    }
    Ok(())
}
