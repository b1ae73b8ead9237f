//! The host's socket, and what it is: what every state works on.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno as Os;
use rustix::net::addr::SocketAddrArg;
use rustix::net::sockopt;

use super::held::{Binding, BoundAt, Claim, Keeper, Made};
use super::unix::{self, Held};
use super::{Domain, Family, Kind, Refusal};
use crate::address::{Address, UnixName};
use crate::error::Errno;
use crate::io::HostRuntime;
use crate::policy::{Policy, Use};

/// A socket of the host: in nonblocking mode, but for one that is shared.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// As it was opened. Where the service gave it another one it is that of the [claim](Claim).
    own: Arc<OwnedFd>,
    pub(super) domain: Domain,
    pub(super) kind: Kind,
    /// Was it opened outside? Then this process has it twice, perhaps: closing the guest's is
    /// not its end.
    pub(super) is_inherited: bool,
    /// May others have it too: another process, or the embedder? Then nothing is set that they
    /// would feel, neither options nor flags nor the backlog.
    pub(super) is_shared: bool,
    /// Is it a connection that was accepted?
    pub(super) is_accepted: bool,
    /// Would closing the host's socket wait for what is left to be delivered?
    pub(super) lingers: AtomicBool,
    /// What a connection over a network has not, and there are many.
    more: OnceLock<Box<More>>,
}

/// What few sockets have.
#[derive(Debug, Default)]
struct More {
    /// The name that it has, over `AF_UNIX`.
    named: OnceLock<BoundName>,
    /// The address that it has for the guest, where its port is published.
    published: OnceLock<Published>,
    /// Set where the service holds the socket, which then goes on when the guest closes it.
    claim: OnceLock<Arc<Claim>>,
}

/// The guest's own address of a socket that is elsewhere on the host.
#[derive(Clone, Copy, Debug)]
struct Published {
    /// As the guest bound it.
    bound: SocketAddr,
    /// As the host was asked for it.
    there: SocketAddr,
    /// Is it the local address of a connection, which came to one of those that a wildcard
    /// stands for?
    is_accepted: bool,
}

impl Published {
    /// What the guest is shown of what the host has at `local`.
    fn shown(&self, local: SocketAddr) -> SocketAddr {
        let is_known = !self.is_accepted || !self.bound.ip().to_canonical().is_unspecified();
        let ip = if is_known { self.bound.ip() } else { local.ip() };
        SocketAddr::new(ip, self.bound.port())
    }
}

/// The name of a socket, and the file where it is its own.
#[derive(Debug)]
struct BoundName {
    name: UnixName,
    held: Option<Arc<Held>>,
}

impl Endpoint {
    /// A new one.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left, `EAFNOSUPPORT` where it lacks the
    /// family.
    pub(super) fn open(domain: Domain, kind: Kind) -> Result<Self, Errno> {
        use rustix::net::SocketFlags;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let make = || rustix::net::socket_with(domain.family().to_host(), kind.to_host(), flags, None);
        let fd = HostRuntime::of_process().descriptors.for_guest(1, make, |fd| fd.as_raw_fd());
        Ok(Self::new(fd.map_err(Errno::from)?, domain, kind))
    }

    pub(super) fn new(fd: OwnedFd, domain: Domain, kind: Kind) -> Self {
        Self {
            own: Arc::new(fd),
            domain,
            kind,
            is_inherited: false,
            is_shared: false,
            is_accepted: false,
            lingers: AtomicBool::new(false),
            more: OnceLock::new(),
        }
    }

    /// One from outside that has its address already, and that others have too if it
    /// `is_shared`; `held` is the file of its name, where that goes with the socket.
    pub(super) fn inherited(
        fd: OwnedFd,
        domain: Domain,
        kind: Kind,
        local: &Address,
        is_shared: bool,
        held: Option<Held>,
    ) -> Self {
        let endpoint = Self { is_inherited: true, is_shared, ..Self::new(fd, domain, kind) };
        if let Address::Unix(name) = local {
            let held = held.map(Arc::new);
            endpoint.more().named.get_or_init(|| BoundName { name: name.clone(), held });
        }
        endpoint
    }

