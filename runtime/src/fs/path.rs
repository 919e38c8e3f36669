//! Paths whose I/O is asynchronous: Trio's `Path`.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::ops::Div;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Components, Display, Path as StdPath, PathBuf, StripPrefixError};
use std::time::SystemTime;

use super::file::{File, Mode, open_file};
use super::folder::{self, ReadDir, Walk};
use super::{functions, in_thread};

/// A path: Trio's `Path`. What touches the disk is asynchronous, all else is as in the standard library.
///
/// It is a value of its own: nothing changes it, and operations that make a path give a new one. `/` joins. Paths are equal,
/// ordered and hashed as those of the standard library, into which [`as_path`](Self::as_path) leads; there is no `Deref`, so that
/// no blocking method is called by mistake. What Trio calls otherwise than the standard library is found under Trio's name, too.
///
/// All that is asynchronous is a checkpoint, one trip to a worker thread, without any effect if cancelled before that has
/// begun, and fails with the system's errors.
///
/// # Examples
///
/// ```
/// use trio::fs::{Path, TempDir};
/// trio::run(async {
///     let folder = TempDir::new().await?;
///     let note = folder.path() / "notes" / "first.txt";
///     note.parent().unwrap().create_dir_all().await?;
///     note.write("text").await?;
///     assert!(note.is_file().await?);
///     assert_eq!(folder.path().rglob("*.txt").await?, [note]);
///     folder.aclose().await
/// })
/// .unwrap();
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(PathBuf);

// ---------------------------------------------------------------------- what needs no disk

