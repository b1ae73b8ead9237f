//! The licences of what is compiled into the command: most of them ask whoever gives a program away to give their
//! text too.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace::{cargo, output_of};

/// What the file begins with.
const HEAD: &str = "\
The program has in it the standard library of Rust, which is under MIT OR Apache-2.0, where it is static the C library
musl, which is under MIT, and these packages. Their licences, as far as the packages have the texts, follow.

";

/// What the name of a file with a licence begins with, in capitals.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// A package, and what it says of its licence.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    /// Its name and version, with a hyphen between, as its folder is called.
    name: String,
    licence: String,
}

/// The packages that the command is made of for `target`, and the texts of their licences.
///
/// # Errors
///
/// Where their sources are not where cargo keeps them.
pub fn of_dependencies(target: &str) -> Result<String> {
    let mut tree = cargo(&["tree", "--package", "wasock-cli", "--edges", "normal,no-proc-macro"]);
    tree.args(["--prefix", "none", "--format", "{p}|{l}", "--target", target]);
    let packages: BTreeSet<_> = output_of(&mut tree)?.lines().filter_map(Package::read).collect();
    let sources = sources()?;
    let mut page = HEAD.to_owned();
    let mut texts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for package in &packages {
        writeln!(page, "{}: {}", package.name, package.licence)?;
        for text in package.texts(&sources)? {
            texts.entry(text).or_default().push(&package.name);
        }
    }
    for (text, names) in &texts {
        write!(page, "\n{}\n{}\n\n{text}\n", "=".repeat(72), names.join(", "))?;
    }
    Ok(page)
}

impl Package {
    /// One of a registry's, from its line; nothing for one of this workspace.
    fn read(line: &str) -> Option<Self> {
        let (package, licence) = line.split_once('|')?;
        let (name, version) = package.split_once(" v")?;
        // One that was listed before has a mark at its end.
        let licence = licence.trim_end_matches("(*)").trim().to_owned();
        let is_own = version.contains('(');
        (!is_own).then(|| Self { name: format!("{name}-{version}"), licence })
    }

    /// What is said in its files, without blanks around it.
    fn texts(&self, sources: &[PathBuf]) -> Result<BTreeSet<String>> {
        let Some(folder) = sources.iter().map(|source| source.join(&self.name)).find(|it| it.is_dir()) else {
            bail!("no sources of {}: `cargo fetch` would bring them", self.name);
        };
        let is_licence = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            path.is_file() && NAMES.iter().any(|start| name.starts_with(start))
        };
        let mut texts = BTreeSet::new();
        for file in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = file?.path();
            if is_licence(&path) {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                texts.insert(text.trim().to_owned());
            }
        }
        Ok(texts)
    }
}

/// Where cargo keeps the sources of packages, a folder for each registry.
fn sources() -> Result<Vec<PathBuf>> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("no home directory")?;
    let folder = home.join("registry/src");
    let registries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    Ok(registries.filter_map(|registry| Some(registry.ok()?.path())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_package_of_a_registry() {
        let read = |line| Package::read(line).map(|it| (it.name, it.licence));
        assert_eq!(read("bytes v1.12.1|MIT"), Some(("bytes-1.12.1".into(), "MIT".into())));
        // One that came before, and one of ours.
        assert_eq!(
            read("url v2.5.8|MIT OR Apache-2.0 (*)"),
            Some(("url-2.5.8".into(), "MIT OR Apache-2.0".into()))
        );
        assert_eq!(read("wasock v0.2.0 (/src/wasock)|Apache-2.0 WITH LLVM-exception"), None);
    }
}
