//! Each import with wild arguments: pointers out of the memory and off their
//! alignment, lengths near 2^32, values and descriptors that do not exist.
//!
//! `arbitrary_pointers` lists the calls. `arbitrary_pointers CALL [FIRST]` makes that call
//! with one wild argument after the other, from case FIRST on, and says which
//! case comes before it makes it: a trap ends the program, and the process that started it
//! goes on behind that case. Calls that end the program or wait for ever with
//! good arguments are left out.

use std::arch::wasm32::memory_size;
use wasix::raw::{preview1, wasix as wasix_32v1};
use wasix::socket::{INET4, STREAM, TCP};
use wasix::{Fd, address_of, check, check_ok, descriptor, file, socket};

/// An import, and what its parameters are:
/// `c` connection, `l` listener, `u` unbound socket, `r` regular file, `d` folder,
/// `f` free descriptor, `p` pointer, `n` length or count, `s` and `m` a name and
/// its length, `v` value, `w` a size that is not
/// filled by accident, `x` a value that is left alone.
struct Row {
    name: &'static str,
    kinds: &'static str,
    call: Box<dyn Fn(&[u64]) -> i32>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let Some(name) = args.next() else {
        rows().iter().for_each(|row| println!("{}", row.name));
        return;
    };
    let first = args.next().map_or(0, |first| first.parse().expect("a number"));
    let rows = rows();
    let row = rows.iter().find(|row| row.name == name).expect("a call of the list");
    let mut number = 0usize;
    for (place, kind) in row.kinds.chars().enumerate() {
        for &arbitrary in arbitrary_values(kind) {
            if number >= first {
                println!("case {number}: argument {place} is {arbitrary:#x}");
                try_one(row, place, arbitrary);
            }
            number += 1;
        }
    }
    println!("done");
}

/// A wild value; [`END`] and what lies above it count from the end of the memory.
fn arbitrary_values(kind: char) -> &'static [u64] {
    match kind {
        'p' => &[0xffff_fff0, END, END - 1, ODD],
        's' => &[0xffff_fff0, END],
        'n' | 'm' => &[0xffff_ffff, 0x8000_0000, 0x1000_0000, 0x0fff_ffff],
        'v' => &[1, 0xff, 0x1_0001, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, 1 << 63, u64::MAX],
        'w' => &[1, i64::MAX as u64, 1 << 63, u64::MAX],
        'c' | 'l' | 'u' | 'r' | 'd' => &[ROOT as u64, 900, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff],
        'f' => &[900, 0x7fff_ffff, 0xffff_ffff],
        _ => &[],
    }
}

const ROOT: Fd = 3;
const END: u64 = 1 << 48;
const ODD: u64 = 1 << 49;

/// Memory for every good pointer: zeros, but for a name.
#[repr(C, align(16))]
struct Scratch([u8; 512]);

fn try_one(row: &Row, arbitrary_place: usize, arbitrary: u64) {
    let scratch = Box::new(Scratch([0; 512]));
    let name = "name";
    let memory_end = memory_size(0) as u64 * 0x1_0000;
    let mut opened = Vec::new();
    let mut args = Vec::new();
    for (place, kind) in row.kinds.chars().enumerate() {
        let good = match kind {
            'c' | 'l' | 'u' | 'r' | 'd' | 'f' => u64::from(descriptor_of(kind, &mut opened)),
            'p' => u64::from(address_of(&*scratch)),
            's' => u64::from(address_of(name.as_bytes())),
            'm' => 4,
            'n' => 1,
            'x' => 0x5a5a_5a5a,
            _ => 0,
        };
        args.push(match arbitrary {
            _ if place != arbitrary_place => good,
            END => memory_end,
            ODD => good + 1,
            value if kind == 'p' && value == END - 1 => memory_end - 1,
            value => value,
        });
    }
    let answer = (row.call)(&args);
    check!((0..=80).contains(&answer), "{} answered {answer}", row.name);
    for fd in opened {
        let _ = descriptor::close(fd);
    }
}

