//! What a request that came over an address of this machine must have.
//!
//! Any program of this machine can connect there, and any page in a browser can have it do so. A page
//! of another site is known by its `Origin`, one that has turned its own name into this address by its
//! `Host`, and a change needs the token, which a page can't read.

use std::net::SocketAddr;

use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use hyper::{HeaderMap, Method, StatusCode};

use super::Token;

/// "the default port for a scheme can be omitted" - RFC 9110, 4.2.3; that of `http`.
const DEFAULT_PORT: u16 = 80;

/// What a request that came over an address needs.
pub(super) struct Guard {
    /// Where it comes to.
    address: SocketAddr,
    token: Token,
}

/// Why a request is refused.
pub(super) type Refusal = (StatusCode, &'static str);

impl Guard {
    pub(super) fn new(address: SocketAddr, token: Token) -> Self {
        Self { address, token }
    }

    /// # Errors
    ///
    /// Why it is refused.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let is_own = |host: &[u8]| self.is_own_host(host);
        if !hosts.next().is_some_and(|host| is_own(host.as_bytes())) || hosts.next().is_some() {
            return Err((StatusCode::MISDIRECTED_REQUEST, "the Host is another one's"));
        }
        let is_foreign = |origin: &[u8]| !origin.strip_prefix(b"http://").is_some_and(is_own);
        if headers.get_all(ORIGIN).iter().any(|origin| is_foreign(origin.as_bytes())) {
            return Err((StatusCode::FORBIDDEN, "the Origin is another one's"));
        }
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        match given {
            Some(given) if self.token.is(given) => Ok(()),
            Some(_) => Err((StatusCode::FORBIDDEN, "the token is another one's")),
            None => Err((StatusCode::UNAUTHORIZED, "a change needs the token: Authorization: Bearer TOKEN")),
        }
    }

    fn is_own_host(&self, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(host) else { return false };
        let port = self.address.port();
        // The port of the scheme need not be named.
        let named = host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && !port.ends_with(']'));
        let with_port = format!("{}:{DEFAULT_PORT}", host.trim_end_matches(':'));
        let host = if named || port != DEFAULT_PORT { host } else { &with_port };
        if ["127.0.0.1", "[::1]", "localhost"].iter().any(|name| format!("{name}:{port}") == host) {
            return true;
        }
        // However the same address is written.
        host.parse::<SocketAddr>()
            .is_ok_and(|it| it.port() == port && it.ip().to_canonical() == self.address.ip().to_canonical())
    }
}

/// The token of an `Authorization`, whose scheme is "case-insensitive" - RFC 9110, 11.1
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn check(method: &Method, headers: &[(&'static str, &str)]) -> Result<u16, anyhow::Error> {
        check_at("127.0.0.1:9000", method, headers)
    }

    fn check_at(
        address: &str,
        method: &Method,
        headers: &[(&'static str, &str)],
    ) -> Result<u16, anyhow::Error> {
        let token = Token::new()?;
        let bearer = format!("Bearer {}", token.text());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = match *value {
                "TOKEN" => &bearer,
                "token" => &bearer.replace("Bearer", "bearer"),
                other => other,
            };
            map.append(*name, HeaderValue::from_str(value)?);
        }
        Ok(Guard::new(address.parse()?, token)
            .check(method, &map)
            .map_or_else(|(status, _)| status.as_u16(), |()| 200))
    }

    #[test]
    fn a_look_needs_the_own_host_and_no_other_origin() -> Result<(), anyhow::Error> {
        for host in ["127.0.0.1:9000", "[::1]:9000", "localhost:9000"] {
            assert_eq!(check(&Method::GET, &[("host", host)])?, 200);
        }
        for host in ["127.0.0.1", "127.0.0.1:9001", "example.com:9000", "localhost.example.com:9000", ""] {
            assert_eq!(check(&Method::GET, &[("host", host)])?, 421, "{host}");
        }
        assert_eq!(check(&Method::GET, &[])?, 421);
        let twice = [("host", "127.0.0.1:9000"), ("host", "example.com")];
        assert_eq!(check(&Method::GET, &twice)?, 421);
        for (origin, code) in [
            ("http://127.0.0.1:9000", 200),
            ("http://localhost:9000", 200),
            ("https://127.0.0.1:9000", 403),
            ("http://example.com", 403),
            ("null", 403),
        ] {
            assert_eq!(
                check(&Method::GET, &[("host", "127.0.0.1:9000"), ("origin", origin)])?,
                code,
                "{origin}"
            );
        }
        Ok(())
    }

    #[test]
    fn the_address_as_it_is_written_is_the_own_host() -> Result<(), anyhow::Error> {
        for (address, host, code) in [
            ("127.0.0.2:9000", "127.0.0.2:9000", 200),
            ("127.0.0.2:9000", "127.0.0.3:9000", 421),
            ("[::ffff:127.0.0.1]:9000", "[::ffff:127.0.0.1]:9000", 200),
            ("[::ffff:127.0.0.2]:9000", "[::ffff:7f00:2]:9000", 200),
            ("[::ffff:127.0.0.2]:9000", "127.0.0.2:9000", 200),
            ("127.0.0.2:9000", "127.0.0.2:9001", 421),
        ] {
            assert_eq!(check_at(address, &Method::GET, &[("host", host)])?, code, "{host} at {address}");
        }
        Ok(())
    }

    #[test]
    fn the_port_of_the_scheme_need_not_be_named() -> Result<(), anyhow::Error> {
        for host in ["127.0.0.1", "127.0.0.1:80", "localhost", "[::1]", "[::1]:80"] {
            let origin = format!("http://{host}");
            let headers = [("host", host), ("origin", origin.as_str())];
            assert_eq!(check_at("127.0.0.1:80", &Method::GET, &headers)?, 200, "{host}");
        }
        assert_eq!(check_at("[::ffff:127.0.0.2]:80", &Method::GET, &[("host", "127.0.0.2")])?, 200);
        for host in ["127.0.0.1:81", "example.com", "example.com:80", "127.0.0.2", "", "::1"] {
            assert_eq!(check_at("127.0.0.1:80", &Method::GET, &[("host", host)])?, 421, "{host}");
        }
        Ok(())
    }

    #[test]
    fn a_change_needs_the_token() -> Result<(), anyhow::Error> {
        let with = |value| check(&Method::POST, &[("host", "127.0.0.1:9000"), ("authorization", value)]);
        assert_eq!((with("TOKEN")?, with("token")?), (200, 200));
        assert_eq!((with("Bearer x")?, with("Basic x")?), (403, 401));
        assert_eq!(check(&Method::POST, &[("host", "127.0.0.1:9000")])?, 401);
        assert_eq!(check(&Method::DELETE, &[("host", "127.0.0.1:9000")])?, 401);
        assert_eq!(check(&Method::POST, &[("host", "x"), ("authorization", "TOKEN")])?, 421);
        Ok(())
    }
}
