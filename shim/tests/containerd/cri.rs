//! The calls of a kubelet: a pod with its pause container, in it a container, its log, its end.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use guest_tests::HttpClient;
use serde_json::{Value, json};

use crate::host::{Host, RUNC, WASOCK, holds};
use crate::image::Image;
use crate::programs;

/// Where Debian has the plugins of networks (`containernetworking-plugins`).
const PLUGINS: &str = "/usr/lib/cni";

/// What holds the namespaces of a pod: a program that sleeps for ever.
const PAUSE: &str = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";

/// What this machine lacks for it.
fn missing() -> Option<&'static str> {
    let found = Command::new("python3").args(["-c", "import cri_api.v1.api_pb2_grpc"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        return Some(
            "no client of the kubelet's: `pip install container-runtime-interface-api` would bring it",
        );
    }
    let has_plugins = Path::new(PLUGINS).join("bridge").exists();
    (!has_plugins)
        .then_some("no plugins of networks: `apt-get install containernetworking-plugins` would bring them")
}

/// A program for this machine that needs no library.
fn pause(folder: &Path) -> Result<Vec<u8>> {
    let (source, program) = (folder.join("pause.c"), folder.join("pause"));
    fs::write(&source, PAUSE)?;
    let built = Command::new("cc").args(["-static", "-o"]).args([&program, &source]).status()?;
    ensure!(built.success(), "cc: {built}");
    Ok(fs::read(program)?)
}

/// The kubelet's side of a containerd, with a network of its own for the pods.
struct Kubelet {
    host: Host,
    bridge: String,
    _networks: tempfile::TempDir,
}