/// None of these is a checkpoint.
impl Path {
    /// This path, as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!((trio::fs::Path::new("a") / "b").to_string(), "a/b");
    /// ```
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        Self(PathBuf::from(path.as_ref()))
    }

    /// The path of the standard library.
    pub fn as_path(&self) -> &StdPath {
        &self.0
    }

    /// The path of the standard library.
    pub fn into_path_buf(self) -> PathBuf {
        self.0
    }

    /// Its text, if it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        self.0.to_str()
    }

    /// Its text for people; what is not UTF-8 is replaced.
    pub fn display(&self) -> Display<'_> {
        self.0.display()
    }

    /// Its parts: Trio's `parts`.
    #[doc(alias = "parts")]
    pub fn components(&self) -> Components<'_> {
        self.0.components()
    }

    /// The root, if it begins there.
    #[doc(alias = "anchor")]
    pub fn root(&self) -> Option<Self> {
        self.0.has_root().then(|| Self::new("/"))
    }

    /// Whether it begins at the root.
    pub fn is_absolute(&self) -> bool {
        self.0.is_absolute()
    }

    /// The folder around it.
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().map(Self::new)
    }

    /// The folders around it, the next one first: Trio's `parents`.
    pub fn parents(&self) -> impl Iterator<Item = Self> {
        self.0.ancestors().skip(1).map(Self::new)
    }

    /// Its last part, unless that is `..`: Trio's `name`.
    #[doc(alias = "name")]
    pub fn file_name(&self) -> Option<&OsStr> {
        self.0.file_name()
    }

    /// Its last part without the extension: Trio's `stem`.
    #[doc(alias = "stem")]
    pub fn file_stem(&self) -> Option<&OsStr> {
        self.0.file_stem()
    }

    /// What follows the last dot of its last part, without the dot: Trio's `suffix`, which has the dot.
    #[doc(alias = "suffix")]
    pub fn extension(&self) -> Option<&OsStr> {
        self.0.extension()
    }

    /// All extensions of its last part, without the dots: `["tar", "gz"]`. Trio's `suffixes`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(trio::fs::Path::new("a/b.tar.gz").suffixes(), ["tar", "gz"]);
    /// ```
    pub fn suffixes(&self) -> Vec<&OsStr> {
        let name = self.0.file_name().map_or(&b""[..], OsStrExt::as_bytes);
        // A dot at the beginning is part of the name.
        let dots = name.iter().take_while(|byte| **byte == b'.').count();
        if name.ends_with(b".") {
            return Vec::new();
        }
        name[dots..].split(|byte| *byte == b'.').skip(1).map(OsStr::from_bytes).collect()
    }

    /// Joined with another one, which replaces it if it is absolute: Trio's `joinpath`.
    #[doc(alias = "joinpath")]
    pub fn join(&self, path: impl AsRef<StdPath>) -> Self {
        Self(self.0.join(path))
    }

    /// With another last part: Trio's `with_name`.
    #[doc(alias = "with_name")]
    pub fn with_file_name(&self, name: impl AsRef<OsStr>) -> Self {
        Self(self.0.with_file_name(name))
    }

    /// With another last part, and the same extension: Trio's `with_stem`.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::fs::Path;
    /// assert_eq!(Path::new("a/b.txt").with_stem("c"), Path::new("a/c.txt"));
    /// ```
    pub fn with_stem(&self, stem: impl AsRef<OsStr>) -> Self {
        let mut name = stem.as_ref().to_owned();
        if let Some(extension) = self.extension() {
            name.push(".");
            name.push(extension);
        }
        self.with_file_name(name)
    }

    /// With another extension (without a dot), or none if it is empty: Trio's `with_suffix`.
    #[doc(alias = "with_suffix")]
    pub fn with_extension(&self, extension: impl AsRef<OsStr>) -> Self {
        Self(self.0.with_extension(extension))
    }

    /// Whether it is this one, or below it: Trio's `is_relative_to`.
    #[doc(alias = "is_relative_to")]
    pub fn starts_with(&self, base: impl AsRef<StdPath>) -> bool {
        self.0.starts_with(base)
    }

    /// Whether its last parts are these.
    pub fn ends_with(&self, path: impl AsRef<StdPath>) -> bool {
        self.0.ends_with(path)
    }

    /// The way to it from `base`, which it is below: Trio's `relative_to`.
    ///
    /// # Errors
    ///
    /// If it is not below `base`.
    #[doc(alias = "relative_to")]
    pub fn strip_prefix(&self, base: impl AsRef<StdPath>) -> Result<Self, StripPrefixError> {
        self.0.strip_prefix(base).map(Self::new)
    }

    /// Whether its last parts match a pattern, as many as that has; the whole path, if the pattern begins at the root: Trio's
    /// `match`. In a part of the pattern, `*` stands for anything, `?` for one character, `[abc]` for one of these.
    ///
    /// # Errors
    ///
    /// If the pattern is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::fs::Path;
    /// assert!(Path::new("/a/b.txt").matches("*.txt").unwrap());
    /// assert!(Path::new("/a/b.txt").matches("a/*.txt").unwrap());
    /// assert!(!Path::new("/a/b.txt").matches("/*.txt").unwrap());
    /// ```
    pub fn matches(&self, pattern: &str) -> io::Result<bool> {
        let wanted: Vec<Component<'_>> = StdPath::new(pattern).components().collect();
        let parts: Vec<Component<'_>> = self.0.components().collect();
        let invalid = |error| io::Error::new(ErrorKind::InvalidInput, error);
        if wanted.is_empty() {
            return Err(invalid("an empty pattern matches nothing"));
        }
        let whole = pattern.starts_with('/');
        if parts.len() < wanted.len() || (whole && parts.len() != wanted.len()) {
            return Ok(false);
        }
        for (part, wanted) in parts.iter().rev().zip(wanted.iter().rev()) {
            let wanted = wanted.as_os_str().to_str().expect("it was a str");
            let wanted = glob::Pattern::new(wanted).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
            if !wanted.matches(&part.as_os_str().to_string_lossy()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As a `file:` URI: Trio's `as_uri`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the path is relative.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(trio::fs::Path::new("/a b").as_uri().unwrap(), "file:///a%20b");
    /// ```
    pub fn as_uri(&self) -> io::Result<String> {
        use std::fmt::Write;
        if !self.is_absolute() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a relative path has no URI"));
        }
        let mut uri = String::from("file://");
        for byte in self.0.as_os_str().as_bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
                uri.push(char::from(*byte));
            } else {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
        Ok(uri)
    }
}

// ---------------------------------------------------------------------- places

impl Path {
    /// The process's current folder.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn cwd() -> io::Result<Self> {
        in_thread(std::env::current_dir).await.map(Self)
    }

    /// The user's own folder.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if nobody knows.
    pub async fn home() -> io::Result<Self> {
        Self::new("~").expand_user().await
    }

    /// With the current folder before it, if it is relative. Links are not looked at.
    ///
    /// # Errors
    ///
    /// The system's; [`InvalidInput`](ErrorKind::InvalidInput) if it is empty.
    pub async fn absolute(&self) -> io::Result<Self> {
        self.ask(|path| std::path::absolute(path)).await.map(Self)
    }

    /// With the user's folder in place of a `~` at the beginning, and that of another user in place of `~name`: Trio's `expanduser`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if there is no such user, or nobody knows the folder.
    #[doc(alias = "expanduser")]
    pub async fn expand_user(&self) -> io::Result<Self> {
        self.ask(|path| {
            let mut parts = path.components();
            let Some(Component::Normal(first)) = parts.next() else { return Ok(path.to_owned()) };
            let Some(user) = first.as_bytes().strip_prefix(b"~") else { return Ok(path.to_owned()) };
            let home =
                if user.is_empty() { own_home() } else { home_of(uzers::get_user_by_name(OsStr::from_bytes(user))) };
            let home = home.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "there is no such home folder"))?;
            Ok(home.join(parts.as_path()))
        })
        .await
        .map(Self)
    }

    /// The absolute path without symbolic links, `.` and `..`; all of it must exist: Trio's `resolve(strict=True)`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn canonicalize(&self) -> io::Result<Self> {
        functions::canonicalize(self).await.map(Self)
    }

    /// As [`canonicalize`](Self::canonicalize), but the end of it need not exist: Trio's `resolve`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn resolve(&self) -> io::Result<Self> {
        self.ask(resolve).await.map(Self)
    }

    /// What this symbolic link leads to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn read_link(&self) -> io::Result<Self> {
        functions::read_link(self).await.map(Self)
    }
}

