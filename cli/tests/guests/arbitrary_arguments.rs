//! Every function that the host has, with arbitrary arguments: the host's table lists them,
//! so none is missed.
//!
//! The calls are made in this process, where a panic is a failed test and the
//! memory that the host takes is this process's.

use super::hostile::peak_memory_kib;
use anyhow::{Context, Result, anyhow, ensure};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use wasmtime::{Engine, Instance, InstancePre, Linker, Memory, Module, Store, Val};
use wasock::internals::Trap;
use wasock::internals::{ArgumentKind, CoreType, FUNCTIONS, Function, OTHER_TYPES};
use wasock::{Access, Exit, WasockCtx, add_to_linker};
use wiggle::GuestError;

const PAGES: u64 = 64;
const END: u64 = PAGES << 16;

/// Good values lie here, at least 256 bytes for each parameter.
const SCRATCH: u64 = 0x1000;
const NAME: u64 = 0x800;
const IOVS: u64 = 0x900;
const ADDRESS: u64 = 0xb00;
/// A pointer to a list of addresses, and the list.
const LIST: u64 = 0xc00;

/// How long a call may wait before it is given up: some do, for good reasons.
const WAIT: Duration = Duration::from_millis(2);

/// A context is used for so many calls; what they close and open adds up.
const CALLS_PER_GUEST: usize = 32;

/// Combinations of arbitrary arguments, for each function.
const COMBINATIONS: usize = 100;

const LIMIT_KIB: u64 = 1024 * 1024;

/// WasmEdge with the other forms of a name that has several, by how many parameters they have: a linker has one
/// for each name.
const OTHER_FORMS: [(&str, usize); 2] = [("wasmedge, with 6", 6), ("wasmedge, with 8", 8)];

fn other_forms(dialect: Option<&str>) -> impl Iterator<Item = &'static Function> {
    let form = OTHER_FORMS.iter().find(|(name, _)| Some(*name) == dialect).map(|(_, params)| *params);
    let is_it = move |function: &&Function| {
        function.added_by == Some("wasmedge") && Some(function.params.len()) == form
    };
    OTHER_TYPES.iter().filter(is_it)
}

/// Every function that `dialect` adds, or all those that none adds.
fn functions(dialect: Option<&str>) -> impl Iterator<Item = &'static Function> {
    let is_form = other_forms(dialect).next().is_some();
    let added_by = if is_form { Some("wasmedge") } else { dialect };
    let replaced: Vec<&str> = other_forms(dialect).map(|function| function.name).collect();
    let is_it =
        move |function: &&Function| function.added_by == added_by && !replaced.contains(&function.name);
    FUNCTIONS.iter().filter(is_it).chain(other_forms(dialect))
}

/// What a guest of `dialect` needs besides, to open things.
fn helpers(dialect: Option<&str>) -> impl Iterator<Item = &'static Function> {
    let names: &[&str] = match dialect {
        None => &[],
        // A linker has one type for a name.
        Some(name) if name.starts_with("wasmedge") => &["path_open", "fd_fdstat_set_flags"],
        Some(_) => &["path_open", "fd_fdstat_set_flags", "sock_accept"],
    };
    names.iter().filter_map(|name| Function::find("wasi_snapshot_preview1", name))
}

