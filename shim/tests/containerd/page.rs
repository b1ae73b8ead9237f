//! The commands of docs/kubernetes/on-kubernetes.md, as they are written there, up to the end of the first container.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::host::{SHIM, WAIT_TIMEOUT, missing};

/// What they are executed in: a machine of its own as far as mounts and the network are concerned. What they write
/// goes to a folder of the test's, in the project and in `/usr/local` too, and containerd is there as a service
/// of the system would be. The project keeps its path, and what is compiled is compiled as for the tests, so nothing is
/// built that is built already.
const AROUND: &str = r#"
set -eu
folder="$1" project="$2" program="$3"
for path in /usr/local "$project"; do
    own="$(mktemp -d -p "$folder")"
    mkdir "$own/upper" "$own/work"
    mount -t overlay overlay -o "lowerdir=$path,upperdir=$own/upper,workdir=$own/work" "$path"
done
for path in /run/containerd /var/lib/containerd; do
    mkdir -p "$path"
    mount -t tmpfs tmpfs "$path"
done
ip link set lo up
containerd --config "$folder/config.toml" 2> "$folder/log" &
containerd=$!
end() {
    for id in $(ctr task list --quiet); do ctr task delete --force "$id" || true; done
    kill "$containerd"
    wait "$containerd" || true
}
trap end EXIT
until ctr --connect-timeout 2s version > "$folder/version" 2>&1; do sleep 0.1; done
cd "$project"
cp "$program" server.wasm
cp shim/.cargo/tests.toml shim/.cargo/config.toml
sh -eux "$folder/commands.sh"
# Nothing of the container is left.
test -z "$(ctr task list --quiet)"
test -z "$(ctr container list --quiet)"
"#;

/// The shell commands of a page up to a heading, in their order.
fn commands(page: &str, heading: &str) -> Result<String> {
    let (before, _) =
        page.split_once(&format!("\n## {heading}\n")).with_context(|| format!("no {heading}"))?;
    let blocks = before.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    Ok(blocks.fold(String::new(), |all, block| all + block + "\n"))
}

#[test]
fn the_commands_of_the_page_work_as_they_are_written() -> Result<()> {
    if let Some(missing) = missing(&["umoci", "curl", "tar", "unshare"]) {
        eprintln!("passed over: {missing}");
        return Ok(());
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let page = fs::read_to_string(project.join("docs/kubernetes/on-kubernetes.md"))?;
    let commands = commands(&page, "The runtime class")?;
    for words in ["cargo install ", "umoci config ", "ctr image import ", "ctr run ", "curl "] {
        ensure!(commands.contains(words), "no {words:?} in\n{commands}");
    }
    let folder = tempfile::Builder::new().prefix("wasock-page-").tempdir()?;
    fs::write(folder.path().join("commands.sh"), &commands)?;
    fs::write(
        folder.path().join("config.toml"),
        "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
    )?;
    let target = Path::new(SHIM).ancestors().nth(2).context("no target folder")?;
    let output = Command::new("timeout")
        .arg((WAIT_TIMEOUT * 10).as_secs().to_string())
        .args(["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", AROUND, "sh"])
        .arg(folder.path())
        .arg(&project)
        .arg(guest_tests::HTTP_SERVER)
        .current_dir("/")
        // There is no network in there, and all that is needed was there when this test was built.
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_NET_OFFLINE", "true")
        .output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    ensure!(output.status.success(), "{}\n{out}\n{err}\n{log}", output.status);
    ensure!(out.contains("Hello from a wasm guest"), "no page:\n{out}\n{err}");
    Ok(())
}

#[test]
fn commands_are_the_blocks_before_a_heading() -> Result<()> {
    let page = "# A\n\n```sh\none\ntwo\n```\n\n```text\nthree\n```\n\n## B\n\n```sh\nfour\n```\n";
    ensure!(commands(page, "B")? == "one\ntwo\n");
    ensure!(commands(page, "C").is_err());
    Ok(())
}
