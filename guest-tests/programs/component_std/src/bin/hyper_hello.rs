//! Greets over HTTP, by hyper on tokio.

use std::convert::Infallible;
use std::env;

use component_std as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(format!("hello {}", request.uri().path()))))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = env::args().nth(1).expect("an address");
    let listener = TcpListener::bind(address).await?;
    println!("at {}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(async move {
            let served = http1::Builder::new().serve_connection(TokioIo::new(connection), service_fn(hello));
            if let Err(error) = served.await {
                eprintln!("a connection failed: {error}");
            }
        });
    }
}
