//! How many instructions a call takes: a guard that does not depend on the machine's mood.
//!
//! callgrind counts those of a guest's loop, and of all the host does for it. The counts
//! that were accepted are in `benches/instructions.txt`. They belong to a compiler and to
//! the settings of the release profile, and vary by some three in a hundred between runs,
//! because the tables of the host are filled in another order each time.
//!
//! The same files tell how often the allocator was called, which varies less: a call that
//! took no memory shall take none.

use super::build::Folder;
use super::process::{Process, child};
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use xtask::setup;
use xtask::workspace::{cargo, target_dir, workspace_dir};

/// What a call may take more than was accepted, in hundredths.
const TOLERANCE: f64 = 25.0;

/// By how many calls the two stretches of a case differ: `MANY` without `FEW` of
/// `benches/instructions.rs`.
const CALLS: f64 = 1000.0;

const WAIT_TIMEOUT: Duration = Duration::from_secs(600);

/// How many allocations a call may make more than was accepted. A tenth is what a stretch
/// of calls does beside them, as where a task has used up its turn.
const MORE_ALLOCATIONS: f64 = 0.15;

/// The functions that give memory.
const ALLOCATORS: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

/// What a call takes.
#[derive(Clone, Debug, PartialEq)]
struct Count {
    name: String,
    instructions: f64,
    allocations: f64,
}

impl Count {
    /// As the file of accepted counts has it.
    fn line(&self) -> String {
        format!("{:>8.0} {:>5.1} {}", self.instructions, self.allocations, self.name)
    }
}

/// Counts, and compares with what was accepted; or accepts what was counted.
///
/// # Errors
///
/// When something does not compile or does not run.
pub(super) fn run(is_accepted: bool) -> Result<ExitCode> {
    if !setup::ensure_tool("valgrind", "valgrind") {
        return Ok(ExitCode::SUCCESS);
    }
    let program = build("instructions")?;
    let folder = Folder::new(target_dir().join("bench"))?;
    let counts = count(&program, &folder)?;
    let path = workspace_dir().join("benches/instructions.txt");
    if is_accepted {
        let lines: String = counts.iter().map(|count| count.line() + "\n").collect();
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
            "a call takes over {TOLERANCE} % more instructions, or more allocations; where that is right, run \
             with --accept"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiles a bench of the library, and tells where it lies.
///
/// # Errors
///
/// Where it does not compile.
pub(super) fn build(bench: &str) -> Result<PathBuf> {
    eprintln!("compiling the bench {bench}");
    let mut command = cargo(&["build", "--release", "--workspace", "--bench", bench]);
    command.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "the bench {bench} does not compile");
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
    Process::start(command, &folder.log("callgrind"))?.finish(WAIT_TIMEOUT)?;
    let mut all = Vec::new();
    for (case, name) in names.lines().enumerate() {
        // The first one of each three is what lies between two cases.
        let stretch = |place: usize| told(&fs::read_to_string(begin(3 * case + place))?);
        let (few, many) = (stretch(2)?, stretch(3)?);
        all.push(Count {
            name: name.to_owned(),
            instructions: (many.0 - few.0) / CALLS,
            allocations: (many.1 - few.1) / CALLS,
        });
    }
    Ok(all)
}

/// What one of callgrind's files tells: the sum of instructions, and how often something
/// called the allocator.
///
/// "calls=" follows the name of what is called, `cfn=(number) name`; the name stands there
/// the first time only. A recursion's depth is behind the name.
fn told(text: &str) -> Result<(f64, f64)> {
    let (mut sum, mut allocations, mut allocators, mut callee) = (None, 0.0, Vec::new(), "");
    for line in text.lines() {
        if let Some(function) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            let name = name.split(['\'', '@']).next().unwrap_or_default();
            if ALLOCATORS.contains(&name) {
                allocators.push(number);
            }
            if line.starts_with('c') {
                callee = number;
            }
        } else if let Some(calls) = line.strip_prefix("calls=") {
            if allocators.contains(&callee) {
                let count = calls.split(' ').next().unwrap_or_default();
                allocations += count.parse::<f64>().with_context(|| line.to_owned())?;
            }
        } else if let Some(summary) = line.strip_prefix("summary:") {
            sum = Some(summary.trim().parse()?);
        }
    }
    Ok((sum.context("callgrind tells no sum")?, allocations))
}

