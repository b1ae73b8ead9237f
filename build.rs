//! Writes what follows from the witx files: the bindings, the linker's glue and
//! the table of every function. One source, so that the three cannot differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use witx::{BuiltinType, Document, InterfaceFunc, InterfaceFuncParam, Type, TypeRef, WasmType};

/// A witx file, and where its functions are linked.
struct Dialect {
    /// The file's name without `.witx`.
    file: &'static str,
    /// The import module.
    import: &'static str,
    /// The module below `src/abi` that implements it; without one its functions are
    /// refused.
    abi_module: Option<&'static str>,
    /// Its value, below `src/abi`; nothing for more functions of another one. The first that
    /// recognises a program has it.
    definition: Option<&'static str>,
    /// More import modules that have the same functions, but for some.
    also: &'static [(&'static str, Without)],
    /// Its name, where it adds functions to the import module of another one: only its own
    /// programs mean them.
    adds_as: Option<&'static str>,
    /// Functions that it has under other names in `import`: its own name, and the one that an
    /// earlier file of this import module has for it.
    renamed: &'static [(&'static str, &'static str)],
}

/// What most dialects do not have.
const PLAIN: Dialect = Dialect {
    file: "",
    import: "",
    abi_module: None,
    definition: None,
    also: &[],
    adds_as: None,
    renamed: &[],
};

/// Functions of preview 1 that another import module does not have, or for which it
/// has its own.
type Without = &'static [&'static str];

/// The registry: `abi/dialect.rs` has what of a dialect is not in its witx.
const DIALECTS: &[Dialect] = &[
    Dialect {
        file: "wasix_32v1",
        import: "wasix_32v1",
        abi_module: Some("wasix"),
        definition: Some("wasix::DIALECT"),
        ..PLAIN
    },
    Dialect {
        file: "wasi_unstable",
        import: "wasi_unstable",
        abi_module: Some("preview1"),
        definition: Some("preview1::UNSTABLE"),
        ..PLAIN
    },
    Dialect {
        file: "wasi_snapshot_preview1",
        import: "wasi_snapshot_preview1",
        abi_module: Some("preview1"),
        definition: Some("preview1::DIALECT"),
        also: &[("wasix_32v1", NOT_IN_WASIX), ("wasi_unstable", NOT_IN_UNSTABLE)],
        ..PLAIN
    },
    Dialect { file: "wasix_refused", import: "wasix_32v1", ..PLAIN },
    Dialect {
        file: "wasmedge",
        import: "wasi_snapshot_preview1",
        abi_module: Some("wasmedge"),
        definition: Some("wasmedge::DIALECT"),
        adds_as: Some("wasmedge"),
        renamed: &[
            ("epoll_oneoff", "poll_oneoff"),
            ("sock_accept_v2", "sock_accept"),
            ("sock_recv_v2", "sock_recv"),
            ("sock_send_v2", "sock_send"),
        ],
        ..PLAIN
    },
    Dialect {
        file: "wamr",
        import: "wasi_snapshot_preview1",
        abi_module: Some("wamr"),
        definition: Some("wamr::DIALECT"),
        adds_as: Some("wamr"),
        ..PLAIN
    },
];

/// Another type (`sock_accept`) or another meaning (`fd_renumber` duplicates there).
const NOT_IN_WASIX: Without = &["fd_renumber", "sock_accept"];

/// Other layouts and numbers; and `sock_accept` is younger.
const NOT_IN_UNSTABLE: Without =
    &["fd_filestat_get", "fd_seek", "path_filestat_get", "poll_oneoff", "sock_accept"];

