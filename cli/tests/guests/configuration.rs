//! A configuration file, a file of variables, and what is made of the command's definitions.

use super::{run, wasock};
use anyhow::{Context as _, Result, ensure};
use guest_tests::Finished;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A file of this content in a folder of its own.
fn file(name: &str, content: &str) -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(name);
    fs::write(&path, content)?;
    Ok((folder, path))
}

#[test]
fn a_file_has_the_module_its_arguments_and_its_flags() -> Result<()> {
    let module = guest_tests::HTTP_SERVER;
    let text =
        format!("module = {module:?}\nargs = [\"127.0.0.1:0\"]\nlisten = [\"127.0.0.1:*\"]\nmax-fds = 100\n");
    let (_folder, path) = file("service.toml", &text)?;
    let mut running = run().arg("--config").arg(&path).start()?;
    let address = running.listening()?;
    ensure!(guest_tests::HttpClient::connect(address)?.get("/")?.status == 200, "no answer");
    Ok(())
}

#[test]
fn flags_override_the_file() -> Result<()> {
    let module = guest_tests::ARGS_ENV_EXIT;
    let text = format!("module = {module:?}\nargs = [\"7\"]\nenv = {{ ONE = 1, TWO = \"2\" }}\n");
    let (_folder, path) = file("service.toml", &text)?;
    let finished = run().arg("--config").arg(&path).finish()?.expect_code(7)?;
    ensure!(finished.stdout == "arg 1: 7\nenv ONE=1\nenv TWO=2\n", "{finished}");
    // The flag takes the place of its key, and an argument that of the whole command.
    let finished = run().arg("--config").arg(&path).args(["--env", "THREE=3", module, "8"]).finish()?;
    let finished = finished.expect_code(8)?;
    ensure!(finished.stdout == "arg 1: 8\nenv THREE=3\n", "{finished}");
    Ok(())
}

/// What is wrong with a file is said with its line, before anything runs.
fn is_refused(text: &str, expected: &str) -> Result<()> {
    let (_folder, path) = file("service.toml", text)?;
    let place = path.display().to_string();
    let expected = expected.replace("FILE", &place);
    for command in [wasock().arg("check").arg(&path), run().arg("--config").arg(&path)] {
        let finished = command.finish()?.expect_code(2)?;
        ensure!(
            finished.stderr == expected && finished.stdout.is_empty(),
            "{finished}\nexpected:\n{expected}"
        );
    }
    Ok(())
}

#[test]
fn mistakes_are_shown_where_they_are() -> Result<()> {
    is_refused(
        "module = \"a.wasm\"\nlisen = [\"127.0.0.1:8080\"]\n",
        "wasock: FILE:2: unknown key `lisen`; did you mean `listen`?\n  2 | lisen = [\"127.0.0.1:8080\"]\n    | ^^^^^\n",
    )?;
    is_refused(
        "connect = [\"10.0.0.1:443\", \"10.0.0.2\"]",
        "wasock: FILE:1: `connect`: the port is missing; expected HOST:PORT, as in 127.0.0.1:8080, 10.0.0.0/8:*, \
         [::1]:80-90 or *:443, or unix:PATH\n  1 | connect = [\"10.0.0.1:443\", \"10.0.0.2\"]\n    |                            ^^^^^^^^^^\n",
    )?;
    is_refused(
        "trace = \"yes\"\n\n\nverbose = 9\n",
        "wasock: FILE:1: expected true or false\n  1 | trace = \"yes\"\n    |         ^^^^^\n\
         wasock: FILE:4: expected 0, 1 or 2\n  4 | verbose = 9\n    |           ^\n",
    )
}

#[test]
fn a_file_without_a_module_or_that_is_not_there_is_a_mistake() -> Result<()> {
    let (_folder, path) = file("service.toml", "listen = \"8080\"\n")?;
    run().arg("--config").arg(&path).finish()?.expect_code(2)?.expect_stderr("no module")?;
    run()
        .arg("--config")
        .arg(path.with_extension("not"))
        .finish()?
        .expect_code(2)?
        .expect_stderr("cannot read")?;
    // Control characters of the file's reach no terminal.
    let (_folder, path) = file("service.toml", "\"a\\u001b[31m\" = 1\n")?;
    let finished = run().arg("--config").arg(&path).finish()?.expect_code(2)?;
    ensure!(!finished.stderr.contains('\u{1b}'), "{finished}");
    Ok(())
}

const GRANTS: &str = "\
listen = [\"127.0.0.1:8080\", \"unix:/run/*\"]
connect = \"10.0.0.0/8:443\"
accept-from = \"192.168.0.0/16\"
resolve = \"*.example.com\"
deny-connect = [
    \"10.0.0.7:*\",
]
max-fds = 100
";

