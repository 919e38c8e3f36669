//! Files, folders and paths: Trio's `open_file`, `wrap_file` and `Path`, with the names of [`std::fs`].
//!
//! Systems have no good way to wait for a disk beside other things. So everything here is done by the blocking functions of
//! the standard library on a worker thread (see [`to_thread`](crate::to_thread)), one trip for each call as far as possible:
//! a folder is listed, a file copied or read to its end in one.
//!
//! **Cancellation.** A call that is cancelled before its thread has begun has had no effect. What a thread has begun is
//! brought to its end: the scopes around wait for it, the call gives its result, and the task meets the cancellation at its
//! next checkpoint. So a cancelled call never leaves anything half done, and there is no doubt what has happened:
//! if it returned, all of it, and otherwise nothing.
//!
//! **Dropped by foreign code** (a `select!` that another branch has won) is another matter: nobody waits for the thread then,
//! which goes on all the same. What is asked of the same [`AsyncFile`] later is done after it, so that operations never
//! overtake each other. A *read* loses nothing, since what it has read goes to the file's buffer, where the next read
//! finds it. A *write* is done whole (of more than 2 MiB, some part from the beginning), a *seek* and everything else is done
//! as well, and an error is lost. An operation waits for those before it in its task, without a thread: dropped in that time,
//! it has had no effect, as before its thread has begun in general. So however many are dropped, one thread at most is busy
//! with a file.
//!
//! **Forgotten** (`mem::forget`), an operation does the same to its file: later ones wait for what its thread does, and for
//! nothing else, and none at all wait for one that had not begun. But its task is taken to wait for it: one whose thread had
//! begun holds the scopes around it for ever, and keeps its place among the [40 calls](crate::to_thread) of the run, also
//! when the thread has come to its end.
//!
//! **Buffers.** Data is copied through a buffer that the file owns: a future can be forgotten, so a thread must
//! not borrow from a task. See [`AsyncFile`] for what is read ahead, and when.
//!
//! # Examples
//!
//! ```
//! use trio::fs::{self, File};
//! trio::run(async {
//!     let folder = fs::TempDir::new().await?;
//!     let name = folder.path().join("greeting");
//!     let mut file = File::create(&name).await?;
//!     file.write_all(b"hello\nworld\n").await?;
//!     file.aclose().await?;
//!
//!     let mut file = File::open(&name).await?;
//!     let mut lines = file.lines();
//!     while let Some(line) = lines.next().await {
//!         println!("{}", line?);
//!     }
//!     folder.aclose().await
//! })
//! .unwrap();
//! ```
#![forbid(unsafe_code)]

mod buffer;
mod file;
mod folder;
mod functions;
mod handle;
mod lines;
mod path;
mod path_kind;
mod temporary;
mod turns;

use std::io;

pub use file::{File, Mode, OpenOptions, open_file};
pub use folder::{DirEntry, ReadDir, Walk, glob, read_dir, walk};
pub use functions::*;
pub use handle::{AsyncFile, Wrapped, wrap_file};
pub use lines::Lines;
pub use path::Path;
pub use temporary::{NamedTempFile, TempDir, temp_file};

use crate::to_thread::Call;

/// Does something that may fail on a worker thread; that there is no thread is a failure, too.
async fn in_thread<R: Send + 'static>(f: impl FnOnce() -> io::Result<R> + Send + 'static) -> io::Result<R> {
    Call::new().try_run_sync(f).await?
}
