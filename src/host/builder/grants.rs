//! What a guest may do, and what it may not.

use std::fs::Metadata;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::WasockCtxBuilder;
use crate::error::Errno;
use crate::io::HostRuntime;
use crate::policy::{Grant, NamePattern, Policy, Publish, Use, Verb};

impl WasockCtxBuilder {
    /// It is this builder's alone, so it is never copied.
    fn policy(&mut self) -> &mut Policy {
        Arc::make_mut(&mut self.service.policy)
    }

    /// Grants listening on these addresses. Repeatable, as are all grants.
    ///
    /// A path (`unix:/run/app.sock`) is the guest's own, and must lie in a
    /// [directory](Self::preopened_dir) that the guest may change: a grant allows a name, a
    /// directory contains it.
    pub fn listen(mut self, grant: &Grant) -> Self {
        self.policy().allow_listen(grant);
        self
    }

    /// Restricts the peers that may connect to a listener, and the senders whose datagrams reach the guest, to
    /// `network`, and to what other calls name. Datagrams of a peer to which the guest has
    /// connected a socket are received in any case.
    pub fn accept_from(mut self, network: IpNet) -> Self {
        self.policy().allow_accept_from(network);
        self
    }

    /// Grants connecting to these addresses; for datagram sockets with a name, sending
    /// there too. A path must lie in a [directory](Self::preopened_dir) of the guest's.
    ///
    /// [A name](Grant::for_connecting) grants looking it up, and the addresses that are found for
    /// it: for as long as the [resolver](Self::resolver) says, or for a minute. A guest that uses an address
    /// without having looked it up, or for longer, has the host look the name up while its call waits.
    pub fn connect(mut self, grant: &Grant) -> Self {
        self.policy().allow_connect(grant);
        self
    }

    /// Grants UDP sockets at these addresses, and joining the groups of multicast that are
    /// among them. Any address may send there, unless that [is restricted](Self::accept_from),
    /// and may be sent replies, unless the guest's sockets are [strict](Self::udp_strict).
    pub fn udp_bind(mut self, grant: &Grant) -> Self {
        self.policy().allow_udp_bind(grant);
        self
    }

    /// Restricts UDP sockets to sending to [granted](Self::udp_send) addresses. Otherwise a socket that
    /// was bound under a [grant](Self::udp_bind), or preopened, may also reply: an
    /// address that has sent to it within the last minute needs no grant, unless 512 others
    /// have sent since. After two minutes it does. Source addresses can be forged.
    pub fn udp_strict(mut self, is_strict: bool) -> Self {
        self.policy().set_udp_strict(is_strict);
        self
    }

    /// Grants sending datagrams to these addresses, and with it a port of the host's
    /// choice, where replies arrive. It is checked for each datagram. A name is as for
    /// [`connect`](Self::connect).
    pub fn udp_send(mut self, grant: &Grant) -> Self {
        self.policy().allow_udp_send(grant);
        self
    }

    /// Grants looking up these names.
    pub fn resolve(mut self, names: NamePattern) -> Self {
        self.policy().allow_resolve(names);
        self
    }

    /// Has names looked up by `look_up`, in place of the system's resolver. It returns the addresses of a name, and for
    /// how long they count, where it knows: from 5 seconds to an hour.
    /// It is called on a thread that may block, by several at once, and a call that waits for it ends with
    /// `ETIMEDOUT` after 30 seconds. A panic in it ends the guest.
    ///
    /// ```
    /// use wasock::{Errno, WasockCtx};
    ///
    /// let builder = WasockCtx::builder().resolver(|name| match name {
    ///     "db.internal" => Ok((vec!["10.0.0.7".parse().map_err(|_| Errno::EIO)?], None)),
    ///     _ => Err(Errno::ENOENT),
    /// });
    /// ```
    pub fn resolver(
        mut self,
        look_up: impl Fn(&str) -> Result<(Vec<IpAddr>, Option<Duration>), Errno> + Send + Sync + 'static,
    ) -> Self {
        self.settings.look_up = Some(Arc::new(look_up));
        self
    }

    /// Has the guest's port that `publish` names be at the host's, and grants exactly that:
    /// the guest needs no other grant to bind it, and may not bind the host's port by its own
    /// number. `sock_addr_local` shows the guest its own address; events and the operator's
    /// other rules have the host's.
    ///
    /// Of several for one port and family the first counts: a socket has one address.
    pub fn publish(mut self, publish: Publish) -> Self {
        self.policy().publish(publish);
        self
    }

