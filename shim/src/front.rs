//! What containerd asks a shim: answered by the container's crate, but for what that does not answer.
//!
//! The crate's own service listens at the descriptor that it expects. In front of it is this one, which has the socket
//! that containerd knows, and passes on what it is asked. What it adds:
//!
//! - The processes of a container. Without an answer containerd 2 takes a container for one that was never started, once it
//!   has itself been started anew, and gives it up.
//! - The process of a container that is created, and not started yet, to which Docker gives a network.
//! - The limit of memory, and the processor time, where control groups have no file by the name that the crate expects.
//! - A sentence for those who would execute something in there.
//!
//! Key types: [`Front`]. Neighbours: [`crate::groups`], [`crate::hooks`].

use std::fs;
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
    CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest,
    PidsRequest, PidsResponse, ProcessInfo, ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest,
    StartResponse, StateRequest, StateResponse, StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest,
    WaitResponse,
};
use containerd_shim_protos::cgroups::metrics::Metrics;
use containerd_shim_protos::protobuf::Message as _;
use containerd_shim_protos::ttrpc::{self, Code, Server, TtrpcContext, context, get_status};
use containerd_shim_protos::{Client, Task, TaskClient, create_task};
use rustix::net::sockopt::socket_acceptconn;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use zygote::Zygote;

use crate::groups::Groups;
use crate::{hooks, leftovers};

/// The descriptor at which a shim is passed its socket, and at which the crate listens.
const SOCKET: i32 = 3;

/// Where the crate's own service listens, in the working directory, until it is connected to.
const INNER: &str = "inner.sock";

/// What containerd's orders are that are no service.
const ORDERS: [&str; 2] = ["start", "delete"];

/// Puts this service in front of the crate's, if this process is to be one. There is no other thread yet. Where the
/// kernel cannot (before 5.6), the crate's is the one that containerd asks.
///
/// # Errors
///
/// What prevents it: this process can't answer containerd.
pub(crate) fn open(arguments: &[String]) -> Result<()> {
    let Some(namespace) = namespace_of(arguments) else { return Ok(()) };
    // The process that the crate forks all others from: while there is only one thread, and one descriptor of the socket.
    Zygote::init();
    let Some(socket) = socket() else { return Ok(()) };
    // What is opened next has the lowest number that is free.
    nix::unistd::close(SOCKET)?;
    let inner = UnixListener::bind(INNER)?.into_raw_fd();
    ensure!(inner == SOCKET, "the service listens at descriptor {inner}");
    let client = Client::connect(&format!("unix://./{INNER}"));
    // It has one client.
    fs::remove_file(INNER)?;
    let front = Front { inner: TaskClient::new(client?), namespace };
    let service = create_task(Arc::new(Box::new(front)));
    let server = Server::new().add_listener(socket.into_raw_fd())?.register_service(service);
    // Threads of each connection that wait for requests: as few as the crate takes, for each has memory of its own. One
    // that waits for the end of a container is not counted, and others are made in its place.
    let mut server = server.set_thread_count_min(1).set_thread_count_default(2).set_thread_count_max(3);
    server.start()?;
    // It goes on until this process ends.
    std::mem::forget(server);
    Ok(())
}

/// The socket that this process was passed, once more.
fn socket() -> Option<OwnedFd> {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    let socket = pidfd_getfd(this, SOCKET, PidfdGetfdFlags::empty()).ok()?;
    socket_acceptconn(&socket).is_ok_and(|listens| listens).then_some(socket)
}

/// The namespace of the containers that this process is to serve; `None` if it has another order.
fn namespace_of(arguments: &[String]) -> Option<String> {
    if arguments.last().is_none_or(|order| ORDERS.contains(&order.as_str())) {
        return None;
    }
    let place = arguments.iter().position(|argument| argument.trim_start_matches('-') == "namespace")?;
    arguments.get(place + 1).cloned()
}

/// The service.
struct Front {
    inner: TaskClient,
    namespace: String,
}

/// With the time that who asks leaves for an answer.
fn within(context: &TtrpcContext) -> context::Context {
    context::with_timeout(context.timeout_nano)
}

