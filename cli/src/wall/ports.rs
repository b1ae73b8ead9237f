//! Where the sockets of a run are: which TCP ports it may bind and connect to, and which names of Unix
//! sockets are the host's own.

use std::collections::BTreeSet;
use std::path::Path;

use wasock::Grant;

use crate::admin::AdminAddress;
use crate::args::{RunArgs, SocketSource};

/// Where more ports are granted than this, the kernel is not asked to hold them: they are no small
/// part of what there is.
const MOST_PORTS: usize = 256;

/// Where the resolver asks servers.
const DNS: u16 = 53;

/// Ports; `None` for all of them.
pub(super) type Ports = Option<BTreeSet<u16>>;

/// Those that sockets may be bound to: 0 is that of the host's choice.
pub(super) fn binds(args: &RunArgs) -> Ports {
    let listened = args.grants.listen.iter().filter_map(Grant::ports).flatten();
    let published = args.grants.publish.iter().filter_map(|publish| publish.tcp_port());
    let admin = match &args.admin.admin {
        Some(AdminAddress::Inet(address)) => Some(address.port()),
        _ => None,
    };
    // The second one gets the port that the system chooses for the first.
    let repeats_a_choice = listeners(args).any(|place| matches!(place, SocketSource::Localhost(0)));
    if repeats_a_choice {
        return None;
    }
    let probes = args.admin.probes.iter().filter_map(port);
    few(listened.chain(published).chain(admin).chain(probes).chain(listeners(args).filter_map(port)))
}

/// Those that may be connected to.
pub(super) fn connects(args: &RunArgs) -> Ports {
    let granted = args.grants.connect.iter().filter_map(Grant::ports).flatten();
    let asked = looks_names_up(args).then_some(DNS);
    let preopened = args.sockets.preopen_connect.iter().filter_map(|socket| port(&socket.place));
    few(granted.chain(asked).chain(preopened))
}

/// The names of Unix sockets at which the host itself listens.
pub(super) fn host_sockets(args: &RunArgs) -> impl Iterator<Item = &Path> {
    let admin = match &args.admin.admin {
        Some(AdminAddress::Unix(path)) => Some(path.as_path()),
        _ => None,
    };
    let named = listeners(args).filter_map(|place| match place {
        SocketSource::Unix(path) => Some(path.as_path()),
        _ => None,
    });
    named.chain(admin)
}

/// Where the host listens for the guest.
fn listeners(args: &RunArgs) -> impl Iterator<Item = &SocketSource> {
    let preopened = args.sockets.preopen_listen.iter().map(|socket| &socket.place);
    preopened.chain(&args.connections.per_connection)
}

/// May a name be looked up?
pub(super) fn looks_names_up(args: &RunArgs) -> bool {
    let mut granted = args.grants.connect.iter().chain(&args.grants.udp_send);
    !args.grants.resolve.is_empty() || granted.any(Grant::is_of_names)
}

fn port(place: &SocketSource) -> Option<u16> {
    match place {
        SocketSource::Inet(address) => Some(address.port()),
        SocketSource::Localhost(port) | SocketSource::Any(port) => Some(*port),
        SocketSource::Unix(_) => None,
    }
}

fn few(ports: impl Iterator<Item = u16>) -> Ports {
    let mut few = BTreeSet::new();
    for port in ports {
        few.insert(port);
        if few.len() > MOST_PORTS {
            return None;
        }
    }
    Some(few)
}

/// `any`, `none`, or the ports.
pub(super) fn described(ports: &Ports) -> String {
    match ports {
        None => "any port".to_owned(),
        Some(ports) if ports.is_empty() => "no port".to_owned(),
        Some(ports) => ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
    }
}