/// The counts of the file.
fn parse(text: &str) -> Result<Vec<Count>> {
    let count = |line: &str| {
        let (instructions, rest) = line.trim_start().split_once(' ')?;
        let (allocations, name) = rest.trim_start().split_once(' ')?;
        let (instructions, allocations) = (instructions.parse().ok()?, allocations.parse().ok()?);
        Some(Count { name: name.to_owned(), instructions, allocations })
    };
    let line = |line: &str| count(line).with_context(|| format!("no count: {line}"));
    let counts: Vec<Count> = text.lines().map(line).collect::<Result<_>>()?;
    if counts.is_empty() {
        bail!("no counts were accepted");
    }
    Ok(counts)
}

/// The table, and whether a call takes more than it may.
fn compare(counts: &[Count], accepted: &[Count]) -> (String, bool) {
    let mut table = String::from("    call   was  more | allocations, were\n");
    let mut has_more = false;
    for count in counts {
        let Count { name, instructions, allocations } = count;
        let Some(was) = accepted.iter().find(|accepted| accepted.name == *name) else {
            _ = writeln!(table, "{instructions:>8.0}   new        | {allocations:>4.1}   new {name}");
            continue;
        };
        let more = (instructions / was.instructions - 1.0) * 100.0;
        let takes_more = more > TOLERANCE;
        let allocates_more = *allocations > was.allocations + MORE_ALLOCATIONS;
        has_more |= takes_more || allocates_more;
        let mark = match more {
            _ if takes_more => "  TOO MUCH",
            _ if allocates_more => "  TOO MANY ALLOCATIONS",
            ..-10.0 => "  less: worth accepting",
            _ => "",
        };
        let (was, were) = (was.instructions, was.allocations);
        _ = writeln!(
            table,
            "{instructions:>8.0} {was:>5.0} {more:>+5.1}% | {allocations:>4.1} {were:>5.1} {name}{mark}"
        );
    }
    (table, has_more)
}

#[cfg(test)]
mod tests {
    use super::{Count, compare, parse, told};
    use anyhow::Result;

    #[test]
    fn more_than_the_tolerance_is_too_much() -> Result<()> {
        let accepted = parse("     100   0.0 plain sync: a\n    2000   1.0 plain async: b, c\n")?;
        let count = |instructions, allocations| {
            [Count { name: "plain async: b, c".to_owned(), instructions, allocations }]
        };
        assert!(!compare(&count(2499.0, 1.1), &accepted).1);
        assert!(compare(&count(2501.0, 1.0), &accepted).1);
        assert!(compare(&count(2000.0, 2.0), &accepted).1);
        assert!(!compare(&count(1.0, 0.0), &accepted).1);
        let again = parse(&accepted.iter().map(|count| count.line() + "\n").collect::<String>())?;
        assert_eq!(again, accepted);
        // A new case has nothing to be compared with.
        let [new] = count(5.0, 9.0);
        assert!(!compare(&[Count { name: "plain sync: d".to_owned(), ..new }], &accepted).1);
        assert!(parse("").is_err() && parse("many plain sync: a\n").is_err());
        Ok(())
    }

    #[test]
    fn what_callgrind_tells() -> Result<()> {
        const FILE: &str = "\
events: Ir
fn=(1) main
16 400
cfn=(2) malloc
calls=3 0
16 90
cfn=(3) free
calls=4 0
16 10
fn=(4) other
cfn=(2)
calls=2 0
17 30
summary: 4200

totals: 4200
";
        assert_eq!(told(FILE)?, (4200.0, 5.0));
        assert!(told("events: Ir\n").is_err());
        Ok(())
    }
}
