//! `p3_client ADDR BYTES`: sends so many bytes, says that there are no more, and tells how many came back.

use component_programs_p3::*;
use futures::join;

program!(run);

async fn run() -> Result<(), ()> {
    let bytes: usize = argument(2).expect("how many").parse().expect("a number");
    let socket = connect(address(1)).await.map_err(|code| println!("{}", errno(code)))?;
    println!("connected to {}", peer(&socket));
    let Connection { input, received, mut output, sent, .. } = Connection::of(socket);
    let data: Vec<u8> = (0..bytes).map(pattern).collect();
    let (sent, back) = join!(
        async {
            let rest = output.write_all(data).await;
            assert!(rest.is_empty(), "{} bytes are left", rest.len());
            drop(output);
            sent.await
        },
        input.collect()
    );
    sent.expect("all was sent");
    received.await.expect("all was received");
    assert!(back.iter().enumerate().all(|(at, byte)| *byte == pattern(at)), "other bytes");
    println!("{} came back", back.len());
    Ok(())
}

fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}
