//! Two instances: one listens at a name, and the other one connects there and passes a listener. The
//! argument says which part is played; without one, whoever comes first receives.

use wasix::errno::EPERM;
use wasix::message;
use wasix::socket::{self, STREAM};
use wasix::{check_eq, check_ok, file, unix};

const NAME: &str = "/run/s";

fn main() {
    let receives = match std::env::args().nth(1).as_deref() {
        Some("receive") => true,
        Some("send") => false,
        _ => file::open(check_ok!(file::folder("/run")), "first", file::CREAT | file::EXCL, 0).is_ok(),
    };
    if receives { receive() } else { send() }
}

fn receive() {
    let names = check_ok!(unix::listener(STREAM, NAME, 4));
    println!("ready");
    let (life, _) = check_ok!(unix::accept(names, 0));
    let (from, _) = check_ok!(unix::accept(names, 0));
    // The sender is gone, and its message is here.
    check_eq!(socket::recv(life, &mut [0; 8], 0), Ok(0));
    let received = check_ok!(message::receive(from, &mut [0; 8], 0, 64));
    let [listener] = received.fds[..] else {
        println!("received {}, lacks {}", received.count, received.lacks_fds);
        return;
    };
    println!("listening on {}", check_ok!(socket::addr_local(listener)));
    let (client, _) = check_ok!(socket::accept_v2(listener, 0));
    let mut buf = [0; 64];
    let count = check_ok!(socket::recv(client, &mut buf, 0));
    check_eq!(socket::send(client, &buf[..count], 0), Ok(count));
}

fn send() {
    let _life = check_ok!(unix::client(STREAM, NAME));
    let to = check_ok!(unix::client(STREAM, NAME));
    let (listener, _) = check_ok!(socket::listener());
    match message::pass(to, b"x", &[listener]) {
        Err(EPERM) => println!("EPERM"),
        passed => check_eq!(passed, Ok(1)),
    }
}
