//! The server task of a queue, where the host fails.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::policy::{Denial, Policy};
use crate::socket::listen::{Capacity, Gate, ListenProfile, Reached};
use crate::socket::{Kind, Socket};

const PATIENCE: Duration = Duration::from_secs(20);

/// Panics when somebody comes in.
struct Broken(Mutex<Sender<()>>);

impl Door for Broken {
    fn listens(&self, _: &Address, _: Capacity) {}

    fn admit(&self, _: &Address) -> Result<(), Denial> {
        std::panic::resume_unwind(Box::new("broken"))
    }

    fn gate(&self) -> Option<&Gate> {
        None
    }

    fn turned_away(&self, _: Address, _: TurnedAway) {}

    fn is_full(&self, _: Reached) {}

    fn host_failed(&self) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _nobody_cares = sender.send(());
    }
}

/// Otherwise the listener would be deaf for ever, and nobody would know.
#[test]
fn a_panic_of_the_server_task_is_told() -> Result<(), Refusal> {
    let (sender, told) = channel();
    let mut policy = Policy::default();
    if let Ok(grant) = "127.0.0.1:*".parse() {
        policy.allow_listen(&grant);
    }
    let socket = Socket::open(Space::Inet4, Kind::Stream, 0)?;
    socket.bind(Address::Inet((Ipv4Addr::LOCALHOST, 0).into()), &policy)?;
    let door = Arc::new(Broken(Mutex::new(sender)));
    let account = Account::unlimited();
    let rules = ListenProfile::Winsock.rules();
    let terms = Terms { rules, maximum: 16, kernel_maximum: 16, account, door };
    socket.stream()?.listen(4, terms, &policy)?;
    let local = socket.local_address()?.inet().ok_or(Errno::EAFNOSUPPORT)?;
    let _client = TcpStream::connect(local).map_err(Errno::from)?;
    assert_eq!(told.recv_timeout(PATIENCE), Ok(()));
    Ok(())
}
