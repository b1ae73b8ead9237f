//! The pages of the manual: each is in the table of contents, each link leads somewhere, and the
//! README is short. The generated tables are checked in `docs.rs`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// A README is read before anything is known: what does not fit belongs on a page of the manual.
const README_LIMIT: usize = 8 * 1024;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_readme_is_short() -> Result<()> {
    let length = fs::read(root().join("README.md"))?.len();
    ensure!(length <= README_LIMIT, "README.md has {length} bytes, and may have {README_LIMIT}");
    Ok(())
}

#[test]
fn every_page_is_in_the_table_of_contents() -> Result<()> {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md"))?;
    let listed: HashSet<PathBuf> =
        links(&summary).filter_map(|link| link.file.map(|file| docs.join(file))).collect();
    for page in pages_in(&docs)?.into_iter().filter(|page| !page.ends_with("SUMMARY.md")) {
        ensure!(listed.contains(&page), "docs/SUMMARY.md does not list {}", page.display());
    }
    Ok(())
}

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    let mut pages = pages_in(&root().join("docs"))?;
    for entry in fs::read_dir(root())? {
        pages.extend(Some(entry?.path()).filter(|path| is_page(path)));
    }
    pages.push(root().join("benches/README.md"));
    ensure!(pages.len() > 20, "only {} pages were found", pages.len());
    let dead = dead_links(&pages)?;
    ensure!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    Ok(())
}

#[test]
fn a_dead_link_is_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let page = folder.path().join("page.md");
    fs::write(
        &page,
        "# One *two* `three`, four\n[a](#one-two-three-four) [b](#five) [c](other.md)\n```\n[d](e)\n```\n",
    )?;
    let dead = dead_links(&[page])?;
    ensure!(dead.len() == 2, "{dead:?}");
    ensure!(
        dead.iter().any(|link| link.ends_with("#five")) && dead.iter().any(|link| link.ends_with("other.md"))
    );
    Ok(())
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// The pages in a folder and below it.
fn pages_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            pages.extend(pages_in(&path)?);
        } else {
            pages.extend(Some(path).filter(|path| is_page(path)));
        }
    }
    Ok(pages)
}

/// The links of `pages` whose file, or whose place in it, does not exist.
fn dead_links(pages: &[PathBuf]) -> Result<Vec<String>> {
    let mut places: HashMap<PathBuf, HashSet<String>> = HashMap::new();
    let mut dead = Vec::new();
    for page in pages {
        let text = fs::read_to_string(page)?;
        let folder = page.parent().context("a page lies in a folder")?;
        for link in links(&text) {
            let target = link.file.map_or_else(|| page.clone(), |file| folder.join(file));
            let leads = match link.place {
                _ if !target.exists() => false,
                None => true,
                Some(place) => {
                    if !places.contains_key(&target) {
                        places.insert(target.clone(), places_of(&fs::read_to_string(&target)?));
                    }
                    places.get(&target).is_some_and(|places| places.contains(place))
                }
            };
            if !leads {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    Ok(dead)
}

/// A link to another page, to a place, or to a place in another page.
struct Link<'a> {
    file: Option<&'a str>,
    place: Option<&'a str>,
}

impl std::fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.file.unwrap_or_default())?;
        self.place.map_or(Ok(()), |place| write!(f, "#{place}"))
    }
}

/// The links in the prose of a page, those to other sites left out.
fn links(text: &str) -> impl Iterator<Item = Link<'_>> {
    prose(text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| {
        let target = rest.split(')').next()?;
        if target.contains("://") || target.is_empty() {
            return None;
        }
        let (file, place) =
            target.split_once('#').map_or((target, None), |(file, place)| (file, Some(place)));
        Some(Link { file: Some(file).filter(|file| !file.is_empty()), place })
    })
}

/// The lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The names by which the headings of a page, and the anchors in it, are linked to.
fn places_of(text: &str) -> HashSet<String> {
    let headings =
        prose(text).filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#')));
    let anchors = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    headings.chain(anchors.map(str::to_owned)).collect()
}

/// A heading as it is linked to: small letters, digits and hyphens.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
