//! What is in a folder, and below it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{FileType, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path as StdPath, PathBuf};
use std::vec;

use glob::{MatchOptions, Pattern};

use super::handle::{AsyncFile, wrap_file};
use super::path::Path;
use super::{functions, in_thread};

/// How many entries a thread brings at once.
const BATCH: usize = 1024;

/// What is in a folder, in no order, without `.` and `..`: read completely, in one trip to a worker thread.
///
/// A checkpoint, without any effect.
///
/// # Errors
///
/// The system's. That the kind of a single entry can't be told is that entry's.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     for entry in trio::fs::read_dir("/etc").await? {
///         println!("{}", entry.path().display());
///     }
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub async fn read_dir(path: impl AsRef<StdPath>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let entries = in_thread(move || {
        let entries = std::fs::read_dir(path)?;
        entries.map(|entry| entry.map(|entry| DirEntry::new(&entry))).collect::<io::Result<Vec<_>>>()
    });
    Ok(ReadDir(entries.await?.into_iter()))
}

/// What [`read_dir`] has found.
#[derive(Debug)]
pub struct ReadDir(vec::IntoIter<DirEntry>);

impl Iterator for ReadDir {
    type Item = DirEntry;

    fn next(&mut self) -> Option<DirEntry> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for ReadDir {}

/// Something that is in a folder.
pub struct DirEntry {
    path: PathBuf,
    name: OsString,
    depth: usize,
    kind: io::Result<FileType>,
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path).finish()
    }
}

impl DirEntry {
    fn new(entry: &std::fs::DirEntry) -> Self {
        Self { path: entry.path(), name: entry.file_name(), depth: 1, kind: entry.file_type() }
    }

    fn walked(entry: walkdir::DirEntry) -> Self {
        let (name, kind, depth) = (entry.file_name().to_owned(), Ok(entry.file_type()), entry.depth());
        Self { path: entry.into_path(), name, depth, kind }
    }

    /// The folder's path, as it was given, with this name. Not a checkpoint.
    pub fn path(&self) -> Path {
        Path::new(&self.path)
    }

    /// Its name in the folder. Not a checkpoint.
    pub fn file_name(&self) -> &OsStr {
        &self.name
    }

    /// How many folders below the beginning of a [`walk`] it is; 1 for what [`read_dir`] gives. Not a checkpoint.
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// What it was when the folder was read; of a symbolic link that it is one. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// The system's, of when the folder was read.
    pub fn file_type(&self) -> io::Result<FileType> {
        self.kind.as_ref().copied().map_err(|error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        })
    }

    /// What the system knows about it now; of a symbolic link, about that.
    ///
    /// A checkpoint, without any effect.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        functions::symlink_metadata(&self.path).await
    }
}

/// Walks through a folder and all folders below it, the first entry being the folder itself.
///
/// Every folder comes before what is in it, in no order otherwise; symbolic links are not followed. A thread brings 1,024
/// entries at a time; nothing is read before the first is asked for. Not a checkpoint.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let mut walk = trio::fs::walk("/etc");
///     let mut files = 0;
///     while let Some(entry) = walk.next().await {
///         // A folder that may not be read is an error, and the walk goes on behind it.
///         files += usize::from(entry.is_ok_and(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())));
///     }
///     assert!(files > 0);
/// });
/// ```
pub fn walk(path: impl AsRef<StdPath>) -> Walk {
    let walker = walkdir::WalkDir::new(path).into_iter();
    Walk { walker: wrap_file(Walker { walker, found: VecDeque::new() }), found: VecDeque::new() }
}

struct Walker {
    walker: walkdir::IntoIter,
    /// What was found for a call that was dropped.
    found: VecDeque<io::Result<DirEntry>>,
}

/// What [`walk`] finds.
pub struct Walk {
    walker: AsyncFile<Walker>,
    found: VecDeque<io::Result<DirEntry>>,
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("found", &self.found).finish_non_exhaustive()
    }
}

impl Walk {
    /// The next entry; `None` when all have been seen.
    ///
    /// A checkpoint. Cancelled or dropped, it has lost nothing.
    ///
    /// # Errors
    ///
    /// The system's, for what can't be read; the walk goes on behind it.
    pub async fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if !self.found.is_empty() {
            crate::kernel::checkpoint::free_checkpoint().await;
            return self.found.pop_front();
        }
        let search = self.walker.with(|walker| {
            let Walker { walker, found } = walker;
            while found.len() < BATCH {
                let Some(entry) = walker.next() else { break };
                found.push_back(entry.map(DirEntry::walked).map_err(io::Error::from));
            }
        });
        if let Err(error) = search.await {
            return Some(Err(error));
        }
        // The thread is through with it; so this need not wait.
        match self.walker.wrapped() {
            Ok(mut walker) => std::mem::swap(&mut walker.found, &mut self.found),
            Err(error) => return Some(Err(error)),
        }
        self.found.pop_front()
    }
}

/// What in a folder has a path that matches a pattern, in the order of the alphabet: found completely, in one trip to a worker thread.
///
/// In a pattern, `*` stands for anything within a name, `?` for one character, `[abc]` for one of these, and the name `**` for
/// any number of folders, also none. A `*` or `?` also stands for a dot at the beginning, as in Python.
///
/// A checkpoint, without any effect.
///
/// # Errors
///
/// [`InvalidInput`](ErrorKind::InvalidInput) if the pattern is none, or begins at `/`, or the folder's path is not UTF-8; the system's,
/// for a folder that can't be read.
///
/// # Examples
///
/// ```
/// let found = trio::run(trio::fs::glob("/etc", "host?")).unwrap();
/// assert_eq!(found, [trio::fs::Path::new("/etc/hosts")]);
/// ```
pub async fn glob(path: impl AsRef<StdPath>, pattern: &str) -> io::Result<Vec<Path>> {
    let invalid = |what: String| io::Error::new(ErrorKind::InvalidInput, what);
    let path = path.as_ref();
    let base = path.to_str().ok_or_else(|| invalid(format!("{} is not UTF-8", path.display())))?;
    if pattern.starts_with('/') || pattern.is_empty() {
        return Err(invalid(format!("the pattern '{pattern}' must begin inside of the folder")));
    }
    // Without a folder the names come back without one, too.
    let base = if base.is_empty() || base.ends_with('/') { base.to_owned() } else { format!("{base}/") };
    let pattern = format!("{}{pattern}", Pattern::escape(&base));
    let options =
        MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };
    in_thread(move || {
        let found =
            glob::glob_with(&pattern, options).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        found.map(|path| path.map(|path| Path::new(&path)).map_err(io::Error::from)).collect()
    })
    .await
}