/// Every function stands in here as an export that calls the import.
fn module(engine: &Engine, dialect: Option<&str>) -> Result<Module> {
    let (mut imports, mut exports) = (String::new(), String::new());
    for (index, function) in functions(dialect).chain(helpers(dialect)).enumerate() {
        let params: String = function.params.iter().map(|ty| format!("{} ", ty.name())).collect();
        let result = function.result.map_or(String::new(), |ty| format!("(result {})", ty.name()));
        let ty = format!("(param {params}) {result}");
        let (module, name) = (function.module, function.name);
        writeln!(imports, r#"(import "{module}" "{name}" (func $f{index} {ty}))"#)?;
        let args: String = (0..function.params.len()).map(|at| format!("(local.get {at}) ")).collect();
        writeln!(exports, r#"(func (export "{module}.{name}") {ty} (call $f{index} {args}))"#)?;
    }
    let text = format!(r#"(module {imports} (memory (export "memory") {PAGES}) {exports})"#);
    // Wasmtime reads text only where some package asks it to.
    Module::new(engine, wat::parse_str(text)?).map_err(|error| anyhow!("{error:?}"))
}

struct Guest {
    store: Store<WasockCtx>,
    instance: Instance,
    memory: Memory,
    dialect: Option<&'static str>,
    /// Open descriptors of every kind.
    fds: Vec<u64>,
}

enum Answer {
    Errno(i32),
    Nothing,
    Trap,
    Waits,
}

impl Guest {
    async fn start(
        engine: &Engine,
        program: &InstancePre<WasockCtx>,
        dialect: Option<&'static str>,
        folder: &Path,
    ) -> Result<Self> {
        let loopback = "127.0.0.1:*".parse()?;
        let ctx = WasockCtx::builder()
            .listen(&loopback)
            .connect(&loopback)
            .arg("guest")
            .blocks_on_files(true)
            .preopened_dir(folder, "/", Access::ReadWrite)?
            .build_for_any_module()?;
        let mut store = Store::new(engine, ctx);
        store.set_epoch_deadline(1);
        let instance = program.instantiate_async(&mut store).await.map_err(|error| anyhow!("{error:?}"))?;
        let memory = instance.get_memory(&mut store, "memory").context("no memory")?;
        let mut guest = Self { store, instance, memory, dialect, fds: vec![0, 1, 2, 3] };
        guest.write(NAME, b"name")?;
        guest.write(IOVS, &[0, 0xa, 0, 0, 16, 0, 0, 0])?;
        match dialect {
            Some(name) if name.starts_with("wasmedge") => guest.open_all_of_wasmedge().await?,
            Some(_) => guest.open_all_of_wamr().await?,
            None => {
                guest.write(ADDRESS, &[1, 0, 0, 0, 127, 0, 0, 1])?;
                guest.open_all().await?;
            }
        }
        Ok(guest)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.memory.write(&mut self.store, usize::try_from(at)?, bytes)?)
    }

    async fn must(&mut self, name: &str, args: &[u64]) -> Result<()> {
        let function = match self.dialect {
            None => Function::find("wasix_32v1", name),
            dialect => functions(dialect).chain(helpers(dialect)).find(|function| function.name == name),
        };
        let function = function.context("no such function")?;
        match self.call(function, args).await? {
            Answer::Errno(0) => Ok(()),
            Answer::Errno(errno) => Err(anyhow!("{name} answered {errno}")),
            _ => Err(anyhow!("{name} did not answer")),
        }
    }

    /// Calls what writes a descriptor behind the arguments, and keeps that.
    async fn open(&mut self, name: &str, args: &[u64], more: &[u64]) -> Result<u64> {
        self.must(name, &[args, &[SCRATCH], more].concat()).await?;
        let mut fd = [0; 4];
        self.memory.read(&self.store, usize::try_from(SCRATCH)?, &mut fd)?;
        let fd = u64::from(u32::from_le_bytes(fd));
        self.fds.push(fd);
        Ok(fd)
    }

    /// A file, a fresh socket, a datagram socket, a listener and a connection; a pipe, one
    /// of a pair, a counter, and an epoll that watches it.
    async fn open_all(&mut self) -> Result<()> {
        let rights = (1 << 30) - 1;
        self.open("path_open", &[3, 0, NAME, 4, 1, rights, rights, 0], &[]).await?;
        self.open("sock_open", &[1, 1, 6], &[]).await?;
        self.open("sock_open", &[1, 2, 17], &[]).await?;
        let listener = self.open("sock_open", &[1, 1, 6], &[]).await?;
        self.must("sock_bind", &[listener, ADDRESS]).await?;
        self.must("sock_listen", &[listener, 4]).await?;
        self.must("sock_addr_local", &[listener, SCRATCH]).await?;
        let client = self.open_client().await?;
        self.open("sock_accept_v2", &[listener, 0], &[ADDRESS + 0x80]).await?;
        let reader = self.open("fd_pipe", &[], &[SCRATCH + 4]).await?;
        let pair = self.open("sock_pair", &[3, 1, 0], &[SCRATCH + 4]).await?;
        let counter = self.open("fd_event", &[1, 4], &[]).await?;
        let epoll = self.open("epoll_create", &[], &[]).await?;
        self.must("epoll_ctl", &[epoll, 1, counter, SCRATCH + 0x40]).await?;
        for fd in [listener, client, reader, pair] {
            self.must("fd_fdstat_set_flags", &[fd, 4]).await?;
        }
        Ok(())
    }

    /// The same in WasmEdge, as far as it has such things: an address has no port, and lies elsewhere.
    async fn open_all_of_wasmedge(&mut self) -> Result<()> {
        let word = |number: u64| number.to_le_bytes().first_chunk::<4>().copied().unwrap_or_default();
        self.write(ADDRESS, &[word(ADDRESS + 8), word(4), [127, 0, 0, 1]].concat())?;
        // A list of one entry: its address, the bytes of that, and no next one.
        self.write(LIST, &[word(LIST + 8), [0; 4]].concat())?;
        let entry = [[0; 4], [0; 4], [0; 4], word(LIST + 40), word(LIST + 96), word(16), [0; 4]];
        self.write(LIST + 8, &entry.concat())?;
        self.write(LIST + 40, &[[0; 4], word(26), word(LIST + 64)].concat())?;
        let rights = (1 << 30) - 1;
        self.open("path_open", &[3, 0, NAME, 4, 1, rights, rights, 0], &[]).await?;
        self.open("sock_open", &[1, 2], &[]).await?;
        self.open("sock_open", &[1, 1], &[]).await?;
        self.open("sock_open", &[3, 2], &[]).await?;
        let listener = self.open("sock_open", &[1, 2], &[]).await?;
        self.must("sock_bind", &[listener, ADDRESS, 0]).await?;
        self.must("sock_listen", &[listener, 4]).await?;
        self.must("sock_getlocaladdr", &[listener, ADDRESS, SCRATCH + 8, SCRATCH + 12]).await?;
        let mut port = [0; 4];
        self.memory.read(&self.store, usize::try_from(SCRATCH + 12)?, &mut port)?;
        let client = self.open("sock_open", &[1, 2], &[]).await?;
        self.must("sock_connect", &[client, ADDRESS, u32::from_le_bytes(port).into()]).await?;
        self.open("sock_accept", &[listener], &[]).await?;
        for fd in [listener, client] {
            self.must("fd_fdstat_set_flags", &[fd, 4]).await?;
        }
        Ok(())
    }

    /// The same in WAMR: the port comes behind the address.
    async fn open_all_of_wamr(&mut self) -> Result<()> {
        self.write(ADDRESS, &[0, 0, 0, 0, 127, 0, 0, 1, 0, 0])?;
        let rights = (1 << 30) - 1;
        self.open("path_open", &[3, 0, NAME, 4, 1, rights, rights, 0], &[]).await?;
        self.open("sock_open", &[0, 0, 1], &[]).await?;
        self.open("sock_open", &[0, 0, 0], &[]).await?;
        self.open("sock_open", &[0, 1, 0], &[]).await?;
        let listener = self.open("sock_open", &[0, 0, 1], &[]).await?;
        self.must("sock_bind", &[listener, ADDRESS]).await?;
        self.must("sock_listen", &[listener, 4]).await?;
        self.must("sock_addr_local", &[listener, ADDRESS]).await?;
        let client = self.open("sock_open", &[0, 0, 1], &[]).await?;
        self.must("sock_connect", &[client, ADDRESS]).await?;
        self.open("sock_accept", &[listener, 0], &[]).await?;
        for fd in [listener, client] {
            self.must("fd_fdstat_set_flags", &[fd, 4]).await?;
        }
        Ok(())
    }

    async fn open_client(&mut self) -> Result<u64> {
        let mut addr = [0; 8];
        self.memory.read(&self.store, usize::try_from(SCRATCH)?, &mut addr)?;
        let client = self.open("sock_open", &[1, 1, 6], &[]).await?;
        self.write(SCRATCH, &addr)?;
        self.must("sock_connect", &[client, SCRATCH]).await?;
        Ok(client)
    }

    async fn call(&mut self, function: &Function, args: &[u64]) -> Result<Answer> {
        let name = format!("{}.{}", function.module, function.name);
        let func = self.instance.get_func(&mut self.store, &name).context("no such export")?;
        let value = |(ty, arg): (&CoreType, &u64)| match ty {
            CoreType::I32 => {
                Val::I32(arg.to_le_bytes().first_chunk().map_or(0, |low| i32::from_le_bytes(*low)))
            }
            CoreType::I64 => Val::I64(i64::from_le_bytes(arg.to_le_bytes())),
            CoreType::F64 => Val::F64(*arg),
        };
        let args: Vec<Val> = function.params.iter().zip(args).map(value).collect();
        let mut results = vec![Val::I32(0); usize::from(function.result.is_some())];
        let call = func.call_async(&mut self.store, &args, &mut results);
        match tokio::time::timeout(WAIT, call).await {
            Err(_) => Ok(Answer::Waits),
            Ok(Ok(())) => Ok(results.first().and_then(Val::i32).map_or(Answer::Nothing, Answer::Errno)),
            Ok(Err(error)) if error.is::<Trap>() || error.is::<GuestError>() => Ok(Answer::Trap),
            Ok(Err(error)) if error.is::<Exit>() => Ok(Answer::Trap),
            Ok(Err(error)) => Err(anyhow!("{name}: neither an answer nor a trap of ours: {error:?}")),
        }
    }
}

/// One parameter: a good value, and arbitrary ones.
struct Place {
    good: u64,
    arbitrary: Vec<u64>,
}

const POINTERS: [u64; 9] = [0, 1, SCRATCH + 1, END - 1, END - 8, END, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff];
const LENGTHS: [u64; 10] =
    [0, 1, 1025, 0x1_0000, 0x1_0001, END, 0x0fff_ffff, 0x1000_0000, 0x8000_0000, 0xffff_ffff];
const WORDS: [u64; 13] =
    [0, 1, 2, 3, 4, 7, 0xff, 0x100, 0x1_0000, 0x1_0001, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
/// Nothing between a mebibyte and a pebibyte: a disk would be asked for it.
const LONGS: [u64; 8] = [0, 1, 0xffff, 1 << 50, 1 << 62, i64::MAX.cast_unsigned(), 1 << 63, u64::MAX];
const NO_FDS: [u64; 5] = [900, 1024, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

fn places(function: &Function, fds: &[u64]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for argument in function.arguments {
        let pointer = |good| Place { good, arbitrary: POINTERS.to_vec() };
        let length = |good| Place { good, arbitrary: LENGTHS.to_vec() };
        let scratch = SCRATCH + 0x100 * places.len() as u64;
        match argument.kind {
            _ if argument.name == "res" => places.push(pointer(LIST)),
            _ if argument.name == "hints" => places.push(pointer(0)),
            // A pointer to a length; this one is a length itself.
            _ if argument.name == "value_len" => places.push(pointer(4)),
            ArgumentKind::Fd => places.push(Place { good: 3, arbitrary: [fds, &NO_FDS].concat() }),
            ArgumentKind::Number | ArgumentKind::Signed | ArgumentKind::Flags => {
                let is_long = function.params.get(places.len()) == Some(&CoreType::I64);
                // Some numbers are counts of what a pointer before them points to.
                let arbitrary = if is_long { LONGS.to_vec() } else { [&WORDS[..], &LENGTHS].concat() };
                places.push(Place { good: 1, arbitrary });
            }
            ArgumentKind::Float => places.push(Place { good: 0, arbitrary: LONGS.to_vec() }),
            ArgumentKind::Text => places.extend([pointer(NAME), length(4)]),
            ArgumentKind::Iovs => places.extend([pointer(IOVS), length(1)]),
            ArgumentKind::Bytes => places.extend([pointer(scratch), length(64)]),
            ArgumentKind::AddressIn
            | ArgumentKind::SplitAddressIn
            | ArgumentKind::SplitAddressOut
            | ArgumentKind::PortLastIn => places.push(pointer(ADDRESS)),
            ArgumentKind::TextToNul => places.push(pointer(NAME)),
            _ => places.push(pointer(scratch)),
        }
    }
    places
}

/// One arbitrary argument among good ones, for every descriptor there is; then many.
fn cases(function: &Function, fds: &[u64]) -> Vec<Vec<u64>> {
    let places = places(function, fds);
    let good: Vec<u64> = places.iter().map(|place| place.good).collect();
    let takes_fd = function.arguments.first().is_some_and(|argument| argument.kind == ArgumentKind::Fd);
    let mut cases = vec![good.clone()];
    for fd in if takes_fd { fds } else { &[0] } {
        for (at, place) in places.iter().enumerate() {
            for arbitrary in &place.arbitrary {
                let with_fd = if takes_fd { with(&good, 0, *fd) } else { good.clone() };
                cases.push(with(&with_fd, at, *arbitrary));
            }
        }
    }
    // The same ones every time: what fails can be found again.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..COMBINATIONS {
        let mut any = |choices: &[u64]| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = usize::try_from(state >> 33).unwrap_or(0) % choices.len();
            choices.get(place).copied().unwrap_or(0)
        };
        cases.push(places.iter().map(|place| any(&place.arbitrary)).collect());
    }
    cases
}

fn with(case: &[u64], at: usize, value: u64) -> Vec<u64> {
    case.iter().enumerate().map(|(place, &old)| if place == at { value } else { old }).collect()
}

#[test]
fn every_function_of_the_table_survives_arbitrary_arguments() -> Result<()> {
    all_survive(None)
}

#[test]
fn every_function_of_wasmedge_survives_arbitrary_arguments() -> Result<()> {
    all_survive(Some("wasmedge"))
}

#[test]
fn every_other_form_of_wasmedge_survives_arbitrary_arguments() -> Result<()> {
    for (dialect, _) in OTHER_FORMS {
        let forms: Vec<_> = other_forms(Some(dialect)).collect();
        ensure!(!forms.is_empty(), "no form {dialect}");
        these_survive(Some(dialect), forms.into_iter())?;
    }
    Ok(())
}

#[test]
fn every_function_of_wamr_survives_arbitrary_arguments() -> Result<()> {
    all_survive(Some("wamr"))
}

fn all_survive(dialect: Option<&'static str>) -> Result<()> {
    these_survive(dialect, functions(dialect))
}

fn these_survive(
    dialect: Option<&'static str>,
    functions: impl Iterator<Item = &'static Function>,
) -> Result<()> {
    let engine = Engine::new(&wasock::Guest::engine_config()).map_err(|error| anyhow!("{error:?}"))?;
    let mut linker = Linker::new(&engine);
    let module = module(&engine, dialect)?;
    add_to_linker(&mut linker, &module, |ctx: &mut WasockCtx| ctx).map_err(|error| anyhow!("{error:?}"))?;
    let program = linker.instantiate_pre(&module).map_err(|error| anyhow!("{error:?}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for function in functions {
            survives(function, &engine, &program, dialect).await?;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    if let Some(peak) = peak_memory_kib(std::process::id()) {
        ensure!(peak < LIMIT_KIB, "the host took {peak} KiB");
    }
    Ok(())
}

async fn survives(
    function: &Function,
    engine: &Engine,
    program: &InstancePre<WasockCtx>,
    dialect: Option<&'static str>,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut guest = Guest::start(engine, program, dialect, folder.path()).await?;
    let mut calls = 0;
    for case in cases(function, &guest.fds) {
        let answer = guest.call(function, &case).await?;
        if let Answer::Errno(errno) = answer {
            // The one that returns a thread's number has negative ones.
            let errno = if function.module == "wasi" { -errno } else { errno };
            // One call has numbers of its own.
            let last = if function.name == "sock_getaddrinfo" { 87 } else { 76 };
            let is_known = (0..=last).contains(&errno);
            ensure!(is_known, "{}{case:x?} answered {errno}", function.name);
        }
        calls += 1;
        if matches!(answer, Answer::Waits | Answer::Trap) && function.waits || calls % CALLS_PER_GUEST == 0 {
            drop(guest);
            std::fs::remove_dir_all(folder.path())?;
            std::fs::create_dir(folder.path())?;
            guest = Guest::start(engine, program, dialect, folder.path()).await?;
        }
    }
    Ok(())
}
