//! Nothing leads out of the folder at descriptor 3. The host has put there:
//! `inside` (a file), `out_absolute` and `out_relative` (symbolic links to a
//! secret file outside), `out_folder` (a symbolic link to the folder outside).

use wasix::descriptor::{self, REGULAR_FILE};
use wasix::file::{self, *};
use wasix::{Fd, check, check_eq, check_ok};

const ROOT: Fd = 3;

fn main() {
    let outside = [
        "..",
        "../secret",
        "../outside/secret",
        "./../secret",
        "folder/../../secret",
        "folder/../../../../../../etc/passwd",
        "/",
        "/etc/passwd",
        "/inside",
        "//inside",
        "out_absolute",
        "out_relative",
        "out_folder/secret",
        "out_folder/..",
        "out_folder/../root/inside",
    ];
    check_ok!(file::mkdir(ROOT, "folder"));
    for path in outside {
        for lookup in [0, FOLLOW] {
            for oflags in [0, CREAT, TRUNC, CREAT | EXCL, file::DIRECTORY] {
                let answer = open_with(ROOT, lookup, path, oflags, READ_RIGHTS, 0);
                check!(answer.is_err(), "opening {path} with {oflags}, lookup {lookup}");
            }
        }
        check!(path_stat(ROOT, FOLLOW, path).is_err(), "the size of {path}");
        check!(path_set_times(ROOT, path, 0, 0, SET_MTIM).is_err(), "the time of {path}");
        check!(file::link(ROOT, "inside", &format!("{path}/new")).is_err(), "a link in {path}");
        check!(file::mkdir(ROOT, &format!("{path}/new")).is_err(), "a folder in {path}");
        check!(file::rename(ROOT, "inside", &format!("{path}/new")).is_err(), "renaming to {path}");
        check!(file::symlink(ROOT, "inside", &format!("{path}/new")).is_err(), "a link in {path}");
        check!(file::unlink(ROOT, &format!("{path}/secret")).is_err(), "deleting in {path}");
        check!(file::rmdir(ROOT, &format!("{path}/.")).is_err(), "deleting {path}");
    }

    // Nor does a link that the guest makes itself.
    for (n, target) in ["/etc/passwd", "../secret", "folder/../../secret", ".."].iter().enumerate() {
        let name = format!("made-{n}");
        if file::symlink(ROOT, target, &name).is_ok() {
            check!(file::open(ROOT, &name, 0, 0).is_err(), "through a link to {target}");
            check!(path_stat(ROOT, FOLLOW, &name).is_err(), "through a link to {target}");
            check!(open_folder(ROOT, &name).is_err(), "through a link to {target}");
            check_ok!(file::unlink(ROOT, &name));
        }
    }
    // From a folder below, the way up ends at that folder.
    let folder = check_ok!(open_folder(ROOT, "folder"));
    check!(file::open(folder, "../inside", 0, 0).is_err(), "up from a folder");
    check!(file::open(folder, "..", 0, 0).is_err(), "up from a folder");
    check_ok!(descriptor::close(folder));

    // A path that does not leave the directory works, dots or not.
    for path in ["inside", "./inside", "folder/../inside", "folder/.././inside"] {
        check_eq!(check_ok!(path_stat(ROOT, FOLLOW, path)).filetype, REGULAR_FILE, "{path}");
        check_ok!(descriptor::close(check_ok!(file::open(ROOT, path, 0, 0))));
    }
    check_ok!(file::rmdir(ROOT, "folder"));
}