/// The calls that may wait: for the network, the clock, another thread, or the disk. Each tries, and
/// only where that is not enough there is a future, for the rest of the call (`abi/call.rs`). Their
/// out-pointers are parameters, since the rest of a call writes its results itself.
///
/// `sock_listen` and `sock_pair` do not wait, but give a socket its place in a reactor, and a
/// blocking embedder's reactor is entered for these calls alone. Those that send a signal or name
/// the callback for signals do not wait either, but a handler may run before they return.
const MAY_WAIT: &[&str] = &[
    "callback_signal",
    "epoll_wait",
    "fd_allocate",
    "fd_datasync",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_sync",
    "fd_write",
    "futex_wait",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_open2",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "port_addr_list",
    "proc_exec",
    "proc_exec2",
    "proc_exec3",
    "proc_exec4",
    "proc_join",
    "proc_join_v1",
    "proc_raise",
    "proc_signal",
    "proc_spawn",
    "proc_spawn2",
    "proc_spawn3",
    "random_get",
    "resolve",
    "sched_yield",
    "sock_accept",
    "sock_accept_v1",
    "sock_accept_v2",
    "sock_addr_resolve",
    "sock_bind",
    "sock_bind_v2",
    "sock_connect",
    "sock_connect_v2",
    "sock_getaddrinfo",
    "sock_listen",
    "sock_listen_v2",
    "sock_pair",
    "sock_recv",
    "sock_recv_from",
    "sock_recv_from_port",
    "sock_recv_from_v0",
    "sock_recv_from_v1",
    "sock_recv_from_v2",
    "sock_recv_msg",
    "sock_send",
    "sock_send_file",
    "sock_send_msg",
    "sock_send_to",
    "sock_send_to_v0",
    "sock_send_to_v2",
    "thread_join",
    "thread_signal",
    "thread_sleep",
];

/// The calls that put the frames of the guest's stack aside or restore them: they call the guest's own functions
/// for that, and what such a call returns may be decided long after it was made (`host/asyncify`).
const UNWINDS: &[&str] = &["proc_fork", "stack_checkpoint", "stack_restore"];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=witx");
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").context("OUT_DIR")?;
    let out = Path::new(&out);
    for (abi_module, files) in abi_modules() {
        fs::write(out.join(format!("bindings_{abi_module}.rs")), bindings(&files))?;
    }
    fs::write(out.join("dialects.rs"), registry())?;
    let mut table = Vec::new();
    for dialect in DIALECTS {
        collect(dialect, &mut table)?;
    }
    table.push(thread_spawn());
    table.extend(of_compilers());
    // Those whose names others have come last, and are no rows of the public table.
    let is_other_type = |at: usize| other_type(&table, at);
    let others: Vec<bool> = (0..table.len()).map(is_other_type).collect();
    let mut is_other = others.iter();
    let (others, table): (Vec<_>, Vec<_>) =
        table.into_iter().partition(|_| is_other.next().copied().unwrap_or_default());
    fs::write(out.join("link.rs"), link(&table, &others)?)?;
    let functions = functions("pub", "FUNCTIONS", &table)?
        + &functions("pub", "OTHER_TYPES", &others)?
        + &errno_names(&witx::load(&["witx/typenames.witx"])?)?;
    fs::write(out.join("functions.rs"), functions)?;
    Ok(())
}

/// The folders of `src/abi`, each with its witx files: their bindings share their types.
fn abi_modules() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut modules = BTreeMap::new();
    for dialect in DIALECTS {
        if let Some(module) = dialect.abi_module {
            modules.entry(module).or_insert_with(Vec::new).push(dialect.file);
        }
    }
    modules
}

/// The values of all dialects.
fn registry() -> String {
    let mut out = String::from(
        "/// Every dialect, in the order in which they try to recognise a program.\n\
         pub(crate) static DIALECTS: &[&Definition] = &[",
    );
    for definition in DIALECTS.iter().filter_map(|dialect| dialect.definition) {
        _ = write!(out, "&crate::abi::{definition}, ");
    }
    // These have no witx: one is told and not served, the other has one call (see `thread_spawn`).
    out.push_str("&crate::abi::wasix::WIDE, &crate::abi::wasi_threads::DIALECT];\n");
    out
}

fn load(file: &str) -> Result<Document> {
    let path = format!("witx/{file}.witx");
    witx::load(&[&path]).with_context(|| format!("cannot read {path}"))
}

/// The invocation of `from_witx!` for the files of a module.
fn bindings(files: &[&str]) -> String {
    let mut paths = String::new();
    for file in files {
        _ = write!(paths, "\"witx/{file}.witx\", ");
    }
    format!(
        "wiggle::from_witx!({{\n    witx: [{paths}],\n    errors: {{ errno => Error }},\n    \
         wasmtime: false,\n    tracing: false,\n    mutable: true,\n}});\n"
    )
}