fn own_home() -> Option<PathBuf> {
    let variable = std::env::var_os("HOME").filter(|home| !home.is_empty());
    variable.map(PathBuf::from).or_else(|| home_of(uzers::get_user_by_uid(uzers::get_current_uid())))
}

fn home_of(user: Option<uzers::User>) -> Option<PathBuf> {
    use uzers::os::unix::UserExt;
    user.map(|user| user.home_dir().to_owned())
}

fn resolve(path: &StdPath) -> io::Result<PathBuf> {
    let mut resolved = PathBuf::from(if path.is_absolute() { "/" } else { "." });
    resolved = std::fs::canonicalize(resolved)?;
    for part in path.components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => {
                resolved.push(name);
                match std::fs::canonicalize(&resolved) {
                    Ok(real) => resolved = real,
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                        resolved = beyond(resolved)?;
                    }
                    Err(error) => return Err(error),
                }
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(resolved)
}

/// Where a symbolic link leads that leads nowhere; other paths as they are.
fn beyond(path: PathBuf) -> io::Result<PathBuf> {
    match std::fs::read_link(&path) {
        Ok(target) => resolve(&path.with_file_name("").join(target)),
        Err(_) => Ok(path),
    }
}

// ---------------------------------------------------------------------- files

impl Path {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn open(&self, mode: Mode) -> io::Result<File> {
        open_file(self, mode).await
    }

    /// The file's contents: Trio's `read_bytes`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "read_bytes")]
    pub async fn read(&self) -> io::Result<Vec<u8>> {
        functions::read(self).await
    }

    /// The file's contents, which are text: Trio's `read_text`.
    ///
    /// # Errors
    ///
    /// The system's; [`InvalidData`](ErrorKind::InvalidData) if they are not UTF-8.
    #[doc(alias = "read_text")]
    pub async fn read_to_string(&self) -> io::Result<String> {
        functions::read_to_string(self).await
    }

    /// Makes the file, or replaces its contents: Trio's `write_bytes` and `write_text`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "write_bytes")]
    #[doc(alias = "write_text")]
    pub async fn write(&self, contents: impl AsRef<[u8]> + Send + 'static) -> io::Result<()> {
        functions::write(self, contents).await
    }

