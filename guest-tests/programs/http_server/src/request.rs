//! Requests: where a head ends, and what it asks for.

/// The longest head that is read.
pub const MAX_HEAD: usize = 8 * 1024;

/// What a request head asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// Whether the connection is kept open after the answer.
    pub keep_alive: bool,
    /// HTTP/1.0 keeps a connection only when both sides say so.
    pub is_http_1_0: bool,
    /// How many bytes of body follow.
    pub body: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    /// Ends a server that is [fragile](crate::connection::Connection::new).
    Trap,
    Other,
}

/// Why a request is not answered with the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    Request,
    HeadTooLong,
    /// A body of unknown length: this server reads none.
    TransferEncoding,
}

/// The first request of `bytes` and the length of its head; nothing while the
/// head is incomplete.
pub fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Bad> {
    let window = &bytes[..bytes.len().min(MAX_HEAD)];
    // Byte by byte: comparing slices is a call of the C library's to a guest.
    let Some(end) = window.windows(4).position(|four| matches!(four, [b'\r', b'\n', b'\r', b'\n'])) else {
        return if bytes.len() >= MAX_HEAD { Err(Bad::HeadTooLong) } else { Ok(None) };
    };
    let mut lines = window[..end].split(|&byte| byte == b'\n').map(|line| line.trim_ascii_end());
    let mut request = request_line(lines.next().unwrap_or_default())?;
    for line in lines {
        header(line, &mut request)?;
    }
    Ok(Some((request, end + 4)))
}

fn request_line(line: &[u8]) -> Result<Request, Bad> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Bad::Request);
    };
    let is_http_1_0 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(Bad::Request),
    };
    if target.is_empty() || method.is_empty() || !method.iter().all(u8::is_ascii_uppercase) {
        return Err(Bad::Request);
    }
    let method = match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"TRAP" => Method::Trap,
        _ => Method::Other,
    };
    Ok(Request { method, keep_alive: !is_http_1_0, is_http_1_0, body: 0 })
}

fn header(line: &[u8], request: &mut Request) -> Result<(), Bad> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Bad::Request)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
        return Err(Bad::Request);
    }
    if name.eq_ignore_ascii_case(b"connection") {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                request.keep_alive = false;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                request.keep_alive = true;
            }
        }
    } else if name.eq_ignore_ascii_case(b"content-length") {
        let digits = std::str::from_utf8(value).map_err(|_| Bad::Request)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Bad::Request);
        }
        request.body = digits.parse().map_err(|_| Bad::Request)?;
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        return Err(Bad::TransferEncoding);
    }
    Ok(())
}