/// Methods that pass on what they are asked.
macro_rules! passed_on {
    ($($method:ident: $request:ident -> $answer:ident,)*) => {$(
        fn $method(&self, context: &TtrpcContext, request: $request) -> ttrpc::Result<$answer> {
            self.inner.$method(within(context), &request)
        }
    )*};
}

impl Task for Front {
    passed_on! {
        start: StartRequest -> StartResponse,
        delete: DeleteRequest -> DeleteResponse,
        pause: PauseRequest -> Empty,
        resume: ResumeRequest -> Empty,
        checkpoint: CheckpointTaskRequest -> Empty,
        kill: KillRequest -> Empty,
        resize_pty: ResizePtyRequest -> Empty,
        close_io: CloseIORequest -> Empty,
        update: UpdateTaskRequest -> Empty,
        wait: WaitRequest -> WaitResponse,
        shutdown: ShutdownRequest -> Empty,
    }

    fn create(
        &self,
        context: &TtrpcContext,
        request: CreateTaskRequest,
    ) -> ttrpc::Result<CreateTaskResponse> {
        hooks::mend(Path::new(&request.bundle));
        let mut answer = self.inner.create(within(context), &request)?;
        answer.pid = self.process_of(&request.id).unwrap_or(answer.pid);
        Ok(answer)
    }

    fn connect(&self, context: &TtrpcContext, request: ConnectRequest) -> ttrpc::Result<ConnectResponse> {
        let mut answer = self.inner.connect(within(context), &request)?;
        if answer.task_pid == 0 {
            answer.task_pid = self.process_of(&request.id).unwrap_or_default();
        }
        Ok(answer)
    }

    fn state(&self, context: &TtrpcContext, request: StateRequest) -> ttrpc::Result<StateResponse> {
        let mut answer = self.inner.state(within(context), &request)?;
        if answer.pid == 0 {
            answer.pid = self.process_of(&request.id).unwrap_or_default();
        }
        Ok(answer)
    }

    /// The first one is the container's, be it that it has ended: until it is deleted there is an exit code to ask for.
    fn pids(&self, context: &TtrpcContext, request: PidsRequest) -> ttrpc::Result<PidsResponse> {
        let connect = ConnectRequest { id: request.id, ..ConnectRequest::default() };
        let first = self.connect(context, connect.clone())?.task_pid;
        let others = Groups::of(first, &connect.id).processes().into_iter().filter(|pid| *pid != first);
        let processes = std::iter::once(first).chain(others);
        let processes = processes.map(|pid| ProcessInfo { pid, ..ProcessInfo::default() }).collect();
        Ok(PidsResponse { processes, ..PidsResponse::default() })
    }

    fn stats(&self, context: &TtrpcContext, request: StatsRequest) -> ttrpc::Result<StatsResponse> {
        let mut answer = self.inner.stats(within(context), &request)?;
        let Some(pid) = self.process_of(&request.id) else { return Ok(answer) };
        if let Some(any) = answer.stats.as_mut()
            && let Ok(mut metrics) = Metrics::parse_from_bytes(&any.value)
        {
            Groups::of(pid, &request.id).complete(&mut metrics);
            any.value = metrics.write_to_bytes().unwrap_or_else(|_| std::mem::take(&mut any.value));
        }
        Ok(answer)
    }

    fn exec(&self, _: &TtrpcContext, _: ExecProcessRequest) -> ttrpc::Result<Empty> {
        let sentence = "exec is not supported: there is no shell in there, and nothing that could run beside the program";
        Err(ttrpc::Error::RpcStatus(get_status(Code::UNIMPLEMENTED, sentence)))
    }
}

impl Front {
    /// The process of a container, from the moment on that it is created.
    fn process_of(&self, id: &str) -> Option<u32> {
        leftovers::process_of(&self.namespace, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_service_is_put_behind_this_one() {
        let of = |text: &str| namespace_of(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("shim -namespace k8s.io -id web -address /a.sock").as_deref(), Some("k8s.io"));
        assert_eq!(of("shim -namespace k8s.io -id web -address /a.sock -debug").as_deref(), Some("k8s.io"));
        for other in
            ["shim -namespace k8s.io -id web start", "shim -namespace k8s.io -id web delete", "shim -v"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
