//! How many instructions a call takes: a guard that does not depend on the machine's mood.
//!
//! callgrind counts those of a guest's loop, and of all the host does for it. The counts
//! that were accepted are in `benches/instructions.txt`. They belong to a compiler and to
//! the settings of the release profile, and vary by some three in a hundred between runs,
//! because the tables of the host are filled in another order each time.

use super::build::Folder;
use super::process::{Process, child};
use crate::{cargo, setup, target_dir, workspace_dir};
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// What a call may take more than was accepted, in hundredths.
const TOLERANCE: f64 = 25.0;

/// By how many calls the two stretches of a case differ: `MANY` without `FEW` of
/// `benches/instructions.rs`.
const CALLS: f64 = 1000.0;

const PATIENCE: Duration = Duration::from_secs(600);

/// The name of a case, and its instructions a call.
type Count = (String, f64);

/// Counts, and compares with what was accepted; or accepts what was counted.
///
/// # Errors
///
/// When something does not compile or does not run.
pub(super) fn run(is_accepted: bool) -> Result<ExitCode> {
    if !setup::ensure_tool("valgrind", "valgrind") {
        return Ok(ExitCode::SUCCESS);
    }
    let program = build()?;
    let folder = Folder::new(target_dir().join("bench"))?;
    let counts = count(&program, &folder)?;
    let path = workspace_dir().join("benches/instructions.txt");
    if is_accepted {
        let lines: String = counts.iter().map(|(name, count)| format!("{count:>8.0} {name}\n")).collect();
        fs::write(&path, lines)?;
        eprintln!("{} counts are accepted: {}", counts.len(), path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let accepted = match fs::read_to_string(&path) {
        Ok(text) => parse(&text)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("no counts were accepted yet, so any will do: --accept writes them down");
            Vec::new()
        }
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let (table, has_more) = compare(&counts, &accepted);
    print!("{table}");
    if has_more {
        eprintln!(
            "a call takes over {TOLERANCE} % more instructions; where that is right, run with --accept"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiles the program that makes the calls, and tells where it lies.
fn build() -> Result<PathBuf> {
    eprintln!("compiling the calls");
    let mut command = cargo(&["build", "--release", "--package", "wasock", "--bench", "instructions"]);
    command.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "the calls do not compile");
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut made =
        messages.lines().filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    made.next_back().map(PathBuf::from).context("cargo names no program")
}

fn count(program: &Path, folder: &Folder) -> Result<Vec<Count>> {
    let names = String::from_utf8(Command::new(program).output()?.stdout)?;
    let counts = folder.file("callgrind");
    let begin = |place: usize| counts.with_extension(place.to_string());
    let mut command = child(Path::new("valgrind"))?;
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", counts.display()));
    // The counters are written down and begin anew at this function.
    command.arg("--dump-before=*between*").arg(program).arg("run").stdout(Stdio::piped());
    eprintln!("counting");
    Process::start(command, &folder.log("callgrind"))?.finish(PATIENCE)?;
    let mut all = Vec::new();
    for (case, name) in names.lines().enumerate() {
        // The first one of each three is what lies between two cases.
        let stretch = |place: usize| summary(&fs::read_to_string(begin(3 * case + place))?);
        all.push((name.to_owned(), (stretch(3)? - stretch(2)?) / CALLS));
    }
    Ok(all)
}

/// The sum that one of callgrind's files tells.
fn summary(text: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("summary:"));
    Ok(line.context("callgrind tells no sum")?.trim().parse()?)
}

/// The counts of the file.
fn parse(text: &str) -> Result<Vec<Count>> {
    let line = |line: &str| {
        let (count, name) = line.trim_start().split_once(' ').with_context(|| line.to_owned())?;
        Ok((name.to_owned(), count.parse().with_context(|| line.to_owned())?))
    };
    let counts: Vec<Count> = text.lines().map(line).collect::<Result<_>>()?;
    if counts.is_empty() {
        bail!("no counts were accepted");
    }
    Ok(counts)
}

/// The table, and whether a call takes more than it may.
fn compare(counts: &[Count], accepted: &[Count]) -> (String, bool) {
    let mut table = String::from("    call   was  more\n");
    let mut has_more = false;
    for (name, count) in counts {
        let Some((_, was)) = accepted.iter().find(|(accepted, _)| accepted == name) else {
            _ = writeln!(table, "{count:>8.0}   new        {name}");
            continue;
        };
        let more = (count / was - 1.0) * 100.0;
        let is_more = more > TOLERANCE;
        has_more |= is_more;
        let mark = match more {
            _ if is_more => "  TOO MUCH",
            ..-10.0 => "  less: worth accepting",
            _ => "",
        };
        _ = writeln!(table, "{count:>8.0} {was:>5.0} {more:>+5.1}% {name}{mark}");
    }
    (table, has_more)
}

#[cfg(test)]
mod tests {
    use super::{compare, parse, summary};
    use anyhow::Result;

    #[test]
    fn more_than_the_tolerance_is_too_much() -> Result<()> {
        let accepted = parse("     100 plain sync: a\n    2000 plain async: b, c\n")?;
        let count = |count: f64| [("plain async: b, c".to_owned(), count)];
        assert!(!compare(&count(2499.0), &accepted).1);
        assert!(compare(&count(2501.0), &accepted).1);
        assert!(!compare(&count(1.0), &accepted).1);
        // A new case has nothing to be compared with.
        assert!(!compare(&[("plain sync: d".to_owned(), 5.0)], &accepted).1);
        assert!(parse("").is_err() && parse("many plain sync: a\n").is_err());
        Ok(())
    }

    #[test]
    fn the_sum_of_callgrind() -> Result<()> {
        assert_eq!(summary("events: Ir\nsummary: 4200\n\ntotals: 4200\n")?, 4200.0);
        assert!(summary("events: Ir\n").is_err());
        Ok(())
    }
}