    /// Do the grants so far allow this, with what is denied so far? A guest is asked again, at every
    /// use.
    ///
    /// ```
    /// use wasock::{Use, WasockCtx};
    ///
    /// let builder = WasockCtx::builder().connect(&"10.0.0.0/8:443".parse()?);
    /// assert!(builder.allows(Use::TcpConnect("10.0.0.1:443".parse()?)));
    /// let builder = builder.deny(&"10.0.0.1:*".parse()?);
    /// assert!(!builder.allows(Use::TcpConnect("10.0.0.1:443".parse()?)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allows(&self, wish: Use<'_>) -> bool {
        self.service.policy.check(wish).is_ok()
    }

    /// Refuses these addresses for every verb that takes addresses: to listen, to connect, to
    /// have a UDP socket and to send datagrams. A denial wins over each grant, whatever the
    /// order of the calls.
    ///
    /// Where a socket listens, a wildcard address is refused together with any address of
    /// its family. A port that the host chooses is asked for again once it is known.
    pub fn deny(mut self, addresses: &Grant) -> Self {
        self.policy().deny(None, addresses.clone());
        self
    }

    /// As [`deny`](Self::deny), for listening alone.
    pub fn deny_listen(mut self, addresses: &Grant) -> Self {
        self.policy().deny(Some(Verb::Listen), addresses.clone());
        self
    }

    /// As [`deny`](Self::deny), for connecting alone.
    pub fn deny_connect(mut self, addresses: &Grant) -> Self {
        self.policy().deny(Some(Verb::Connect), addresses.clone());
        self
    }

    /// As [`deny`](Self::deny), for UDP sockets and groups of multicast alone.
    pub fn deny_udp_bind(mut self, addresses: &Grant) -> Self {
        self.policy().deny(Some(Verb::UdpBind), addresses.clone());
        self
    }

    /// As [`deny`](Self::deny), for sending datagrams alone.
    pub fn deny_udp_send(mut self, addresses: &Grant) -> Self {
        self.policy().deny(Some(Verb::UdpSend), addresses.clone());
        self
    }

    /// Refuses connections and datagrams from these peers, also from those that
    /// [`accept_from`](Self::accept_from) lets in.
    pub fn deny_from(mut self, network: IpNet) -> Self {
        self.policy().deny_from(network);
        self
    }

    /// Refuses looking up these names.
    pub fn deny_resolve(mut self, names: NamePattern) -> Self {
        self.policy().deny_resolve(names);
        self
    }

    /// Keeps guests from a socket of the embedder's own at this address, whatever was granted: no
    /// guest connects or sends there, by any writing of the address (`0.0.0.0`, `::ffff:127.0.0.1`), or has a
    /// socket there. Over TCP and UDP.
    pub fn reserve_address(mut self, address: SocketAddr) -> Self {
        self.policy().reserve_address(address);
        self
    }

    /// Keeps guests from the Unix socket whose name this is the file of
    /// ([`metadata`](std::fs::metadata) of its path), by whatever name they find it: a link, another name that it
    /// gets later, a directory that has it.
    pub fn reserve_file(mut self, file: &Metadata) -> Self {
        self.policy().reserve_file((file.dev(), file.ino()));
        self
    }

    /// Keeps the last `count` descriptors that this process may have (`RLIMIT_NOFILE`) from its guests: what
    /// would be one of them fails with `ENFILE`, as where the process has none left. So the embedder goes on where a
    /// guest has taken all that it can. Holds for every guest of the process, as long as that lives; of several the
    /// largest.
    pub fn reserve_descriptors(self, count: u32) -> Self {
        HostRuntime::of_process().descriptors.reserve(count.into());
        self
    }

    /// Calls `check` for each [`Use`] that the grants allow and no denial refuses. If it returns
    /// `false` the guest gets `EACCES`, and a peer is rejected. It can only restrict: what is not
    /// granted is refused without calling it. Of several, all must agree.
    ///
    /// ```
    /// use wasock::WasockCtx;
    /// use wasock::Use;
    ///
    /// # fn build(module: wasmtime::Module) -> Result<(), Box<dyn std::error::Error>> {
    /// let ctx = WasockCtx::builder()
    ///     .connect(&"*:443".parse()?)
    ///     .check(|wish| match wish {
    ///         Use::TcpConnect(peer) => !peer.ip().is_loopback(),
    ///         _ => true,
    ///     })
    ///     .build_for(&module)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Blocking
    ///
    /// It is called on the thread that runs the guest, or that accepts for it, while a socket
    /// is locked: at each bind, listen and connect, for each incoming connection, for each datagram
    ///  to or from an address. It must neither block nor call this guest's host. A
    /// panic in it counts as `false`.
    pub fn check(mut self, check: impl Fn(Use<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.policy().add_check(check);
        self
    }
}