    /// Makes an empty file, or says that the one that is there was changed now.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn touch(&self) -> io::Result<()> {
        self.ask(|path| {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
            file.set_modified(SystemTime::now())
        })
        .await
    }

    /// Copies the file with its permissions; gives how many bytes that was.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn copy(&self, to: impl AsRef<StdPath>) -> io::Result<u64> {
        functions::copy(self, to).await
    }

    /// Removes the file or symbolic link: Trio's `unlink`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "unlink")]
    pub async fn remove_file(&self) -> io::Result<()> {
        functions::remove_file(self).await
    }

    /// Gives it another name, which replaces a file of that name; gives the new path. Trio's `rename` and `replace`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "replace")]
    pub async fn rename(&self, to: impl AsRef<StdPath>) -> io::Result<Self> {
        let to = to.as_ref().to_owned();
        functions::rename(self, &to).await?;
        Ok(Self(to))
    }

    /// Makes this a symbolic link to `target`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn symlink_to(&self, target: impl AsRef<StdPath>) -> io::Result<()> {
        functions::symlink(target, self).await
    }

    /// Makes this one more name of the file `target`: Trio's `hardlink_to`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "hardlink_to")]
    pub async fn hard_link_to(&self, target: impl AsRef<StdPath>) -> io::Result<()> {
        functions::hard_link(target, self).await
    }

    /// What the system knows about it: Trio's `stat`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "stat")]
    pub async fn metadata(&self) -> io::Result<Metadata> {
        functions::metadata(self).await
    }

    /// What the system knows about it, and about a symbolic link itself: Trio's `lstat`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "lstat")]
    pub async fn symlink_metadata(&self) -> io::Result<Metadata> {
        functions::symlink_metadata(self).await
    }

    /// Sets the permissions.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        functions::set_permissions(self, permissions).await
    }

    /// Sets the permissions, such as `0o644`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn chmod(&self, mode: u32) -> io::Result<()> {
        self.set_permissions(Permissions::from_mode(mode)).await
    }
}

// ---------------------------------------------------------------------- folders

impl Path {
    /// Makes a folder: Trio's `mkdir`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "mkdir")]
    pub async fn create_dir(&self) -> io::Result<()> {
        functions::create_dir(self).await
    }

    /// Makes a folder, and those above, as far as they do not exist: Trio's `mkdir(parents=True, exist_ok=True)`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn create_dir_all(&self) -> io::Result<()> {
        functions::create_dir_all(self).await
    }

    /// Removes the empty folder: Trio's `rmdir`.
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "rmdir")]
    pub async fn remove_dir(&self) -> io::Result<()> {
        functions::remove_dir(self).await
    }

    /// Removes the folder with all that is in it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn remove_dir_all(&self) -> io::Result<()> {
        functions::remove_dir_all(self).await
    }

    /// What is in the folder: Trio's `iterdir`. See [`read_dir`](super::read_dir).
    ///
    /// # Errors
    ///
    /// The system's.
    #[doc(alias = "iterdir")]
    pub async fn read_dir(&self) -> io::Result<ReadDir> {
        folder::read_dir(self).await
    }

    /// All that is in the folder and the folders below. See [`walk`](super::walk). Not a checkpoint.
    pub fn walk(&self) -> Walk {
        folder::walk(self)
    }

    /// What in the folder matches a pattern. See [`glob`](super::glob).
    ///
    /// # Errors
    ///
    /// As `glob`.
    pub async fn glob(&self, pattern: &str) -> io::Result<Vec<Self>> {
        folder::glob(self, pattern).await
    }

    /// What in the folder, or in any folder below, matches a pattern: `glob` with `**/` before it.
    ///
    /// # Errors
    ///
    /// As [`glob`](super::glob).
    pub async fn rglob(&self, pattern: &str) -> io::Result<Vec<Self>> {
        folder::glob(self, &format!("**/{pattern}")).await
    }
}

impl<P: AsRef<StdPath>> Div<P> for Path {
    type Output = Self;

    fn div(self, path: P) -> Self {
        self.join(path)
    }
}

impl<P: AsRef<StdPath>> Div<P> for &Path {
    type Output = Path;

    fn div(self, path: P) -> Path {
        self.join(path)
    }
}

impl AsRef<StdPath> for Path {
    fn as_ref(&self) -> &StdPath {
        &self.0
    }
}

impl AsRef<OsStr> for Path {
    fn as_ref(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

impl From<PathBuf> for Path {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl From<&StdPath> for Path {
    fn from(path: &StdPath) -> Self {
        Self(path.to_owned())
    }
}

impl From<&str> for Path {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

impl From<Path> for PathBuf {
    fn from(path: Path) -> Self {
        path.0
    }
}

impl PartialEq<StdPath> for Path {
    fn eq(&self, other: &StdPath) -> bool {
        self.0 == other
    }
}

impl PartialEq<PathBuf> for Path {
    fn eq(&self, other: &PathBuf) -> bool {
        self.0 == *other
    }
}

impl PartialEq<str> for Path {
    fn eq(&self, other: &str) -> bool {
        self.0 == StdPath::new(other)
    }
}

impl PartialEq<&str> for Path {
    fn eq(&self, other: &&str) -> bool {
        self.0 == StdPath::new(other)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Path").field(&self.0).finish()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}
