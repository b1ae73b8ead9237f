use super::*;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use crate::proof::changed;
use crate::{Kind, trailer};
use tempfile::TempDir;
use wasmtime::{Config, Instance, Store};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A folder with the code of one module.
struct Fixture {
    _directory: TempDir,
    path: PathBuf,
    folder: Folder,
    engine: Engine,
    key: Key,
}

const ANSWERS: &str =
    r#"(module (memory 1) (data (i32.const 0) "abc") (func (export "answer") (result i32) (i32.const 42)))"#;

fn fixture() -> Result<Fixture, Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("code");
    let folder = Folder::open(&path)?;
    let engine = Engine::default();
    let key = Key::of(&engine, Kind::Module, ANSWERS.as_bytes());
    folder.keep(&key, &Code::compile(&engine, Kind::Module, ANSWERS.as_bytes())?)?;
    Ok(Fixture { _directory: directory, path, folder, engine, key })
}

impl Fixture {
    fn file(&self) -> PathBuf {
        self.path.join(self.key.to_string())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn load(&self) -> io::Result<Option<Module>> {
        self.folder.module(&self.engine, &self.key)
    }

    fn refusal(&self) -> String {
        self.load().map_or_else(|error| error.to_string(), |found| format!("{}", found.is_some()))
    }

    /// Puts these bytes in the place of the file, with the owner and the mode of one.
    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        fs::remove_file(self.file())?;
        fs::write(self.file(), bytes)?;
        fs::set_permissions(self.file(), Permissions::from_mode(0o400))
    }
}

fn answer(module: &Module) -> wasmtime::Result<i32> {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[])?;
    instance.get_typed_func::<(), i32>(&mut store, "answer")?.call(&mut store, ())
}

#[test]
fn what_was_kept_runs() -> Outcome {
    let it = fixture()?;
    let module = it.load()?.ok_or("it is not there")?;
    assert_eq!(answer(&module)?, 42);
    // As another process finds it.
    let again = Folder::open(&it.path)?.module(&Engine::default(), &it.key)?;
    assert_eq!(answer(&again.ok_or("it is not there")?)?, 42);
    Ok(())
}

#[test]
fn the_code_is_mapped() -> Outcome {
    let it = fixture()?;
    let _module = it.load()?.ok_or("it is not there")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mapped = maps.lines().filter(|line| line.contains(&it.key.to_string()));
    assert!(mapped.clone().any(|line| line.contains("r-xp")), "{maps}");
    // Nothing that can be executed can be written to.
    assert!(mapped.clone().all(|line| !line.contains("wx")), "{maps}");
    Ok(())
}

#[test]
fn what_was_not_kept_is_none() -> Outcome {
    let it = fixture()?;
    let other = Key::of(&it.engine, Kind::Module, b"other");
    assert!(it.folder.module(&it.engine, &other)?.is_none());
    let engine = Engine::new(Config::new().epoch_interruption(true))?;
    let key = Key::of(&engine, Kind::Module, ANSWERS.as_bytes());
    assert!(it.folder.module(&engine, &key)?.is_none());
    Ok(())
}

#[cfg(feature = "components")]
#[test]
fn a_component_is_kept_as_a_module_is() -> Outcome {
    let it = fixture()?;
    let text = b"(component)";
    let key = Key::of(&it.engine, Kind::Component, text);
    assert!(it.folder.component(&it.engine, &key)?.is_none());
    it.folder.keep(&key, &Code::compile(&it.engine, Kind::Component, text)?)?;
    assert!(it.folder.component(&it.engine, &key)?.is_some());
    // One is not taken for the other, whatever is asked for.
    assert!(it.folder.module(&it.engine, &key).is_err());
    assert!(it.folder.component(&it.engine, &it.key).is_err());
    Ok(())
}

