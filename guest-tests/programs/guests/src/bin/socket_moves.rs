//! `socket_moves STEP...`: moves names of sockets and directories about, and connects to them.
//! Prints a line for each step: the step, and how it went.

use wasix::descriptor::drop_rights;
use wasix::errno::ENOSYS;
use wasix::raw::preview1 as raw;
use wasix::socket::STREAM;
use wasix::{Fd, Result, address_of, file, outcome, unix};

fn main() {
    for step in std::env::args().skip(1) {
        let words: Vec<&str> = step.split(' ').collect();
        let answer = obey(&words).map_or_else(|errno| errno.name().to_owned(), |()| "done".to_owned());
        println!("{step}: {answer}");
    }
}

fn obey(words: &[&str]) -> Result<()> {
    match *words {
        ["connect", path] => unix::client(STREAM, path).map(drop),
        ["bind", path] => unix::listener(STREAM, path, 4).map(drop),
        ["rename", old, new] => {
            let ((from, old), (to, new)) = (place(old), place(new));
            outcome(unsafe { raw::path_rename(from, at(&old), len(&old), to, at(&new), len(&new)) })
        }
        [link @ ("link" | "link_target"), old, new] => {
            let ((from, old), (to, new)) = (place(old), place(new));
            let follow = u32::from(link == "link_target");
            outcome(unsafe { raw::path_link(from, follow, at(&old), len(&old), to, at(&new), len(&new)) })
        }
        ["symlink", target, path] => {
            let (folder, path) = place(path);
            file::symlink(folder, target, &path)
        }
        ["unlink", path] => {
            let (folder, path) = place(path);
            file::unlink(folder, &path)
        }
        ["mkdir", path] => {
            let (folder, path) = place(path);
            file::mkdir(folder, &path)
        }
        ["chdir", path] => file::chdir(path),
        // By a descriptor of the folder itself, rather than of what was granted.
        ["rename_in", folder, old, new] => {
            let (top, path) = place(folder);
            file::rename(file::open_folder(top, &path)?, old, new)
        }
        // Gives away what the folder may be used for.
        ["give_away", folder, right] => {
            drop_rights(file::folder(folder)?, 1 << right.parse::<u32>().unwrap())
        }
        _ => Err(ENOSYS),
    }
}

/// The granted folder with the longest name before `path`, and the rest of the path.
fn place(path: &str) -> (Fd, String) {
    let ends = path.match_indices('/').map(|(end, _)| end).rev();
    let mut found = ends.filter_map(|end| {
        let name = if end == 0 { "/" } else { &path[..end] };
        Some((file::folder(name).ok()?, path[end + 1..].to_owned()))
    });
    found.next().expect("a granted folder")
}

fn at(path: &str) -> u32 {
    address_of(path.as_bytes())
}

fn len(path: &str) -> u32 {
    path.len() as u32
}
