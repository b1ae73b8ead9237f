//! `p3_names NAME...`: tells the addresses of each.

use std::pin::pin;

use component_programs_p3::*;
use futures::future::join_all;
use wasip3::sockets::ip_name_lookup::resolve_addresses;

program!(run);

async fn run() -> Result<(), ()> {
    let names: Vec<String> = wasip3::cli::environment::get_arguments().into_iter().skip(1).collect();
    // One that is given up.
    let _given_up = poll_once(pin!(resolve_addresses("localhost".to_owned())));
    // All at once.
    let found = join_all(names.iter().map(|name| resolve_addresses(name.clone()))).await;
    for (name, found) in names.iter().zip(found) {
        match found {
            Ok(addresses) => {
                let addresses: Vec<String> = addresses.into_iter().map(|it| ip(it).to_string()).collect();
                println!("{name}: {}", addresses.join(" "));
            }
            Err(code) => println!("{name}: {code:?}"),
        }
    }
    Ok(())
}
