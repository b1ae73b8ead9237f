//! The guests, run by the command line.
//!
//! A test has the name of its program. A program without a test does not
//! compile: see the end of this file.

mod admin;
mod adoption;
mod arbitrary_arguments;
mod asyncify;
mod behaviour;
mod cache;
mod churn;
mod classic_servers;
mod command;
mod compilers;
mod component;
mod configuration;
mod data;
mod datagram_servers;
mod datagrams;
mod events;
mod families;
mod files;
mod generations;
mod go;
mod grants;
mod grants_on_paths;
mod hostile;
mod inet6;
mod inspect;
mod kinds;
mod learn;
mod listen;
mod log_format;
mod long_names;
mod low_limits;
mod manager;
mod manifests;
mod memory;
mod module_files;
mod multicast;
mod named_pipes;
mod names;
mod oracle;
mod passing;
mod per_connection;
mod places;
mod preopened;
mod processes;
mod progress;
mod publish;
mod real_programs;
mod server;
mod service;
mod signals;
mod states;
mod stress;
mod text;
mod threaded;
mod threaded_forks;
mod threads;
mod time;
mod trace;
mod udp;
mod udp_answers;
mod unix;
mod waiting;
mod wall;
mod wamr;
mod wasi_threads;
mod wasmedge;

use guest_tests::Wasock;
use std::net::TcpListener;

/// `wasock`, without arguments.
fn wasock() -> Wasock {
    Wasock::new(env!("CARGO_BIN_EXE_wasock"))
}

/// `wasock run`.
fn run() -> Wasock {
    Wasock::run(env!("CARGO_BIN_EXE_wasock"))
}

/// `wasock run` with everything on 127.0.0.1 granted.
fn run_on_loopback() -> Wasock {
    run().args(["--listen", "127.0.0.1:*", "--connect", "127.0.0.1:*"])
}

/// Whether this machine has `::1`. A test that needs it says so and ends well.
fn has_ipv6() -> bool {
    let has_it = TcpListener::bind("[::1]:0").is_ok();
    if !has_it {
        eprintln!("passed over: this machine has no ::1");
    }
    has_it
}

mod every_program_has_a_test {
    // Each module below has tests, and with them the names of its programs.
    use super::{
        admin::*, adoption::*, asyncify::*, behaviour::*, classic_servers::*, command::*, compilers::*,
        data::*, datagram_servers::*, datagrams::*, events::*, families::*, files::*, generations::*,
        grants_on_paths::*, hostile::*, inet6::*, kinds::calls::*, kinds::limits::*, kinds::options::*,
        long_names::*, memory::*, multicast::*, names::*, places::*, preopened::*, publish::*, server::*,
        signals::*, states::*, stress::*, text::*, threaded::*, threads::*, time::*, udp::*, udp_answers::*,
        unix::*, waiting::*, wamr::*, wasi_threads::*, wasmedge::*,
    };
    use super::{
        low_limits::*, named_pipes::*, oracle::*, passing::*, per_connection::*, processes::*,
        threaded_forks::*,
    };

    use super::real_programs::*;

    use super::component::{denials::*, life::*, p3::*, servers::*, service::*, sockets::*};

    macro_rules! assert_test_exists {
        ($program:ident) => {
            #[allow(unused_imports, reason = "that the name exists is all")]
            use self::$program as _;
        };
    }

    #[test]
    fn holds() {
        guest_tests::for_each_program!(assert_test_exists);
        guest_tests::for_each_component!(assert_test_exists);
        guest_tests::for_each_asyncified!(assert_test_exists);
    }
}