#[test]
fn a_file_that_is_broken_is_refused() -> Outcome {
    let it = fixture()?;
    let whole = fs::read(it.file())?;
    let places = [0, 17, whole.len() / 2, whole.len() - trailer::LENGTH - 1];
    for place in places.into_iter().chain(whole.len() - trailer::LENGTH..whole.len()) {
        let mut broken = whole.clone();
        if let Some(byte) = broken.get_mut(place) {
            *byte ^= 1;
        }
        it.replace(&broken)?;
        assert_eq!(it.refusal(), "it is not as it was written", "byte {place}");
    }
    for length in [0, 1, trailer::LENGTH, whole.len() / 2, whole.len() - 1] {
        it.replace(whole.get(..length).unwrap_or_default())?;
        assert_eq!(it.refusal(), "it is not as it was written", "{length} bytes");
    }
    it.replace(&[whole.as_slice(), b"x"].concat())?;
    assert_eq!(it.refusal(), "it is not as it was written");
    it.replace(&whole)?;
    assert_eq!(it.refusal(), "true");
    Ok(())
}

#[test]
fn the_code_of_one_module_is_not_that_of_another() -> Outcome {
    let it = fixture()?;
    let other = Key::of(&it.engine, Kind::Module, b"other");
    fs::rename(it.file(), it.path.join(other.to_string()))?;
    let refusal = it.folder.module(&it.engine, &other).err().map(|error| error.to_string());
    assert_eq!(refusal.as_deref(), Some("it is not as it was written"));
    Ok(())
}

#[test]
fn what_wasmtime_alone_would_take_is_refused() -> Outcome {
    let it = fixture()?;
    it.replace(&it.engine.precompile_module(ANSWERS.as_bytes())?)?;
    assert_eq!(it.refusal(), "it is not as it was written");
    Ok(())
}

#[test]
fn a_file_that_others_could_have_written_is_refused() -> Outcome {
    const REFUSAL: &str = "it is not as this program writes files";
    let it = fixture()?;
    for mode in [0o600, 0o420, 0o402, 0o666, 0o4400] {
        fs::set_permissions(it.file(), Permissions::from_mode(mode))?;
        assert_eq!(it.refusal(), REFUSAL, "{mode:o}");
    }
    fs::set_permissions(it.file(), Permissions::from_mode(0o400))?;
    // Another name of it may lie where others write.
    fs::hard_link(it.file(), it.path.join("link"))?;
    assert_eq!(it.refusal(), REFUSAL);
    fs::remove_file(it.path.join("link"))?;
    assert_eq!(it.refusal(), "true");
    Ok(())
}

#[test]
fn what_is_no_file_is_refused() -> Outcome {
    let it = fixture()?;
    fs::rename(it.file(), it.path.join("elsewhere"))?;
    symlink("elsewhere", it.file())?;
    assert!(it.load().is_err());
    fs::remove_file(it.file())?;
    fs::create_dir(it.file())?;
    assert!(it.load().is_err());
    fs::remove_dir(it.file())?;
    rustix::fs::mknodat(rustix::fs::CWD, it.file(), FileType::Fifo, Mode::RUSR, 0)?;
    assert_eq!(it.refusal(), "it is not as this program writes files");
    Ok(())
}

#[test]
fn a_file_that_is_replaced_stays_what_it_was_for_those_who_have_it() -> Outcome {
    let it = fixture()?;
    let module = it.load()?.ok_or("it is not there")?;
    let code = Code::compile(&it.engine, Kind::Module, ANSWERS.as_bytes())?;
    it.folder.keep(&it.key, &code)?;
    assert_eq!(it.folder.sweep(Bounds { bytes: 0, unused: Duration::MAX })?.count, 1);
    assert_eq!(answer(&module)?, 42);
    assert!(it.load()?.is_none());
    Ok(())
}

