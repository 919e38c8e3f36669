//! Paths.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::PathBuf;

use trio::fs::{Mode, Path, TempDir};

// trio: _tests/test_path.py::test_open_is_async_context_manager
#[trio::test]
async fn a_path_opens_its_file() {
    let folder = TempDir::new().await.unwrap();
    let path = folder.path() / "test";
    let mut file = path.open(Mode::Write).await.unwrap();
    assert!(!file.is_closed());
    file.aclose().await.unwrap();
    assert!(file.is_closed());
}

// trio: _tests/test_path.py::test_magic
#[test]
fn paths_are_compared_as_those_of_the_standard_library() {
    let path = Path::new("test");
    assert_eq!(path.to_string(), "test");
    assert_eq!(format!("{path:?}"), "Path(\"test\")");
    assert_eq!(path, Path::new("test"));
    assert_ne!(path, Path::new("other"));
    assert_eq!(path, PathBuf::from("test"));
    assert_eq!(path, "test");
    assert_eq!(path.as_path(), "test");
    assert!(Path::new("a") < Path::new("b"));
    assert_eq!(HashSet::from([path.clone(), path, Path::new("a/./b"), Path::new("a/b")]).len(), 2);
}

// trio: _tests/test_path.py::test_div_magic
#[test]
fn a_slash_joins() {
    let result = Path::new("a/b");
    assert_eq!(Path::new("a") / "b", result);
    assert_eq!(Path::new("a") / Path::new("b"), result);
    assert_eq!(&Path::new("a") / std::path::Path::new("b"), result);
    assert_eq!(Path::new("a") / "/b", Path::new("/b"));
}

// trio: _tests/test_path.py::test_async_methods_rewrap
#[trio::test]
async fn methods_that_ask_the_system_give_paths_of_ours() {
    let here = std::env::current_dir().unwrap();
    let absolute: Path = Path::new(".").absolute().await.unwrap();
    assert_eq!(absolute, std::path::absolute(".").unwrap());
    let resolved: Path = Path::new(".").resolve().await.unwrap();
    assert_eq!(resolved, std::fs::canonicalize(".").unwrap());
    let canonical: Path = Path::new(".").canonicalize().await.unwrap();
    assert_eq!(canonical, resolved);
    assert_eq!(Path::cwd().await.unwrap(), here);
}

// trio: _tests/test_path.py::test_forward_methods_rewrap, _tests/test_path.py::test_forward_properties_rewrap
#[test]
fn methods_that_only_compute_give_paths_of_ours_at_once() {
    let path = Path::new("/some/test");
    let other: Path = path.with_file_name("foo");
    assert_eq!(other, Path::new("/some/foo"));
    let other: Path = path.with_extension("py");
    assert_eq!(other, Path::new("/some/test.py"));
    let parent: Path = path.parent().unwrap();
    assert_eq!(parent, Path::new("/some"));
    assert_eq!(path.parents().collect::<Vec<_>>(), [Path::new("/some"), Path::new("/")]);
}