/// The one function of `wasi`, the module of wasi-threads. It returns a number or a
/// negative errno, which the generator of the bindings can't say: its binding is
/// written by hand, in `abi/wasi_threads.rs`.
fn thread_spawn() -> Entry {
    Entry {
        import: "wasi",
        abi_module: Some("wasi_threads"),
        refused: None,
        noun: "wasi".to_owned(),
        binding: "thread_spawn".to_owned(),
        name: "thread-spawn".to_owned(),
        may_wait: false,
        params: vec![WasmType::I32],
        result: Some(WasmType::I32),
        arguments: vec![("start_arg".to_owned(), "Pointer")],
        added_by: None,
    }
}

/// What the libraries of compilers import from `env`. It has results and parameters that no call of a host has: the
/// bindings are written by hand, in `abi/env.rs`.
fn of_compilers() -> [Entry; 4] {
    use WasmType::{F64, I32};
    let entry =
        |noun: &str, name: &str, params: &[WasmType], result, arguments: &[(&str, &'static str)]| Entry {
            import: "env",
            abi_module: Some("env"),
            refused: None,
            noun: noun.to_owned(),
            binding: name.to_owned(),
            name: name.to_owned(),
            may_wait: name == "trace",
            params: params.to_vec(),
            result,
            arguments: arguments.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
            added_by: None,
        };
    let place = [("message", "Pointer"), ("file", "Pointer"), ("line", "Number"), ("column", "Number")];
    let (message, float) = ([("message", "Pointer"), ("count", "Signed")], "Float");
    let numbers = ["a0", "a1", "a2", "a3", "a4"].map(|name| (name, float));
    let traced = [&message[..], &numbers].concat();
    [
        entry("assemblyscript", "abort", &[I32; 4], None, &place),
        entry("assemblyscript", "trace", &[I32, I32, F64, F64, F64, F64, F64], None, &traced),
        entry("assemblyscript", "seed", &[], Some(F64), &[]),
        entry("emscripten", "emscripten_notify_memory_growth", &[I32], None, &[("index", "Number")]),
    ]
}

/// One function as one import module has it.
#[derive(Clone)]
struct Entry {
    import: &'static str,
    /// The dialect that adds it to the import module of another one.
    added_by: Option<&'static str>,
    abi_module: Option<&'static str>,
    /// Why it is refused, if it is.
    refused: Option<String>,
    noun: String,
    /// What wiggle calls it.
    binding: String,
    /// What programs call it.
    name: String,
    may_wait: bool,
    params: Vec<WasmType>,
    result: Option<WasmType>,
    arguments: Vec<(String, &'static str)>,
}

fn collect(dialect: &Dialect, table: &mut Vec<Entry>) -> Result<()> {
    let document = load(dialect.file)?;
    let own: (&str, Without) = (dialect.import, &[]);
    for (import, without) in [own].iter().chain(dialect.also).copied() {
        for module in document.modules() {
            let reason = module.docs.lines().next().map(|line| line.trim().trim_end_matches('.').to_owned());
            for function in module.funcs() {
                let name = function.name.as_str();
                if without.contains(&name) {
                    continue;
                }
                let (params, results) = function.wasm_signature();
                table.push(Entry {
                    import,
                    added_by: dialect.adds_as,
                    abi_module: dialect.abi_module,
                    refused: if dialect.abi_module.is_none() { reason.clone() } else { None },
                    noun: module.name.as_str().to_owned(),
                    binding: name.to_owned(),
                    name: imported_as(&function).unwrap_or(name).to_owned(),
                    may_wait: MAY_WAIT.contains(&name),
                    params,
                    result: results.first().copied(),
                    arguments: arguments(&function).with_context(|| format!("{import}.{name}"))?,
                });
            }
        }
    }
    for (name, same) in dialect.renamed {
        let is_it = |entry: &&Entry| entry.import == dialect.import && entry.name == *same;
        let entry = table.iter().find(is_it).with_context(|| format!("{name}: there is no {same}"))?;
        table.push(Entry { name: (*name).to_owned(), added_by: dialect.adds_as, ..entry.clone() });
    }
    Ok(())
}

/// The name of a function that has another one in the witx, since two types have that name.
fn imported_as(function: &InterfaceFunc) -> Option<&str> {
    function.docs.lines().find_map(|line| line.trim().strip_prefix("Imported as ")?.strip_suffix('.'))
}

/// Names and kinds of the arguments, for the call trace.
fn arguments(function: &InterfaceFunc) -> Result<Vec<(String, &'static str)>> {
    let mut all = Vec::new();
    for param in &function.params {
        all.push((param.name.as_str().to_owned(), kind_of_parameter(param)));
    }
    for result in &function.results {
        let Type::Variant(expected) = &**result.tref.type_() else { bail!("a result that is no `expected`") };
        let Some((Some(ok), _)) = expected.as_expected() else {
            continue;
        };
        let types: Vec<&TypeRef> = match &**ok.type_() {
            Type::Record(record) if record.is_tuple() => record.members.iter().map(|m| &m.tref).collect(),
            _ => vec![ok],
        };
        let names: Vec<&str> = result.name.as_str().split('.').collect();
        if names.len() != types.len() {
            bail!("the result `{}` names {} of {} values", result.name.as_str(), names.len(), types.len());
        }
        for (name, ty) in names.iter().zip(types) {
            all.push(((*name).to_owned(), kind_of_output(ty)));
        }
    }
    Ok(all)
}

fn name_of(ty: &TypeRef) -> &str {
    match ty {
        TypeRef::Name(named) => named.name.as_str(),
        TypeRef::Value(_) => "",
    }
}

fn kind_of_parameter(param: &InterfaceFuncParam) -> &'static str {
    match (name_of(&param.tref), &**param.tref.type_()) {
        ("fd", _) => "Fd",
        ("path", _) => "Text",
        ("rights", _) => "Flags",
        (name, Type::Builtin(_)) if name.contains("flags") => "Flags",
        ("filedelta", _) => "Signed",
        (_, Type::Builtin(_)) => "Number",
        (_, Type::List(_)) if matches!(param.name.as_str(), "node" | "service") => "Text",
        (_, Type::List(item)) => match &**item.type_() {
            Type::Builtin(BuiltinType::Char) => "Text",
            Type::Builtin(_) => "Bytes",
            _ => "Iovs",
        },
        (_, Type::ConstPointer(to)) if name_of(to) == "address" => "SplitAddressIn",
        (_, Type::Pointer(to)) if name_of(to) == "address" => "SplitAddressOut",
        (_, Type::ConstPointer(to)) if name_of(to) == "addr" => "PortLastIn",
        (_, Type::Pointer(to)) if name_of(to) == "addr" => "PortLastOut",
        (_, Type::ConstPointer(to)) if name_of(to) == "addr_ip" => "InetIn",
        (_, Type::ConstPointer(_)) if matches!(param.name.as_str(), "host" | "service") => "TextToNul",
        (_, Type::ConstPointer(_)) if param.name == "addr" => "AddressIn",
        (_, Type::Pointer(_)) if param.name == "addr" => "AddressOut",
        (_, Type::ConstPointer(to)) if name_of(to) == "option_timestamp" => "OptionTimestampIn",
        (_, Type::ConstPointer(to)) if name_of(to) == "addr_ip4" => "Inet4In",
        (_, Type::ConstPointer(to)) if name_of(to) == "addr_ip6" => "Inet6In",
        (_, Type::Pointer(to)) if is_result(param) => kind_of_output(to),
        _ => "Pointer",
    }
}

/// Whether a pointer parameter is where one value goes, and not a buffer or a
/// word that the guest owns (`futex`).
fn is_result(param: &InterfaceFuncParam) -> bool {
    let name = param.name.as_str();
    name.starts_with("ret_") || matches!(name, "timeout" | "path_len" | "naddrs" | "nroutes")
}

fn kind_of_output(ty: &TypeRef) -> &'static str {
    match (name_of(ty), &**ty.type_()) {
        ("fd", _) => "OutFd",
        ("option_timestamp", _) => "OptionTimestampOut",
        ("net_port", _) => "OutPort",
        (_, Type::Builtin(BuiltinType::U8 { .. })) => "OutU8",
        (_, Type::Builtin(BuiltinType::U16)) => "OutU16",
        (_, Type::Builtin(BuiltinType::U32 { .. })) => "OutU32",
        (_, Type::Builtin(BuiltinType::U64)) => "OutU64",
        _ => "Pointer",
    }
}

