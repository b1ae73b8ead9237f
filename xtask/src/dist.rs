//! What is given to those who do not build: a tarball with the command, its manual pages, completions, units and texts.
//! `cargo deb` makes a package of the same files.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::licences;
use crate::workspace::{cargo, output_of, succeed, target_dir, workspace_dir};

/// What a target ends with that needs no C library of the system's, and one that does.
const STATIC: &str = "-unknown-linux-musl";
const DYNAMIC: &str = "-unknown-linux-gnu";

/// The folder of what is packed. `[package.metadata.deb]` of the command names it.
const TREE: &str = "dist";

/// The subcommands that have a manual page of their own.
const PAGES: [&str; 4] = ["run", "check", "ctl", "inspect"];

/// Where each shell looks for completions, below `share`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/wasock"),
    ("zsh", "zsh/site-functions/_wasock"),
    ("fish", "fish/vendor_completions.d/wasock.fish"),
];

const TEXTS: [&str; 4] = ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"];

/// Makes the tarball, and says where it is.
///
/// # Errors
///
/// Where something does not build, or a tool is missing.
pub fn dist() -> Result<()> {
    let target = target(env::consts::ARCH)?;
    eprintln!("building for {target}");
    let built = build(&target)?;
    let folder = target_dir().join("release");
    gather(&built, &folder.join(TREE), &target)?;
    let name = format!("wasock-{}-{target}", env!("CARGO_PKG_VERSION"));
    println!("{}", pack(&folder, &name)?.display());
    Ok(())
}

/// The target to build for: a static one, where it is installed and there is a compiler for the C code in it.
fn target(machine: &str) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = output_of(Command::new(rustc).args(["--print", "sysroot"]))?;
    let targets = Path::new(sysroot.trim()).join("lib/rustlib");
    let of_musl = format!("{machine}{STATIC}");
    if targets.join(&of_musl).join("lib").is_dir()
        && output_of(Command::new("musl-gcc").arg("--version")).is_ok()
    {
        return Ok(of_musl);
    }
    eprintln!(
        "not static: that takes `rustup target add {of_musl}`, and musl-gcc (`apt-get install musl-tools`)"
    );
    let of_gnu = format!("{machine}{DYNAMIC}");
    ensure!(targets.join(&of_gnu).join("lib").is_dir(), "neither {of_musl} nor {of_gnu} is installed");
    Ok(of_gnu)
}

/// Builds the command for `target`.
fn build(target: &str) -> Result<PathBuf> {
    let mut command = cargo(&["build", "--release", "--workspace", "--bin", "wasock"]);
    let mut folder = target_dir();
    // Without the flag it is the one that is there, where the tests have run.
    if target.ends_with(STATIC) {
        command.args(["--target", target]).env(format!("CC_{}", target.replace('-', "_")), "musl-gcc");
        folder.push(target);
    }
    succeed(command)?;
    Ok(folder.join("release/wasock"))
}

/// Puts together what is packed.
fn gather(built: &Path, tree: &Path, target: &str) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree).with_context(|| tree.display().to_string())?;
    }
    let wasock = tree.join("bin/wasock");
    copy(built, &wasock)?;
    // The names of functions stay, for backtraces. The lines take more bytes than all else.
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg(&wasock);
    succeed(strip)?;
    let printed = |arguments: &[&str]| output_of(Command::new(&wasock).args(arguments));
    let pages = tree.join("share/man/man1");
    write(&pages.join("wasock.1"), &printed(&["man"])?)?;
    for page in PAGES {
        write(&pages.join(format!("wasock-{page}.1")), &printed(&["man", page])?)?;
    }
    for (shell, place) in COMPLETIONS {
        write(&tree.join("share").join(place), &printed(&["completions", shell])?)?;
    }
    let texts = tree.join("share/doc/wasock");
    for text in TEXTS {
        copy(&workspace_dir().join(text), &texts.join(text))?;
    }
    write(&texts.join("LICENSES-of-dependencies"), &licences::of_dependencies(target)?)?;
    for unit in fs::read_dir(workspace_dir().join("docs/systemd"))? {
        let unit = unit?;
        copy(&unit.path(), &texts.join("systemd").join(unit.file_name()))?;
    }
    Ok(())
}

/// Packs the tree below `folder` as `name`, and writes a checksum beside it for `sha256sum --check`. The same files
/// give the same bytes.
fn pack(folder: &Path, name: &str) -> Result<PathBuf> {
    let file = format!("{name}.tar.gz");
    let tarball = folder.join(&file);
    let mut command = Command::new("tar");
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w,a+rX"]);
    command.arg(format!("--mtime=@{}", time()?)).arg(format!("--transform=s,^{TREE},{name},"));
    // By itself gzip notes the time.
    command.args(["--use-compress-program=gzip -9n", "--create", "--file"]).arg(&tarball);
    command.arg("--directory").arg(folder).arg(TREE);
    succeed(command)?;
    let sum = output_of(Command::new("sha256sum").arg(&file).current_dir(folder))?;
    write(&folder.join(format!("{file}.sha256")), &sum)?;
    Ok(tarball)
}

/// The time of all files in seconds since 1970: as <https://reproducible-builds.org/specs/source-date-epoch> has it,
/// or that of the commit.
fn time() -> Result<String> {
    if let Ok(time) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(time);
    }
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(workspace_dir());
    // Sources that are no clone have no commit.
    Ok(output_of(&mut git).map_or_else(|_| "0".to_owned(), |time| time.trim().to_owned()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    make_folder_of(path)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make_folder_of(to)?;
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

fn make_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}