#[test]
fn parts_of_names_are_those_that_python_finds() {
    let suffixes =
        |name: &str| Path::new(name).suffixes().iter().map(|one| one.to_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(suffixes("a.tar.gz"), ["tar", "gz"]);
    assert_eq!(suffixes(".bashrc"), Vec::<String>::new());
    assert_eq!(suffixes(".a.b"), ["b"]);
    assert_eq!(suffixes("a."), Vec::<String>::new());
    assert_eq!(suffixes("/"), Vec::<String>::new());
    assert_eq!(Path::new("a/b.tar.gz").with_stem("c"), Path::new("a/c.gz"));
    assert_eq!(Path::new("a/b").with_stem("c"), Path::new("a/c"));
    assert_eq!(Path::new("/a").root(), Some(Path::new("/")));
    assert_eq!(Path::new("a").root(), None);
    assert!(Path::new("a/b/c").starts_with("a/b"));
    assert_eq!(Path::new("a/b/c").strip_prefix("a").unwrap(), "b/c");
    assert!(Path::new("a/b/c").strip_prefix("b").is_err());
    assert_eq!(Path::new("/a/ä?").as_uri().unwrap(), "file:///a/%C3%A4%3F");
    assert!(Path::new("a").as_uri().is_err());
}

#[test]
fn patterns_match_from_the_end() {
    let matches = |path: &str, pattern: &str| Path::new(path).matches(pattern).unwrap();
    assert!(matches("a/b.py", "*.py"));
    assert!(matches("/a/b/c.py", "b/*.py"));
    assert!(!matches("/a/b/c.py", "a/*.py"));
    assert!(matches("/a.py", "/*.py"));
    assert!(!matches("a/b.py", "/*.py"));
    assert!(Path::new("a").matches("").is_err());
    assert!(Path::new("a").matches("[").is_err());
}

#[trio::test]
async fn questions_about_what_is_there() {
    let folder = TempDir::new().await.unwrap();
    let root = folder.path();
    let (file, inner, link, broken, none) =
        (&root / "file", &root / "inner", &root / "link", &root / "broken", &root / "none");
    file.touch().await.unwrap();
    inner.create_dir().await.unwrap();
    link.symlink_to(&file).await.unwrap();
    broken.symlink_to("nowhere").await.unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo").as_path(), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    for (path, kinds) in [
        (&file, "exists file"),
        (&inner, "exists dir"),
        (&link, "exists file symlink"),
        (&broken, "symlink"),
        (&none, ""),
        (&(&file / "below"), ""),
        (&(&root / "socket"), "exists socket"),
        (&(&root / "fifo"), "exists fifo"),
        (&Path::new("/dev/null"), "exists char"),
        (&Path::new("/"), "exists dir mount"),
    ] {
        let mut found = Vec::new();
        for (name, is) in [
            ("exists", path.exists().await),
            ("file", path.is_file().await),
            ("dir", path.is_dir().await),
            ("symlink", path.is_symlink().await),
            ("socket", path.is_socket().await),
            ("fifo", path.is_fifo().await),
            ("block", path.is_block_device().await),
            ("char", path.is_char_device().await),
            ("mount", path.is_mount().await),
        ] {
            if is.unwrap() {
                found.push(name);
            }
        }
        assert_eq!(found.join(" "), kinds, "{path}");
    }
    assert!(link.same_file(&file).await.unwrap());
    assert!(!inner.same_file(&file).await.unwrap());
    assert!(broken.same_file(&file).await.is_err());
    assert_eq!(link.read_link().await.unwrap(), file);
    assert_eq!(link.canonicalize().await.unwrap(), file.canonicalize().await.unwrap());
    assert_eq!(broken.canonicalize().await.unwrap_err().kind(), ErrorKind::NotFound);
    let real = root.canonicalize().await.unwrap();
    assert_eq!(broken.resolve().await.unwrap(), &real / "nowhere");
    assert_eq!((&none / "a" / ".." / "b").resolve().await.unwrap(), &real / "none" / "b");
    assert_eq!((&inner / ".." / "link").resolve().await.unwrap(), &real / "file");
}

#[trio::test]
async fn changes_of_files_and_folders() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().await.unwrap();
    let root = folder.path();
    let file = &root / "file";
    file.write("text").await.unwrap();
    assert_eq!(file.copy(&root / "copy").await.unwrap(), 4);
    assert_eq!(file.rename(&root / "copy").await.unwrap(), &root / "copy");
    assert!(!file.exists().await.unwrap());
    file.hard_link_to(&root / "copy").await.unwrap();
    assert!(file.same_file(&root / "copy").await.unwrap());
    file.chmod(0o640).await.unwrap();
    assert_eq!(file.metadata().await.unwrap().permissions().mode() & 0o777, 0o640);
    let old = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::options().append(true).open(&file).unwrap().set_modified(old).unwrap();
    file.touch().await.unwrap();
    assert!(file.metadata().await.unwrap().modified().unwrap() > old);
    assert_eq!(file.read().await.unwrap(), b"text", "touching changes nothing else");
    (&root / "a/b/c").create_dir_all().await.unwrap();
    assert!((&root / "a").remove_dir().await.is_err());
    (&root / "a/b/c").remove_dir().await.unwrap();
    (&root / "a").remove_dir_all().await.unwrap();
    assert!(!trio::fs::try_exists(&root / "a").await.unwrap());
    (&root / "link").symlink_to("file").await.unwrap();
    assert!((&root / "link").symlink_metadata().await.unwrap().is_symlink());
    (&root / "link").remove_file().await.unwrap();
    assert!(file.is_file().await.unwrap());
}

#[trio::test]
async fn users_have_names_and_homes() {
    let root = Path::new("/");
    assert_eq!(root.owner().await.unwrap(), "root");
    assert!(!root.group().await.unwrap().is_empty());
    let home = Path::home().await.unwrap();
    assert_eq!(Path::new("~/a").expand_user().await.unwrap(), &home / "a");
    assert_eq!(Path::new("a/~").expand_user().await.unwrap(), "a/~");
    assert_eq!(Path::new("/~").expand_user().await.unwrap(), "/~");
    let nobody = Path::new("~there is no such user/a").expand_user().await;
    assert_eq!(nobody.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(Path::new("~root").expand_user().await.unwrap().is_absolute());
}