/// One line a function, for those that are wanted; `src/host/link.rs` says what a line
/// means.
fn link(table: &[Entry], others: &[Entry]) -> Result<String> {
    let mut out = String::from(
        "macro_rules! every_function {\n    ($wants:ident, $now:ident, $may_wait:ident, $unwinds:ident, $refused:ident) => {\n",
    );
    let rows = table.iter().enumerate().map(|(at, entry)| (format!("FUNCTIONS[{at}]"), entry));
    let others = others.iter().enumerate().map(|(at, entry)| (format!("OTHER_TYPES[{at}]"), entry));
    for (index, (row, entry)) in rows.chain(others).enumerate() {
        let mut params = String::new();
        for (at, ty) in entry.params.iter().enumerate() {
            write!(params, "a{at}: {}, ", rust(*ty)?)?;
        }
        let params = params.trim_end_matches([',', ' ']);
        let result = entry.result.map_or(Ok("()"), rust)?;
        let Some(abi_module) = entry.abi_module else {
            writeln!(out, "        if $wants({index}) {{ $refused!({row}, [{params}] -> {result}); }}")?;
            continue;
        };
        let (noun, binding) = (&entry.noun, &entry.binding);
        let call = format!("crate::abi::{abi_module}::bindings::{noun}::{binding}");
        let kind = match entry.may_wait {
            _ if UNWINDS.contains(&entry.binding.as_str()) => "unwinds",
            true => "may_wait",
            false => "now",
        };
        writeln!(out, "        if $wants({index}) {{ ${kind}!({row}, {call}, [{params}] -> {result}); }}")?;
    }
    out.push_str("    };\n}\n");
    Ok(out)
}