fn explained(wish: &str, code: i32) -> Result<String> {
    let (_folder, path) = file("service.toml", GRANTS)?;
    let finished = wasock().arg("check").arg(&path).args(["--explain", wish]).finish()?.expect_code(code)?;
    ensure!(finished.stderr.is_empty(), "{finished}");
    Ok(finished.stdout)
}

#[test]
fn check_says_what_is_granted() -> Result<()> {
    let (_folder, path) = file("service.toml", GRANTS)?;
    let finished = wasock().arg("check").arg(&path).succeed()?;
    let expected = "granted: 5\n  line 1: --listen=127.0.0.1:8080\n  line 1: --listen=unix:/run/*\n  \
                    line 2: --connect=10.0.0.0/8:443\n  line 3: --accept-from=192.168.0.0/16\n  \
                    line 4: --resolve=*.example.com\ndenied: 1\n  line 6: --deny-connect=10.0.0.7:*\n\
                    other settings: 1\n  line 8: --max-fds=100\n\
                    second wall: landlock, where the kernel has it: files; TCP bind to 8080; TCP connect to \
                    53, 443\n";
    ensure!(finished.stdout == expected && finished.stderr.is_empty(), "{finished}");
    Ok(())
}

#[test]
fn check_takes_the_file_as_run_does() -> Result<()> {
    let (_folder, path) = file("service.toml", GRANTS)?;
    let asked = ["--explain", "connect 10.0.0.1:443"];
    let by_flag = wasock().args(["check", "--config"]).arg(&path).args(asked).succeed()?;
    ensure!(by_flag.stdout == explained(asked[1], 0)?, "{by_flag}");
    // Twice, and not at all.
    let check = || wasock().arg("check");
    check()
        .arg(&path)
        .arg("--config")
        .arg(&path)
        .finish()?
        .expect_code(2)?
        .expect_stderr("cannot be used")?;
    check().finish()?.expect_code(2)?.expect_stderr("not provided")?;
    Ok(())
}

#[test]
fn check_explains_which_line_decides() -> Result<()> {
    for (wish, code, expected) in [
        ("connect 10.0.0.1:443", 0, "allowed by line 2: connect = \"10.0.0.0/8:443\""),
        ("connect 10.0.0.7:443", 1, "refused by line 6: \"10.0.0.7:*\","),
        ("connect 10.0.0.1:80", 1, "refused: no line grants it; connect = \"10.0.0.1:80\" would"),
        ("listen 127.0.0.1:8080", 0, "allowed by line 1: listen = [\"127.0.0.1:8080\", \"unix:/run/*\"]"),
        ("listen unix:/run/a", 0, "allowed by line 1: listen = [\"127.0.0.1:8080\", \"unix:/run/*\"]"),
        ("accept-from 192.168.1.1:5", 0, "allowed by line 3: accept-from = \"192.168.0.0/16\""),
        ("accept-from 10.0.0.1:5", 1, "refused: no line grants it; accept-from = \"10.0.0.1\" would"),
        ("resolve a.example.com", 0, "allowed by line 4: resolve = \"*.example.com\""),
        ("resolve example.org", 1, "refused: no line grants it; resolve = \"example.org\" would"),
        ("udp-send 127.0.0.1:53", 1, "refused: no line grants it; udp-send = \"127.0.0.1:53\" would"),
    ] {
        let found = explained(wish, code)?;
        ensure!(found == format!("{wish}: {expected}\n"), "{found}");
    }
    let finished =
        wasock().args(["check", "x.toml", "--explain", "connect nowhere"]).finish()?.expect_code(2)?;
    finished.expect_stderr("expected listen, accept-from, connect")?;
    Ok(())
}

#[test]
fn check_explains_that_no_grant_opens_the_hosts_own_socket() -> Result<()> {
    let text = "connect = \"*:*\"\nadmin = \"127.0.0.1:9000\"\n";
    let (_folder, path) = file("service.toml", text)?;
    let check = || wasock().arg("check").arg(&path);
    for (wish, code, expected) in [
        ("connect 127.0.0.1:9000", 1, "refused by line 2: admin = \"127.0.0.1:9000\""),
        ("connect [::ffff:127.0.0.1]:9000", 1, "refused by line 2: admin = \"127.0.0.1:9000\""),
        ("connect 127.0.0.1:9001", 0, "allowed by line 1: connect = \"*:*\""),
    ] {
        let finished = check().args(["--explain", wish]).finish()?.expect_code(code)?;
        ensure!(finished.stdout == format!("{wish}: {expected}\n"), "{finished}");
    }
    check().succeed()?.expect_stdout("denied: 1\n  line 2: --admin=127.0.0.1:9000")?;
    // What the file sets that lacks another key is said with the file.
    let (_folder, path) = file("service.toml", "module = \"x.wasm\"\nadmin-token-file = \"t\"\n")?;
    let refused = wasock().arg("check").arg(&path).finish()?.expect_code(2)?;
    refused.expect_stderr("--admin-token-file has no effect without --admin").map(drop)
}