    /// What a connection to this one is, at the same name.
    pub(super) fn accepted(&self, fd: OwnedFd) -> Self {
        let accepted = Self { is_accepted: true, ..Self::new(fd, self.domain.clone(), self.kind) };
        if let Some(published) = self.published() {
            accepted.more().published.get_or_init(|| Published { is_accepted: true, ..*published });
        }
        if let Some(named) = self.named() {
            accepted.more().named.get_or_init(|| BoundName { name: named.name.clone(), held: None });
        }
        accepted
    }

    fn more(&self) -> &More {
        self.more.get_or_init(Box::default)
    }

    fn named(&self) -> Option<&BoundName> {
        self.more.get()?.named.get()
    }

    fn published(&self) -> Option<&Published> {
        self.more.get()?.published.get()
    }

    /// As [`claim`](Self::claim), one that it has left included.
    fn any_claim(&self) -> Option<&Arc<Claim>> {
        self.more.get()?.claim.get()
    }

    /// The host's socket.
    pub(super) fn fd(&self) -> &Arc<OwnedFd> {
        self.any_claim().map_or(&self.own, |claim| claim.fd())
    }

    pub(super) fn host_fd(&self) -> BorrowedFd<'_> {
        self.fd().as_fd()
    }

    /// What is ready where something comes in.
    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.any_claim().map_or(&self.own, |claim| claim.gate()).as_fd()
    }

    /// The socket whose options are the guest's to read and to set: its own, until what it sets
    /// on one that it shares with an earlier instance takes effect.
    pub(super) fn option_fd(&self) -> BorrowedFd<'_> {
        match self.any_claim() {
            Some(claim) if claim.is_ready() || claim.has_left() => claim.fd().as_fd(),
            _ => self.own.as_fd(),
        }
    }

    /// Set where the service holds the socket.
    pub(super) fn claim(&self) -> Option<&Arc<Claim>> {
        self.any_claim().filter(|claim| !claim.has_left())
    }

    /// The descriptor of the host at which is waited for what comes in.
    pub(super) fn incoming(&self) -> &Arc<OwnedFd> {
        self.any_claim().map_or(&self.own, |claim| claim.gate())
    }

    /// Was it ever a held socket?
    pub(super) fn was_held(&self) -> bool {
        self.any_claim().is_some()
    }

    /// May others have it too?
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared || self.any_claim().is_some_and(|claim| claim.is_shared())
    }

    /// Is it open when the guest has closed it?
    pub(super) fn outlives_guest(&self) -> bool {
        self.is_inherited || self.any_claim().is_some()
    }

    /// Takes a socket of the guest's own in the place of a held one, at the same address, for
    /// what the others that have it must not feel.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn leave(&self, claim: &Claim) -> Result<(), Errno> {
        let own = Self::open(self.domain.clone(), self.kind)?.own;
        if self.domain.family() != Family::Unix {
            let local = rustix::net::getsockname(claim.fd())?;
            if self.domain.family() == Family::Inet6 {
                sockopt::set_ipv6_v6only(&own, sockopt::ipv6_v6only(claim.fd())?)?;
            }
            bind_beside(&own, claim.fd(), &local)?;
        }
        claim.leave_for(own);
        Ok(())
    }

    /// Becomes the socket of `claim`.
    pub(super) fn adopt(&self, claim: Arc<Claim>) {
        self.more().claim.get_or_init(|| claim);
    }

    /// Has `keeper` hold the socket, which listens or receives now.
    pub(super) fn hold(&self, asked: &Address, keeper: &dyn Keeper) {
        if self.any_claim().is_some() || self.is_inherited {
            return;
        }
        let Some(made) = self.made(asked) else { return };
        if made.is_chosen && self.kind == Kind::Datagram {
            // The next instance gets another port.
            return;
        }
        if let Some(claim) = keeper.hold(made) {
            self.more().claim.get_or_init(|| claim);
        }
    }

    /// Tells `keeper` of the socket, which is bound now and may listen later.
    pub(super) fn note_bound(&self, asked: &Address, keeper: &dyn Keeper) {
        if self.any_claim().is_none()
            && let Some(made) = self.made(asked).filter(|made| !made.is_chosen)
        {
            keeper.bound(made);
        }
    }

    /// The socket, as the kernel has it.
    fn made(&self, asked: &Address) -> Option<Made> {
        let (binding, local) = (self.binding_of_host()?, self.local_address().ok()?);
        let is_chosen = self.asked_of_host(asked).is_some_and(|asked| asked.port() == 0);
        let name = self.named().and_then(|named| named.held.clone());
        Some(Made { binding, local, is_chosen, fd: Arc::clone(&self.own), name })
    }

    /// Where the kernel has it.
    fn binding_of_host(&self) -> Option<Binding> {
        let at = match &self.domain {
            Domain::Unix(_) => BoundAt::Name(self.named()?.held.as_ref()?.id().ok()?),
            _ => BoundAt::Inet(self.local_address().ok()?.inet()?),
        };
        Some(self.binding(at))
    }

    /// What it is where it is bound at `at`.
    pub(super) fn binding(&self, at: BoundAt) -> Binding {
        let family = self.domain.family();
        // The kernel sets the option of a socket that is bound to any other address.
        let is_wildcard = matches!(at, BoundAt::Inet(SocketAddr::V6(at)) if at.ip().is_unspecified());
        let only_v6 = is_wildcard && sockopt::ipv6_v6only(&self.own).unwrap_or(false);
        Binding { family, kind: self.kind, only_v6, at }
    }

    /// What having `address` is to the policy.
    pub(super) fn use_of<'a>(&self, address: &'a Address) -> Use<'a> {
        match address {
            Address::Inet(address) if self.kind == Kind::Datagram => Use::UdpBind(*address),
            Address::Inet(address) => Use::TcpListen(*address),
            Address::Unix(name) => Use::UnixListen(name.path().unwrap_or_default()),
        }
    }

    /// Asks the policy for `address`, then binds on the host, at another address if the port
    /// is published. Returns the guest's address with everything that is known of it then.
    ///
    /// # Errors
    ///
    /// A denial, or what the host reports.
    pub(super) fn bind(
        &self,
        address: &Address,
        policy: &Policy,
        keeper: Option<&dyn Keeper>,
    ) -> Result<Address, Refusal> {
        match (address, &self.domain) {
            (Address::Unix(name), Domain::Unix(paths)) => {
                let (name, place) = unix::place(name, paths.as_ref().as_ref(), policy)?;
                let held = match self.adopt_at(keeper, || Some(BoundAt::Name(place.id().ok()?)))? {
                    Some(claim) => claim.name(),
                    None => Some(Arc::new(unix::bind(self.host_fd(), place, paths.as_ref().as_ref())?)),
                };
                self.more().named.get_or_init(|| BoundName { name: name.clone(), held });
                Ok(Address::Unix(name))
            }
            (Address::Inet(inet), _) => {
                let wish = self.use_of(address);
                policy.check(wish)?;
                let published = policy.published_at(wish);
                let there = published.unwrap_or(*inet);
                let is_fixed = there.port() != 0;
                if self.adopt_at(keeper, || is_fixed.then_some(BoundAt::Inet(there)))?.is_none() {
                    self.bind_inet(&there)?;
                }
                if self.kind == Kind::Datagram && there.port() == 0 {
                    self.confirm_port(policy)?;
                }
                if published.is_some() {
                    let published = Published { bound: *inet, there, is_accepted: false };
                    self.more().published.get_or_init(|| published);
                }
                Ok(address.clone())
            }
            (Address::Unix(_), _) => Err(Errno::EAFNOSUPPORT.into()),
        }
    }

    /// Becomes the socket that `keeper` holds there, if there is one.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left.
    fn adopt_at(
        &self,
        keeper: Option<&dyn Keeper>,
        at: impl FnOnce() -> Option<BoundAt>,
    ) -> Result<Option<&Arc<Claim>>, Errno> {
        let Some((keeper, at)) = keeper.and_then(|keeper| Some((keeper, at()?))) else { return Ok(None) };
        let Some(claim) = keeper.adopt(&self.binding(at))? else { return Ok(None) };
        self.adopt(claim);
        Ok(self.claim())
    }

    /// Binds; remains of old connections do not prevent it
    ///  (docs/listen.md, rule 20: restarting at once on the same address works).
    ///
    /// The option for it is on for that attempt only. Two sockets that have it can be bound to one
    /// port until one of them listens: "a socket may bind, except when there is an active listening
    /// socket bound to the address" (socket(7), SO_REUSEADDR). A socket bound without it excludes
    /// all others; a socket without it may be bound beside sockets that have it, which Linux would
    /// refuse.
    fn bind_inet(&self, address: &SocketAddr) -> Result<(), Errno> {
        let bound = rustix::net::bind(self.fd(), address);
        if bound != Err(Os::ADDRINUSE) || self.kind == Kind::Datagram || self.is_reusing()? {
            return Ok(bound?);
        }
        sockopt::set_socket_reuseaddr(self.fd(), true)?;
        let bound = rustix::net::bind(self.fd(), address);
        sockopt::set_socket_reuseaddr(self.fd(), false)?;
        Ok(bound?)
    }

    fn is_reusing(&self) -> Result<bool, Errno> {
        Ok(sockopt::socket_reuseaddr(self.fd())?)
    }

    /// Ensures that the connections of a listener, which inherit the option, do not prevent the next
    /// listener at its address. Nothing is set on a socket that other
    /// processes may share. Returns whether anything was set.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn reuse_address(&self) -> Result<bool, Errno> {
        if self.is_inherited
            || self.is_shared()
            || self.domain.family() == Family::Unix
            || self.is_reusing()?
        {
            return Ok(false);
        }
        sockopt::set_socket_reuseaddr(self.fd(), true)?;
        Ok(true)
    }

    /// Undoes [`reuse_address`](Self::reuse_address).
    pub(super) fn keep_address(&self) {
        // It was set a moment ago: there is nothing that could fail.
        let _as_before = sockopt::set_socket_reuseaddr(self.fd(), false);
    }

    /// Asks the policy for the port that the host chose, and gives it back where that is
    /// refused.
    fn confirm_port(&self, policy: &Policy) -> Result<(), Refusal> {
        let local = self.local_address()?;
        policy.narrow(self.use_of(&local)).map_err(|denial| {
            // "dissolve the association by connecting to an address with the sa_family member
            // of sockaddr set to AF_UNSPEC" - connect(2). Linux gives a port of its own choice
            // up with it.
            let _unbound = rustix::net::connect_unspec(self.fd());
            denial.into()
        })
    }

    /// What the host was asked for where the guest asked for `asked`.
    pub(super) fn asked_of_host(&self, asked: &Address) -> Option<SocketAddr> {
        self.published().map(|published| published.there).or(asked.inet())
    }

    /// The address that the guest is shown: its own, where the host has the socket elsewhere.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn shown_address(&self) -> Result<Address, Errno> {
        let local = self.local_address()?;
        Ok(match (self.published(), &local) {
            (Some(published), Address::Inet(inet)) => Address::Inet(published.shown(*inet)),
            _ => local,
        })
    }

    /// The address that the host's socket has.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn local_address(&self) -> Result<Address, Errno> {
        match self.domain {
            // The kernel's name for it is the host's.
            Domain::Unix(_) => Ok(Address::Unix(self.name().unwrap_or_default())),
            _ => self.domain.read(rustix::net::getsockname(self.fd())?),
        }
    }

    /// The name, over `AF_UNIX`.
    pub(super) fn name(&self) -> Option<UnixName> {
        self.named().map(|named| named.name.clone())
    }

    /// Removes the name, if it is to be removed when the socket closes.
    pub(super) fn remove_name(&self) {
        if self.was_held() {
            // The name is the service's, as the socket is.
            return;
        }
        if let Some(BoundName { held: Some(held), .. }) = self.named() {
            held.remove();
        }
    }
}

/// Binds the datagram socket `own` to the address of `held`, `local`: "For AF_INET sockets this
/// means that a socket may bind" beside another where both have the option (socket(7),
/// SO_REUSEADDR). No other socket may, once it is off again.
fn bind_beside(own: &OwnedFd, held: &OwnedFd, local: &impl SocketAddrArg) -> Result<(), Errno> {
    let was_on = sockopt::socket_reuseaddr(held)?;
    sockopt::set_socket_reuseaddr(held, true)?;
    sockopt::set_socket_reuseaddr(own, true)?;
    let bound = rustix::net::bind(own, local);
    sockopt::set_socket_reuseaddr(own, false)?;
    sockopt::set_socket_reuseaddr(held, was_on)?;
    Ok(bound?)
}