#[test]
fn writers_and_sweepers_do_not_disturb_each_other() -> Outcome {
    let it = fixture()?;
    let code = Code::compile(&it.engine, Kind::Module, ANSWERS.as_bytes())?;
    std::thread::scope(|scope| {
        let work = |_| {
            scope.spawn(|| -> io::Result<()> {
                for _ in 0..50 {
                    it.folder.keep(&it.key, &code)?;
                    // What is there is whole.
                    it.load()?;
                    it.folder.sweep(Bounds { bytes: 0, unused: Duration::MAX })?;
                }
                Ok(())
            })
        };
        let threads: Vec<_> = (0..4).map(work).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(changed())))
    })?;
    assert!(it.names()?.is_empty(), "{:?}", it.names()?);
    Ok(())
}

#[test]
fn a_folder_has_bounds() -> Outcome {
    let it = fixture()?;
    let bytes = fs::metadata(it.file())?.len();
    let code = Code::compile(&it.engine, Kind::Module, ANSWERS.as_bytes())?;
    let keys: Vec<Key> = (0..3_u8).map(|number| Key::of(&it.engine, Kind::Module, &[number])).collect();
    for key in &keys {
        it.folder.keep(key, &code)?;
    }
    // The one that was used last stays.
    let old = SystemTime::now() - 3 * TIME_OF_USE;
    for (key, age) in keys.iter().zip([3, 1, 2]) {
        set_time(&it.path.join(key.to_string()), old - age * TIME_OF_USE)?;
    }
    let unused = 1000 * TIME_OF_USE;
    assert_eq!(it.folder.sweep(Bounds { bytes: 2 * bytes, unused })?, Swept { count: 2, bytes: 2 * bytes });
    let [first, second, third] = keys.as_slice() else { return Err("three".into()) };
    assert!(it.folder.module(&it.engine, first)?.is_none());
    assert!(it.folder.module(&it.engine, third)?.is_none());
    // Being used makes it young.
    assert!(it.folder.module(&it.engine, second)?.is_some());
    let none = Swept::default();
    assert_eq!(it.folder.sweep(Bounds { bytes: u64::MAX, unused: 2 * TIME_OF_USE })?, none);
    set_time(&it.file(), old)?;
    let swept = it.folder.sweep(Bounds { bytes: u64::MAX, unused: 2 * TIME_OF_USE })?;
    assert_eq!(swept, Swept { count: 1, bytes });
    Ok(())
}

fn set_time(file: &Path, time: SystemTime) -> io::Result<()> {
    OpenOptions::new().read(true).open(file)?.set_modified(time)
}

#[test]
fn what_was_given_up_is_swept() -> Outcome {
    let it = fixture()?;
    for name in [".new-old", ".new-young", "other"] {
        fs::write(it.path.join(name), "")?;
    }
    for name in [".new-old", "other"] {
        set_time(&it.path.join(name), SystemTime::now() - 2 * TIME_OF_USE)?;
    }
    it.folder.secret()?;
    it.folder.sweep(Bounds { bytes: 0, unused: Duration::ZERO })?;
    assert_eq!(it.names()?, [".new-young", "other", "secret"]);
    Ok(())
}

#[test]
fn the_secret_is_one() -> Outcome {
    let it = fixture()?;
    let secrets = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| it.folder.secret())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(changed())))
            .collect::<io::Result<Vec<_>>>()
    })?;
    let again = Folder::open(&it.path)?.secret()?;
    assert!(secrets.iter().all(|secret| secret.0 == again.0));
    assert_ne!(again.0, [0; 32]);
    assert_eq!(fs::metadata(it.path.join(SECRET))?.permissions().mode() & 0o777, 0o400);
    assert_eq!(it.names()?.len(), 2);
    Ok(())
}

#[test]
fn a_secret_that_others_may_know_is_refused() -> Outcome {
    let it = fixture()?;
    it.folder.secret()?;
    fs::set_permissions(it.path.join(SECRET), Permissions::from_mode(0o440))?;
    assert!(it.folder.secret().is_err());
    fs::remove_file(it.path.join(SECRET))?;
    fs::write(it.path.join(SECRET), "short")?;
    fs::set_permissions(it.path.join(SECRET), Permissions::from_mode(0o400))?;
    assert!(it.folder.secret().is_err());
    Ok(())
}
