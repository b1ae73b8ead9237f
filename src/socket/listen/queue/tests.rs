//! The server task of a queue, where the host fails.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::policy::{Denial, Policy};
use crate::socket::listen::{Capacity, LimitExceeded, ListenProfile, ListenerQuota};
use crate::socket::{Kind, Socket};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Panics when a connection is admitted.
struct Broken(Mutex<Sender<()>>);

impl AcceptFilter for Broken {
    fn listens(&self, _: &Address, _: Capacity) {}

    fn admit(&self, _: &Address) -> Result<(), Denial> {
        std::panic::resume_unwind(Box::new("broken"))
    }

    fn quota(&self) -> Option<&ListenerQuota> {
        None
    }

    fn rejected(&self, _: Address, _: RejectReason) {}

    fn is_full(&self, _: LimitExceeded) {}

    fn host_failed(&self) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _nobody_cares = sender.send(());
    }
}

/// Otherwise the listener would accept nothing forever, without notice.
#[test]
fn a_panic_of_the_server_task_is_reported() -> Result<(), Refusal> {
    let (sender, told) = channel();
    let mut policy = Policy::default();
    if let Ok(grant) = "127.0.0.1:*".parse() {
        policy.allow_listen(&grant);
    }
    let socket = Socket::open(Domain::Inet4, Kind::Stream, 0)?;
    socket.bind(Address::Inet((Ipv4Addr::LOCALHOST, 0).into()), &policy, None)?;
    let accept_filter = Arc::new(Broken(Mutex::new(sender)));
    let account = Account::unlimited();
    let rules = ListenProfile::Winsock.rules();
    let config = ListenConfig { rules, maximum: 16, kernel_maximum: 16, account, accept_filter };
    socket.stream()?.listen(4, config, &policy, None)?;
    let local = socket.local_address()?.inet().ok_or(Errno::EAFNOSUPPORT)?;
    let _client = TcpStream::connect(local).map_err(Errno::from)?;
    assert_eq!(told.recv_timeout(WAIT_TIMEOUT), Ok(()));
    Ok(())
}
