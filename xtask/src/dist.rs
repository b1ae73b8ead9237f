//! What is given to those who do not build: a tarball with the command, its manual pages, completions, units and texts.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::{build_wasock, output_of, succeed, target_dir, workspace_dir};

/// The folder of what is packed.
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
    build_wasock()?;
    let folder = target_dir().join("release");
    gather(&folder.join("wasock"), &folder.join(TREE))?;
    let name = format!("wasock-{}-{}-linux", env!("CARGO_PKG_VERSION"), env::consts::ARCH);
    println!("{}", pack(&folder, &name)?.display());
    Ok(())
}

/// Puts together what is packed.
fn gather(built: &Path, tree: &Path) -> Result<()> {
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
    for unit in fs::read_dir(workspace_dir().join("docs/systemd"))? {
        let unit = unit?;
        copy(&unit.path(), &texts.join("systemd").join(unit.file_name()))?;
    }
    Ok(())
}

/// Packs the tree below `folder` as `name`. The same files give the same bytes.
fn pack(folder: &Path, name: &str) -> Result<PathBuf> {
    let tarball = folder.join(format!("{name}.tar.gz"));
    let mut command = Command::new("tar");
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w,a+rX"]);
    command.arg(format!("--mtime=@{}", time()?)).arg(format!("--transform=s,^{TREE},{name},"));
    // By itself gzip notes the time.
    command.args(["--use-compress-program=gzip -9n", "--create", "--file"]).arg(&tarball);
    command.arg("--directory").arg(folder).arg(TREE);
    succeed(command)?;
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