#[test]
fn check_explains_what_is_granted_by_name() -> Result<()> {
    let text = "connect = [\"api.example.com:443\", \"*.db.example@10.0.0.0/8:5432\"]\n\
                udp-send = \"log.example:514\"\ndeny-connect = \"10.0.0.7:*\"\ndeny-resolve = \"x.db.example\"\n";
    let (_folder, path) = file("service.toml", text)?;
    let line = "line 1: connect = [\"api.example.com:443\", \"*.db.example@10.0.0.0/8:5432\"]";
    let found = "as the host finds them when they are used";
    for (wish, code, expected) in [
        (
            "connect api.example.com:443",
            0,
            format!("allowed by {line}: its public addresses, {found}, but for those that are denied"),
        ),
        (
            "connect a.db.example:5432",
            0,
            format!(
                "allowed by {line}: its addresses in that network, {found}, but for those that are denied"
            ),
        ),
        ("connect x.db.example:5432", 1, "refused by line 4: deny-resolve = \"x.db.example\"".to_owned()),
        (
            "udp-send log.example:514",
            0,
            format!("allowed by line 2: udp-send = \"log.example:514\": its public addresses, {found}"),
        ),
        (
            "connect api.example.com:80",
            1,
            "refused: no line grants that name; connect = \"api.example.com:80\" would".to_owned(),
        ),
        ("resolve log.example", 0, "allowed by line 2: udp-send = \"log.example:514\"".to_owned()),
        ("connect 1.1.1.1:443", 1, "refused: no line grants it; connect = \"1.1.1.1:443\" would".to_owned()),
    ] {
        let finished = wasock().arg("check").arg(&path).args(["--explain", wish]).finish()?;
        let finished = finished.expect_code(code)?;
        ensure!(finished.stdout == format!("{wish}: {expected}\n"), "{finished}");
    }
    Ok(())
}

#[test]
fn check_refuses_what_run_would() -> Result<()> {
    for (text, expected) in [
        (
            "module = \"x.wasm\"\nlisten-fds = true\nadopt = true\n",
            "'--listen-fds' cannot be used with '--adopt'",
        ),
        ("reload-mode = \"sequential\"\n", "--reload-mode has no effect without --reload-signal"),
        ("module = \"\"\n", "expected the path of a module"),
    ] {
        let (_folder, path) = file("service.toml", text)?;
        wasock().arg("check").arg(&path).finish()?.expect_code(2)?.expect_stderr(expected)?;
    }
    // What the file lacks may be on the command line.
    let (_folder, path) = file("service.toml", "reload-mode = \"sequential\"\n")?;
    let flags = ["--reload-signal", "HUP", guest_tests::ARGS_ENV_EXIT, "0"];
    run().arg("--config").arg(&path).args(flags).succeed().map(drop)
}

#[test]
fn variables_come_from_a_file() -> Result<()> {
    let (_folder, path) = file("server.env", "# of the server\nONE=1\n\nTWO=a=b\n")?;
    let finished =
        run().arg("--env-file").arg(&path).args(["--env", "ONE=2"]).args([guest_tests::ARGS_ENV_EXIT, "0"]);
    let finished = finished.succeed()?;
    ensure!(
        finished.stdout.contains("env TWO=a=b\n") && finished.stdout.contains("env ONE=2\n"),
        "{finished}"
    );
    let (_folder, path) = file("server.env", "ONE=1\nTWO\n")?;
    let refused = run().arg("--env-file").arg(&path).arg("x.wasm").finish()?.expect_code(2)?;
    refused.expect_one_line()?.expect_stderr("line 2: expected NAME=VALUE")?;
    Ok(())
}

/// What the command prints of itself.
fn printed(args: &[&str]) -> Result<Finished> {
    let finished = wasock().args(args).succeed()?;
    ensure!(finished.stderr.is_empty(), "{finished}");
    Ok(finished)
}

#[test]
fn completions_and_manual_pages_name_every_flag() -> Result<()> {
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef wasock"), ("fish", "complete -c wasock")]
    {
        let text = printed(&["completions", shell])?.stdout;
        ensure!(text.contains(mark) && text.contains("listen-profile"), "{shell}: {text}");
    }
    let page = printed(&["man"])?.stdout;
    ensure!(page.contains(".TH") && page.contains("wasock"), "{page}");
    let page = printed(&["man", "run"])?.stdout;
    ensure!(page.contains("\\-\\-listen\\-profile") && page.contains("\\-\\-env\\-file"), "{page}");
    wasock().args(["man", "nothing"]).finish()?.expect_code(1)?.expect_one_line()?;
    wasock().args(["completions", "nothing"]).finish()?.expect_code(2)?.expect_one_line()?;
    let help = printed(&["run", "--help"]).context("help")?.stdout;
    for flag in ["--config", "--env-file", "--log-format"] {
        ensure!(help.contains(flag), "{flag}: {help}");
    }
    Ok(())
}
