//! `component_hostile WHAT`: breaks a rule of the interfaces, and says so if it lives on.

use component_programs::*;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, OutputStream};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn main() {
    let what = std::env::args().nth(1).expect("what to break");
    let (_listener, (near, input, output), far) = connected();
    match what.as_str() {
        "write_without_asking" => output.write(b"x").expect("no error, but a trap"),
        "write_too_much" => {
            let permit = output.check_write().expect("it is open");
            let bytes = vec![0; permit as usize + 1];
            output.write(&bytes).expect("no error, but a trap");
        }
        "write_twice" => {
            output.check_write().expect("it is open");
            output.write(b"x").expect("it was permitted");
            output.write(b"x").expect("no error, but a trap");
        }
        "blocking_write_of_too_much" => {
            output.blocking_write_and_flush(&[0; 4097]).expect("no error, but a trap");
        }
        "zeroes_without_end" => output.write_zeroes(u64::MAX).expect("no error, but a trap"),
        "poll_nothing" => drop(poll(&[])),
        "no_such_handle" => drop(unsafe { TcpSocket::from_handle(0x7fff_ffff) }.local_address()),
        "another_kind" => {
            let stolen = unsafe { InputStream::from_handle(near.take_handle()) };
            drop(stolen.read(1));
        }
        "a_dropped_handle" => {
            let handle = input.take_handle();
            drop(unsafe { InputStream::from_handle(handle) });
            drop(unsafe { InputStream::from_handle(handle) }.read(1));
        }
        "datagrams_without_asking" => {
            let socket = udp();
            let (_incoming, outgoing) = socket.stream(None).expect("streams");
            let datagram = || OutgoingDatagram { data: vec![0], remote_address: None };
            _ = outgoing.send(&[datagram()]);
        }
        "streams_twice" => {
            let socket = udp();
            let _streams = socket.stream(None).expect("streams");
            drop(socket.stream(None));
        }
        "pollables_without_end" => {
            let mut pollables: Vec<Pollable> = Vec::new();
            loop {
                pollables.push(input.subscribe());
            }
        }
        "networks_without_end" => {
            let mut networks = Vec::new();
            loop {
                networks.push(instance_network());
            }
        }
        "a_long_list" => {
            let pollable = far.2.subscribe();
            let list = vec![&pollable; 1000];
            assert_eq!(poll(&list).len(), list.len());
            println!("alive");
            return;
        }
        "a_list_beyond_memory" => {
            let pollable = far.2.subscribe();
            drop(poll(&vec![&pollable; 1 << 20]));
        }
        "streams_of_each_other" => {
            // What comes in goes out again, from whichever stream to whichever.
            assert!(output.check_write().expect("it is open") > 5);
            output.write(b"again").expect("it was permitted");
            let spliced = far.2.blocking_splice(&far.1, u64::MAX).expect("it is open");
            assert_eq!((spliced, read(&input).expect("it is open")), (5, b"again".to_vec()));
            let to_stdout: OutputStream = wasip2::cli::stdout::get_stdout();
            output.check_write().expect("it is open");
            output.write(b"alive\n").expect("it was permitted");
            assert_eq!(to_stdout.blocking_splice(&far.1, 100).expect("it is open"), 6);
            // A pollable of `wasmtime_wasi`'s is a child of its stream.
            let standard = wasip2::cli::stdin::get_stdin();
            let standard = (standard.subscribe(), standard);
            let ready = poll(&[&standard.0, &subscribe_duration(1), &far.1.subscribe()]);
            assert!(ready.contains(&0) || ready.contains(&1), "{ready:?}");
            return;
        }
        other => panic!("{other}: nothing of that kind"),
    }
    println!("lives on");
}

fn udp() -> UdpSocket {
    let socket = create_udp_socket(IpAddressFamily::Ipv4).expect("a socket");
    socket.start_bind(&instance_network(), to_wasi(loopback(0))).expect("it binds");
    socket.finish_bind().expect("it is bound");
    socket
}