fn descriptor_of(kind: char, opened: &mut Vec<Fd>) -> Fd {
    let fd = match kind {
        'd' => return ROOT,
        'r' => check_ok!(file::open(ROOT, "arbitrary_pointers.tmp", file::CREAT, 0)),
        'u' | 'f' => check_ok!(socket::open(INET4, STREAM, TCP)),
        'l' => check_ok!(socket::listener()).0,
        _ => {
            let (listener, _) = check_ok!(socket::listener());
            let (near, far) = check_ok!(socket::connected(listener));
            opened.extend([listener, far]);
            near
        }
    };
    // Nothing here may wait.
    let _ = descriptor::set_nonblocking(fd);
    opened.push(fd);
    fd
}

/// A parameter of an import.
trait Word {
    fn of(word: u64) -> Self;
}

impl Word for u32 {
    fn of(word: u64) -> Self {
        word as u32
    }
}

impl Word for u64 {
    fn of(word: u64) -> Self {
        word
    }
}

macro_rules! row {
    ($module:ident $name:ident $kinds:literal ($($place:literal)*)) => {
        Row {
            name: concat!(stringify!($module), ".", stringify!($name)),
            kinds: $kinds,
            call: Box::new(|args: &[u64]| {
                let _ = args;
                unsafe { $module::$name($(Word::of(args[$place])),*) }
            }),
        }
    };
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    vec![
        row!(preview1 args_get "pp" (0 1)),
        row!(preview1 args_sizes_get "pp" (0 1)),
        row!(preview1 environ_get "pp" (0 1)),
        row!(preview1 environ_sizes_get "pp" (0 1)),
        row!(preview1 clock_res_get "vp" (0 1)),
        row!(preview1 clock_time_get "vvp" (0 1 2)),
        row!(preview1 fd_advise "rvvv" (0 1 2 3)),
        row!(preview1 fd_allocate "rww" (0 1 2)),
        row!(preview1 fd_close "c" (0)),
        row!(preview1 fd_datasync "r" (0)),
        row!(preview1 fd_fdstat_get "cp" (0 1)),
        row!(preview1 fd_fdstat_set_flags "cv" (0 1)),
        row!(preview1 fd_fdstat_set_rights "cvv" (0 1 2)),
        row!(preview1 fd_filestat_get "rp" (0 1)),
        row!(preview1 fd_filestat_set_size "rv" (0 1)),
        row!(preview1 fd_filestat_set_times "rvvv" (0 1 2 3)),
        row!(preview1 fd_pread "rpnvp" (0 1 2 3 4)),
        row!(preview1 fd_prestat_get "dp" (0 1)),
        row!(preview1 fd_prestat_dir_name "dpn" (0 1 2)),
        row!(preview1 fd_pwrite "rpnvp" (0 1 2 3 4)),
        row!(preview1 fd_read "cpnp" (0 1 2 3)),
        row!(preview1 fd_readdir "dpnvp" (0 1 2 3 4)),
        row!(preview1 fd_renumber "cf" (0 1)),
        row!(preview1 fd_seek "rvvp" (0 1 2 3)),
        row!(preview1 fd_sync "r" (0)),
        row!(preview1 fd_tell "rp" (0 1)),
        row!(preview1 fd_write "cpnp" (0 1 2 3)),
        row!(preview1 path_create_directory "dsm" (0 1 2)),
        row!(preview1 path_filestat_get "dvsmp" (0 1 2 3 4)),
        row!(preview1 path_filestat_set_times "dvsmvvv" (0 1 2 3 4 5 6)),
        row!(preview1 path_link "dvsmdsm" (0 1 2 3 4 5 6)),
        row!(preview1 path_open "dvsmvvvvp" (0 1 2 3 4 5 6 7 8)),
        row!(preview1 path_readlink "dsmpnp" (0 1 2 3 4 5)),
        row!(preview1 path_remove_directory "dsm" (0 1 2)),
        row!(preview1 path_rename "dsmdsm" (0 1 2 3 4 5)),
        row!(preview1 path_symlink "smdsm" (0 1 2 3 4)),
        row!(preview1 path_unlink_file "dsm" (0 1 2)),
        row!(preview1 poll_oneoff "ppnp" (0 1 2 3)),
        row!(preview1 random_get "pn" (0 1)),
        row!(preview1 sched_yield "" ()),
        row!(preview1 sock_accept "lvp" (0 1 2)),
        row!(preview1 sock_recv "cpnvpp" (0 1 2 3 4 5)),
        row!(preview1 sock_send "cpnvp" (0 1 2 3 4)),
        row!(preview1 sock_shutdown "cv" (0 1)),
        row!(wasix_32v1 sock_open "vvvp" (0 1 2 3)),
        row!(wasix_32v1 sock_bind "up" (0 1)),
        row!(wasix_32v1 sock_listen "lv" (0 1)),
        row!(wasix_32v1 sock_accept "lvpp" (0 1 2 3)),
        row!(wasix_32v1 sock_accept_v2 "lvpp" (0 1 2 3)),
        row!(wasix_32v1 sock_connect "up" (0 1)),
        row!(wasix_32v1 sock_recv_from "cpnvppp" (0 1 2 3 4 5 6)),
        row!(wasix_32v1 sock_send_to "cpnvpp" (0 1 2 3 4 5)),
        row!(wasix_32v1 sock_send_file "crvvp" (0 1 2 3 4)),
        row!(wasix_32v1 sock_status "cp" (0 1)),
        row!(wasix_32v1 sock_addr_local "cp" (0 1)),
        row!(wasix_32v1 sock_addr_peer "cp" (0 1)),
        row!(wasix_32v1 sock_set_opt_flag "cvv" (0 1 2)),
        row!(wasix_32v1 sock_get_opt_flag "cvp" (0 1 2)),
        row!(wasix_32v1 sock_set_opt_time "cvp" (0 1 2)),
        row!(wasix_32v1 sock_get_opt_time "cvp" (0 1 2)),
        row!(wasix_32v1 sock_set_opt_size "cvv" (0 1 2)),
        row!(wasix_32v1 sock_get_opt_size "cvp" (0 1 2)),
        row!(wasix_32v1 resolve "smvpnp" (0 1 2 3 4 5)),
        row!(wasix_32v1 fd_dup "cp" (0 1)),
        row!(wasix_32v1 fd_dup2 "cvvp" (0 1 2 3)),
        row!(wasix_32v1 fd_fdflags_get "cp" (0 1)),
        row!(wasix_32v1 fd_fdflags_set "cv" (0 1)),
        row!(wasix_32v1 fd_renumber "cf" (0 1)),
        row!(wasix_32v1 fd_read "cpnp" (0 1 2 3)),
        row!(wasix_32v1 fd_write "cpnp" (0 1 2 3)),
        row!(wasix_32v1 path_open2 "dvsmvvvvvp" (0 1 2 3 4 5 6 7 8 9)),
        row!(wasix_32v1 getcwd "pp" (0 1)),
        row!(wasix_32v1 chdir "sm" (0 1)),
        row!(wasix_32v1 clock_time_set "vv" (0 1)),
        row!(wasix_32v1 tty_get "p" (0)),
        row!(wasix_32v1 tty_set "p" (0)),
        row!(wasix_32v1 thread_id "p" (0)),
        row!(wasix_32v1 thread_parallelism "p" (0)),
        row!(wasix_32v1 thread_local_create "vp" (0 1)),
        row!(wasix_32v1 thread_local_destroy "v" (0)),
        row!(wasix_32v1 thread_local_set "vv" (0 1)),
        row!(wasix_32v1 thread_local_get "vp" (0 1)),
        row!(wasix_32v1 futex_wait "pxpp" (0 1 2 3)),
        row!(wasix_32v1 futex_wake "pp" (0 1)),
        row!(wasix_32v1 futex_wake_all "pp" (0 1)),
        row!(wasix_32v1 proc_join "pvp" (0 1 2)),
        row!(wasix_32v1 stack_checkpoint "pp" (0 1)),
        row!(wasix_32v1 proc_id "p" (0)),
        row!(wasix_32v1 proc_parent "vp" (0 1)),
        row!(wasix_32v1 proc_signals_sizes_get "p" (0)),
        row!(wasix_32v1 proc_signals_get "p" (0)),
    ]
}
