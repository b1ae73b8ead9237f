//! What the guest may do, and what it may not.

use clap::Args;
use ipnet::IpNet;
use wasock::{Grant, NamePattern, ParseError, Publish};

#[derive(Clone, Debug, Args)]
pub(crate) struct GrantArgs {
    /// Let the guest listen here
    #[arg(long, value_name = "ADDR", value_parser = Grant::for_listening)]
    pub(crate) listen: Vec<Grant>,

    /// Have the guest's port GUEST at the port HOST of this machine, and let the guest listen
    /// there: 8080:80, 127.0.0.1:8080:80, 5353:53/udp. Without IP at the address that the guest
    /// binds. The guest sees its own address
    #[arg(short, long, value_name = "[IP:]HOST:GUEST")]
    pub(crate) publish: Vec<Publish>,

    /// Take connections and datagrams only from these peers [default: any peer, once listening
    /// is granted]
    #[arg(long, value_name = "CIDR", value_parser = parse_network)]
    pub(crate) accept_from: Vec<IpNet>,

    /// Let the guest connect there: an address, or NAME:PORT for the public addresses of a name, which it may look up, or
    /// NAME@NETWORK:PORT for those in a network
    #[arg(long, value_name = "ADDR", value_parser = Grant::for_connecting)]
    pub(crate) connect: Vec<Grant>,

    /// Let the guest have a UDP socket here, and join the group of multicast that is here. The
    /// socket may reply to recent senders
    #[arg(long, value_name = "ADDR", value_parser = parse_udp_bind)]
    pub(crate) udp_bind: Vec<Grant>,

    /// Let the guest send datagrams there; names as for --connect
    #[arg(long, value_name = "ADDR", value_parser = parse_udp_send)]
    pub(crate) udp_send: Vec<Grant>,

    /// Let UDP sockets send to the addresses of --udp-send only: no replies
    #[arg(long)]
    pub(crate) udp_strict: bool,

    /// Let the guest look this name up: NAME, *.DOMAIN or *
    #[arg(long, value_name = "NAME")]
    pub(crate) resolve: Vec<NamePattern>,

    /// Refuse this address to --listen, --connect, --udp-bind and --udp-send, whatever they grant
    #[arg(long, value_name = "ADDR")]
    pub(crate) deny: Vec<Grant>,

    /// Refuse it to --listen and --publish alone
    #[arg(long, value_name = "ADDR", value_parser = Grant::for_listening)]
    pub(crate) deny_listen: Vec<Grant>,

    /// Refuse it to --connect alone
    #[arg(long, value_name = "ADDR")]
    pub(crate) deny_connect: Vec<Grant>,

    /// Refuse it to --udp-bind and --publish alone
    #[arg(long, value_name = "ADDR", value_parser = parse_udp_bind)]
    pub(crate) deny_udp_bind: Vec<Grant>,

    /// Refuse it to --udp-send alone
    #[arg(long, value_name = "ADDR", value_parser = parse_deny_udp_send)]
    pub(crate) deny_udp_send: Vec<Grant>,

    /// Take no connections and datagrams from these peers
    #[arg(long, value_name = "CIDR", value_parser = parse_network)]
    pub(crate) deny_from: Vec<IpNet>,

    /// Refuse looking this name up
    #[arg(long, value_name = "NAME")]
    pub(crate) deny_resolve: Vec<NamePattern>,
}

fn parse_udp_bind(text: &str) -> Result<Grant, String> {
    without_paths(Grant::for_listening(text))
}

fn parse_udp_send(text: &str) -> Result<Grant, String> {
    without_paths(Grant::for_connecting(text))
}

fn parse_deny_udp_send(text: &str) -> Result<Grant, String> {
    without_paths(text.parse())
}

fn without_paths(grant: Result<Grant, ParseError>) -> Result<Grant, String> {
    let grant = grant.map_err(|error| error.to_string())?;
    if grant.is_of_paths() {
        return Err("datagrams over Unix sockets are granted by --listen and --connect".to_owned());
    }
    Ok(grant)
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    if text == "*" {
        return Err("that is every peer there is; leave the flag out, or name a network".to_owned());
    }
    text.parse()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| "expected an address or a network, as in 127.0.0.1 or 10.0.0.0/8".to_owned())
}