impl Kubelet {
    fn start() -> Result<Option<Self>> {
        if let Some(missing) = missing() {
            eprintln!("passed over: {missing}");
            return Ok(None);
        }
        let networks = tempfile::tempdir()?;
        let process = std::process::id();
        let bridge = format!("wtb{process}");
        let network = json!({
            "cniVersion": "0.4.0",
            "name": "test",
            "plugins": [{
                "type": "bridge",
                "bridge": bridge,
                "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": networks.path().join("leases"),
                    "ranges": [[{ "subnet": format!("198.19.{}.0/24", process % 256) }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            }],
        });
        fs::write(networks.path().join("10-test.conflist"), serde_json::to_vec(&network)?)?;
        let settings = format!(
            "[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"example.com/pause:v1\"\n  \
             disable_tcp_service = true\n  restrict_oom_score_adj = true\n  disable_apparmor = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\n  bin_dir = \"{PLUGINS}\"\n  conf_dir = \"{}\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"native\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"{RUNC}\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.wasock]\n  runtime_type = \"{WASOCK}\"\n",
            networks.path().display()
        );
        let Some(host) = Host::start_for_kubelets(&settings)? else { return Ok(None) };
        Ok(Some(Self { host, bridge, _networks: networks }))
    }

    fn import(&self, image: &Image, name: &str) -> Result<()> {
        let archive = self.host.folder().join("image.tar");
        fs::write(&archive, image.archive()?)?;
        let archive = archive.to_str().context("a path")?;
        // containerd unpacks it as the first container of it is made: `ctr` of 2.3 does not for another snapshotter than
        // its own.
        self.host.asked(&["image", "import", "--no-unpack", "--base-name", name, archive]).map(drop)
    }

    /// Makes one call.
    fn call(&self, method: &str, request: &Value) -> Result<Value> {
        let client: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containerd/kubelet.py");
        let mut command = Command::new("python3");
        command.arg(client).arg(self.host.address()).arg(method);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("no input")?.write_all(&serde_json::to_vec(request)?)?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let _gone = Command::new("ip").args(["link", "delete", &self.bridge]).stderr(Stdio::null()).status();
    }
}

/// The text at that place of an answer.
fn text(answer: &Value, place: &str) -> Result<String> {
    let text = answer.pointer(place).and_then(Value::as_str);
    Ok(text.with_context(|| format!("no {place} in {answer:#}"))?.to_owned())
}

#[test]
fn a_pod_runs_and_ends_as_the_kubelet_asks() -> Result<()> {
    let Some(kubelet) = Kubelet::start()? else { return Ok(()) };
    let host = &kubelet.host;
    let pause = Image::empty().file("pause", &pause(host.folder())?, 0o755).entrypoint(&["/pause"]);
    kubelet.import(&pause, "example.com/pause")?;
    kubelet.import(&programs::http_server()?, "example.com/web")?;
    let logs = host.folder().join("logs");
    fs::create_dir(&logs)?;
    let pod_config = pod(&logs);
    let pod = kubelet.call("RunPodSandbox", &json!({ "config": pod_config, "runtime_handler": "wasock" }))?;
    let pod = json!({ "pod_sandbox_id": text(&pod, "/pod_sandbox_id")? });
    let ip = text(&kubelet.call("PodSandboxStatus", &pod)?, "/status/network/ip")?;
    let mut request = pod.clone();
    if let Value::Object(map) = &mut request {
        map.extend([("config".to_owned(), container()), ("sandbox_config".to_owned(), pod_config)]);
    }
    let container = text(&kubelet.call("CreateContainer", &request)?, "/container_id")?;
    let container = json!({ "container_id": container });
    kubelet.call("StartContainer", &container)?;
    let log = logs.join("web.log");
    let logged = |text: &str| fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
    host.wait_until(|| Ok(logged("listening on")))?;
    let mut client = HttpClient::connect(format!("{ip}:8080").parse()?)?;
    ensure!(client.get("/")?.status == 200);
    let probes = format!("{ip}:9000").parse()?;
    host.wait_until(|| Ok(HttpClient::connect(probes)?.get("/readyz")?.status == 200))?;
    let exec =
        json!({ "container_id": container.pointer("/container_id"), "cmd": ["/bin/sh"], "timeout": 10 });
    ensure!(kubelet.call("ExecSync", &exec).is_err(), "exec succeeds");
    ends(&kubelet, &container, client)?;
    host.wait_until(|| Ok(logged("SIGTERM: the connections may end"))).context("the log has no drain")?;
    kubelet.call("RemoveContainer", &container)?;
    kubelet.call("StopPodSandbox", &pod)?;
    kubelet.call("RemovePodSandbox", &pod)?;
    host.wait_until_nothing_is_left()
}

/// The answer to the end that the kubelet asks for is a drain.
fn ends(kubelet: &Kubelet, container: &Value, client: HttpClient) -> Result<()> {
    drop(client);
    let mut request = container.clone();
    if let Value::Object(map) = &mut request {
        map.insert("timeout".to_owned(), json!("20"));
    }
    kubelet.call("StopContainer", &request)?;
    let status = kubelet.call("ContainerStatus", container)?;
    ensure!(text(&status, "/status/state")? == "CONTAINER_EXITED", "{status:#}");
    // What is 0 is not written.
    let code = status.pointer("/status/exit_code").and_then(Value::as_i64).unwrap_or_default();
    ensure!(code == 0, "{status:#}");
    Ok(())
}

fn pod(logs: &Path) -> Value {
    let id = format!("wasock-test-{}", std::process::id());
    json!({
        "metadata": { "name": "web", "namespace": "default", "uid": id },
        "log_directory": logs,
        "linux": {},
    })
}

/// As docs/kubernetes/deployment.yaml has it.
fn container() -> Value {
    let policy = "listen = \":8080\"\nprobes = \":9000\"\ndrain-timeout = \"10s\"\n";
    json!({
        "metadata": { "name": "web" },
        "image": { "image": "example.com/web:v1" },
        "args": ["0.0.0.0:8080"],
        "log_path": "web.log",
        "envs": [{ "key": "WASOCK_CONFIG", "value": policy }],
        "linux": {
            "resources": { "memory_limit_in_bytes": 256 << 20 },
            "security_context": {
                "run_as_user": { "value": 65532 },
                "readonly_rootfs": true,
                "no_new_privs": true,
                "capabilities": { "drop_capabilities": ["ALL"] },
            },
        },
    })
}

/// The runtime has the name here that the page gives it.
#[test]
fn the_runtime_is_named_as_on_the_page() -> Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes/on-kubernetes.md");
    holds(&fs::read_to_string(page)?, &format!("containerd.runtimes.wasock]\n  runtime_type = \"{WASOCK}\""))
}
