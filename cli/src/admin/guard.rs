//! What a request that came over an address of this machine must have.
//!
//! Any program of this machine can connect there, and any page in a browser can have it do so. A page
//! of another site is known by its `Origin`, one that has turned its own name into this address by its
//! `Host`, and a change needs the token, which a page can't read.

use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use hyper::{HeaderMap, Method, StatusCode};

use super::Token;

/// What a request that came over an address needs.
pub(super) struct Guard {
    port: u16,
    token: Token,
}

/// Why a request is refused.
pub(super) type Refusal = (StatusCode, &'static str);

impl Guard {
    pub(super) fn new(port: u16, token: Token) -> Self {
        Self { port, token }
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
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match given {
            Some(given) if self.token.is(given) => Ok(()),
            Some(_) => Err((StatusCode::FORBIDDEN, "the token is another one's")),
            None => Err((StatusCode::UNAUTHORIZED, "a change needs the token: Authorization: Bearer TOKEN")),
        }
    }

    fn is_own_host(&self, host: &[u8]) -> bool {
        ["127.0.0.1", "[::1]", "localhost"]
            .iter()
            .any(|name| format!("{name}:{}", self.port).as_bytes() == host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn check(method: &Method, headers: &[(&'static str, &str)]) -> Result<u16, anyhow::Error> {
        let token = Token::new()?;
        let bearer = format!("Bearer {}", token.text());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = if *value == "TOKEN" { &bearer } else { *value };
            map.append(*name, HeaderValue::from_str(value)?);
        }
        Ok(Guard::new(9000, token).check(method, &map).map_or_else(|(status, _)| status.as_u16(), |()| 200))
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
    fn a_change_needs_the_token() -> Result<(), anyhow::Error> {
        let with = |value| check(&Method::POST, &[("host", "127.0.0.1:9000"), ("authorization", value)]);
        assert_eq!(with("TOKEN")?, 200);
        assert_eq!((with("Bearer x")?, with("Basic x")?), (403, 401));
        assert_eq!(check(&Method::POST, &[("host", "127.0.0.1:9000")])?, 401);
        assert_eq!(check(&Method::DELETE, &[("host", "127.0.0.1:9000")])?, 401);
        assert_eq!(check(&Method::POST, &[("host", "x"), ("authorization", "TOKEN")])?, 421);
        Ok(())
    }
}