/// A table of functions, in the order of the glue.
fn functions(visibility: &str, name: &str, table: &[Entry]) -> Result<String> {
    let what = match name {
        "FUNCTIONS" => "Every function, grouped by import module.",
        _ => "Functions whose names another one of [`FUNCTIONS`] has, with another type.",
    };
    let mut out = format!("/// {what}\n{visibility} static {name}: [Function; {}] = [\n", table.len());
    for entry in table {
        write!(out, "    Function {{ module: {:?}, name: {:?}, params: &[", entry.import, entry.name)?;
        for ty in &entry.params {
            write!(out, "CoreType::{}, ", core(*ty)?)?;
        }
        out.push_str("], result: ");
        match entry.result {
            Some(ty) => write!(out, "Some(CoreType::{})", core(ty)?)?,
            None => out.push_str("None"),
        }
        write!(
            out,
            ", waits: {}, refused: {:?}, added_by: {:?}, arguments: &[",
            entry.may_wait, entry.refused, entry.added_by
        )?;
        for (name, kind) in &entry.arguments {
            let name = name.strip_prefix("ret_").unwrap_or(name);
            write!(out, "Argument {{ name: {name:?}, kind: ArgumentKind::{kind} }}, ")?;
        }
        out.push_str("] },\n");
    }
    out.push_str("];\n");
    Ok(out)
}

/// Has an entry of its dialect before it the same names, and so another type?
fn other_type(table: &[Entry], at: usize) -> bool {
    let names = |entry: &Entry| (entry.import, entry.added_by, entry.name.clone());
    table.get(at).is_some_and(|entry| table.iter().take(at).any(|other| names(other) == names(entry)))
}

/// What the call trace calls each error number.
fn errno_names(types: &Document) -> Result<String> {
    let errno = types.typename(&witx::Id::new("errno")).context("no type errno")?;
    let Type::Variant(errno) = &**errno.type_() else { bail!("errno is no enumeration") };
    let mut out = format!("pub(crate) static ERRNO_NAMES: [&str; {}] = [", errno.cases.len());
    for case in &errno.cases {
        match case.name.as_str() {
            "success" => out.push_str("\"0\", "),
            name => write!(out, "\"E{}\", ", name.to_uppercase())?,
        }
    }
    out.push_str("];\n");
    Ok(out)
}

fn rust(ty: WasmType) -> Result<&'static str> {
    Ok(match ty {
        WasmType::I32 => "i32",
        WasmType::I64 => "i64",
        WasmType::F64 => "f64",
        WasmType::F32 => bail!("no call takes a float of 32 bits"),
    })
}

fn core(ty: WasmType) -> Result<&'static str> {
    Ok(match ty {
        WasmType::I32 => "I32",
        WasmType::I64 => "I64",
        WasmType::F64 => "F64",
        WasmType::F32 => bail!("no call takes a float of 32 bits"),
    })
}
