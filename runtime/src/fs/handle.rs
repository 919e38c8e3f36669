//! The asynchronous side of anything that blocks: Trio's `wrap_file`.

use std::fmt;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::buffer::{Inner, MOST, Reading, seek_back};
use super::turns::Turns;
use crate::kernel::checkpoint::free_checkpoint;
use crate::lowlevel::checkpoint_if_cancelled;
use crate::to_thread::Call;
use crate::{AsyncResource, ClosedResourceError, ReceiveStream, SendStream, shield};

/// Makes something that blocks asynchronous: Trio's `wrap_file`.
///
/// Whatever of [`Read`], [`Write`] and [`Seek`] it can do, the [`AsyncFile`] can. It reads exactly what it is asked for,
/// unless told otherwise ([`AsyncFile::read_ahead`]), lines included: those are read byte by byte, on one trip to a thread
/// for each line. Where that costs too much, wrap a [`BufReader`](io::BufReader), or have it read ahead. Not a checkpoint.
///
/// # Examples
///
/// ```
/// use std::io::Cursor;
/// trio::run(async {
///     let mut file = trio::fs::wrap_file(Cursor::new("one\ntwo\n"));
///     let mut line = String::new();
///     file.read_line(&mut line).await?;
///     assert_eq!(line, "one\n");
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub fn wrap_file<T: Send + 'static>(file: T) -> AsyncFile<T> {
    AsyncFile::new(Inner::new(file))
}

/// A file, or anything else that blocks, whose operations are done by worker threads: Trio's `AsyncIOWrapper`.
///
/// [`File`](super::File) is this for files of the system; [`wrap_file`] makes one of anything. Every operation but those that
/// say otherwise is a checkpoint, and one trip to a thread, unless what it wants is in the buffer. What cancellation does is
/// said [above](super).
///
/// **Position.** There is one position, as with a file of the standard library, also if something has been read ahead:
/// before a write, and before anybody else gets to see the file, its own position is put to where the
/// user's is. What the system can't seek (a pipe, a terminal) has none: what was read ahead stays for the next read, and
/// taking the file out is an error while there is any. Of what [`wrap_file`] has wrapped it is not known whether it can seek,
/// until [`read_ahead`](Self::read_ahead) says so, with either answer. It is never read ahead; but a read that was dropped, or
/// that failed, may have left bytes, and while there are some, a write and whatever else needs the position is an error
/// ([`NotSeekable`](ErrorKind::NotSeekable)).
///
/// **Reading ahead.** A file that [`File`](super::File) has opened asks the system for 64 KiB at least, so that small reads
/// cost no trip each; what another handle writes there meanwhile may not be seen. [`read_ahead`](Self::read_ahead) switches
/// it. Reading lines reads ahead in any case, where the position can be put back.
///
/// **Writing** is never put off: what was written has been given to the system when the operation returns.
///
/// **Dropped**, the file is closed at once, on the run's thread; if an operation that was dropped before is still under way, by
/// its thread. [`aclose`](Self::aclose) closes it in a thread.
pub struct AsyncFile<T: Send + 'static> {
    inner: Option<Arc<Mutex<Inner<T>>>>,
    turns: Turns,
    reading: Reading<T>,
}

fn lock<T>(inner: &Mutex<Inner<T>>) -> MutexGuard<'_, Inner<T>> {
    // A file that panicked is as good as it was.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send + 'static> AsyncFile<T> {
    fn new(inner: Inner<T>) -> Self {
        Self { inner: Some(Arc::new(Mutex::new(inner))), turns: Turns::default(), reading: Reading::exact() }
    }

    fn opened(&self) -> io::Result<&Arc<Mutex<Inner<T>>>> {
        self.inner.as_ref().ok_or_else(|| io::Error::other(ClosedResourceError))
    }

    /// The file, unless an operation that nobody waits for is under way.
    fn at_hand(&mut self) -> Option<MutexGuard<'_, Inner<T>>> {
        if !self.turns.is_calm() {
            return None;
        }
        match self.inner.as_ref()?.try_lock() {
            Ok(inner) => Some(inner),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Does something with the file on a worker thread, after all that a thread has begun before.
    pub(super) async fn call<R: Send + 'static>(
        &mut self,
        f: impl FnOnce(&mut Inner<T>) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        let inner = Arc::clone(self.opened()?);
        self.turns.calm().await;
        let ready = Call::new().ready().await;
        // From here on it will be done, whatever becomes of this future.
        let (turn, reading) = (self.turns.begin(), self.reading);
        let begun = ready.begin(move || {
            let result = {
                let mut inner = lock(&inner);
                inner.reading = reading;
                f(&mut inner)
            };
            // Before the turn ends: nobody else has the file then.
            drop(inner);
            drop(turn);
            result
        });
        begun?.await
    }

    /// What is unread now; nothing, while an operation that nobody waits for is under way.
    fn take<R>(&mut self, f: impl FnOnce(&mut Inner<T>) -> R) -> io::Result<R> {
        Ok(f(&mut lock(self.opened()?)))
    }

    /// Does anything else with what is wrapped, on a worker thread, whatever its type offers.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the file has been closed; [`NotSeekable`](ErrorKind::NotSeekable) or the system's, if its
    /// position can't be put right before; the system's, if there is no thread.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let mut file = trio::fs::temp_file().await?;
    ///     file.write_all(b"12345").await?;
    ///     assert_eq!(file.with(|file| file.metadata()).await??.len(), 5);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn with<R: Send + 'static>(&mut self, f: impl FnOnce(&mut T) -> R + Send + 'static) -> io::Result<R> {
        self.call(|inner| {
            inner.settle()?;
            Ok(f(inner.file()))
        })
        .await
    }

    /// What is wrapped, for things that don't block: Trio's `wrapped`. Not a checkpoint. It may have been read ahead.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the file has been closed; [`WouldBlock`](ErrorKind::WouldBlock) if an operation that was dropped
    /// before its end is still under way.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut file = trio::fs::wrap_file(std::io::Cursor::new("text"));
    /// assert_eq!(*file.wrapped().unwrap().get_ref(), "text");
    /// ```
    pub fn wrapped(&mut self) -> io::Result<Wrapped<'_, T>> {
        self.opened()?;
        self.at_hand().map(Wrapped).ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    /// Whether the file has been closed. Not a checkpoint.
    pub fn is_closed(&self) -> bool {
        self.inner.is_none()
    }

    /// Closes the file in a worker thread. It closes in any case: a cancellation is met only when that has been done.
    ///
    /// What the file itself has put off (a [`BufWriter`](io::BufWriter)'s data) goes as when it is dropped: [`flush`](Self::flush) before, to
    /// hear of errors.
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let mut file = trio::fs::temp_file().await?;
    ///     file.aclose().await?;
    ///     assert!(file.is_closed());
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn aclose(&mut self) -> io::Result<()> {
        let Some(inner) = self.inner.take() else {
            free_checkpoint().await;
            return Ok(());
        };
        let close = async {
            self.turns.calm().await;
            // Without a thread it has been dropped, and so closed, here.
            let _ = Call::new().try_run_sync(move || drop(inner)).await;
        };
        shield(close).await;
        checkpoint_if_cancelled().await;
        Ok(())
    }

    /// Takes out what is wrapped. Cancelled or failed, it has closed the file.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the file has been closed; the system's, if its position can't be put right;
    /// [`NotSeekable`](ErrorKind::NotSeekable), if it has none and something was read that nobody has asked for yet.
    ///
    /// # Examples
    ///
    /// ```
    /// let text = trio::run(trio::fs::wrap_file(std::io::Cursor::new("text")).into_inner());
    /// assert_eq!(text.unwrap().into_inner(), "text");
    /// ```
    pub async fn into_inner(mut self) -> io::Result<T> {
        self.call(|inner| {
            inner.settle_for_good()?;
            Ok(inner.file.take().expect("the file is taken out once, with its handle"))
        })
        .await
    }

    /// Takes what is wrapped apart, on a worker thread, and wraps what that gives: Trio's `detach`. Cancelled or failed, it has
    /// closed the file.
    ///
    /// # Errors
    ///
    /// As [`into_inner`](Self::into_inner), and what `apart` gives.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{BufWriter, Cursor};
    /// trio::run(async {
    ///     let mut file = trio::fs::wrap_file(BufWriter::new(Cursor::new(Vec::new())));
    ///     file.write_all(b"text").await?;
    ///     let mut raw = file.detach(|buffered| Ok(buffered.into_inner()?)).await?;
    ///     assert_eq!(raw.wrapped()?.get_ref(), b"text");
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn detach<U: Send + 'static>(
        mut self,
        apart: impl FnOnce(T) -> io::Result<U> + Send + 'static,
    ) -> io::Result<AsyncFile<U>> {
        let whole = |inner: &mut Inner<T>| {
            inner.settle_for_good()?;
            apart(inner.file.take().expect("the file is taken out once, with its handle"))
        };
        Ok(wrap_file(self.call(whole).await?))
    }
}

impl<T: Read + Send + 'static> AsyncFile<T> {
    /// Reads what comes at once, at most as much as the buffer holds; 0 at the end. Cancelled, it has read nothing.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the file has been closed; those of what is wrapped.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let mut file = trio::fs::wrap_file(&b"12345"[..]);
    ///     let mut buffer = [0; 3];
    ///     assert_eq!(file.read(&mut buffer).await?, 3);
    ///     assert_eq!(file.read(&mut buffer).await?, 2);
    ///     assert_eq!(file.read(&mut buffer).await?, 0);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.opened()?;
        let wanted = buffer.len();
        if wanted == 0 {
            free_checkpoint().await;
            return Ok(0);
        }
        if self.at_hand().is_some_and(|inner| inner.unread.len() > 0) {
            free_checkpoint().await;
        } else {
            self.call(move |inner| inner.fill(wanted)).await?;
        }
        self.take(|inner| {
            let count = wanted.min(inner.unread.len());
            buffer[..count].copy_from_slice(&inner.unread.get()[..count]);
            inner.unread.consume(count);
            count
        })
    }

    /// Fills the buffer. Cancelled or failed, it has read nothing: what was there is there for the next read.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](ErrorKind::UnexpectedEof) if there is less; otherwise as [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let mut file = trio::fs::wrap_file(&b"12345"[..]);
    ///     let mut buffer = [0; 3];
    ///     file.read_exact(&mut buffer).await?;
    ///     assert!(file.read_exact(&mut buffer).await.is_err());
    ///     assert_eq!(file.read(&mut buffer).await?, 2);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.opened()?;
        let wanted = buffer.len();
        if wanted == 0 {
            free_checkpoint().await;
            return Ok(());
        }
        if self.at_hand().is_some_and(|inner| inner.unread.len() >= wanted) {
            free_checkpoint().await;
        } else if !self.call(move |inner| inner.fill_up(wanted)).await? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.take(|inner| {
            buffer.copy_from_slice(&inner.unread.get()[..wanted]);
            inner.unread.consume(wanted);
        })
    }

    /// Reads the rest of the file, and appends it; gives how much that is. Cancelled or failed, it has read nothing: what was
    /// there is there for the next read.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub async fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.call(Inner::fill_to_end).await?;
        self.take(|inner| {
            let count = inner.unread.len();
            if buffer.is_empty() {
                *buffer = inner.unread.take();
            } else {
                buffer.extend_from_slice(inner.unread.get());
                inner.unread.clear();
            }
            count
        })
    }

    /// Reads the rest of the file, which is text, and appends it; gives how many bytes that is. Cancelled or failed, it has
    /// read nothing: what was there is there for the next read.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](ErrorKind::InvalidData) if it is not UTF-8; otherwise as [`read`](Self::read).
    pub async fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        self.call(Inner::fill_to_end).await?;
        self.take(|inner| {
            let text = text(inner.unread.get())?;
            buffer.push_str(text);
            let count = text.len();
            inner.unread.clear();
            Ok(count)
        })?
    }

    /// Reads up to this byte, which is part of it, or to the file's end; appends it, and gives how much that is. Cancelled or
    /// failed, it has read nothing.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub async fn read_until(&mut self, byte: u8, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.take_until(byte, |found| {
            buffer.extend_from_slice(found);
            Ok(found.len())
        })
        .await
    }

    /// Reads a line with its end, or what is left of the file, which is text; appends it, and gives how many bytes that is: 0
    /// at the end of the file. Cancelled or failed, it has read nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](ErrorKind::InvalidData) if it is not UTF-8; otherwise as [`read`](Self::read).
    pub async fn read_line(&mut self, buffer: &mut String) -> io::Result<usize> {
        self.take_until(b'\n', |line| {
            buffer.push_str(text(line)?);
            Ok(line.len())
        })
        .await
    }

    /// Takes what there is up to a byte, unless that fails.
    pub(super) async fn take_until<R>(&mut self, byte: u8, take: impl FnOnce(&[u8]) -> io::Result<R>) -> io::Result<R> {
        self.opened()?;
        let found = self.at_hand().and_then(|inner| inner.unread.get().iter().position(|one| *one == byte));
        let count = match found {
            Some(at) => {
                free_checkpoint().await;
                at + 1
            }
            None => self.call(move |inner| inner.fill_until(byte)).await?,
        };
        self.take(|inner| {
            let taken = take(&inner.unread.get()[..count])?;
            inner.unread.consume(count);
            Ok(taken)
        })?
    }
}

fn text(bytes: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

impl<T: Write + Send + 'static> AsyncFile<T> {
    /// A copy for the thread.
    fn outgoing(&mut self, data: &[u8]) -> Vec<u8> {
        let mut copy = self.at_hand().map(|mut inner| std::mem::take(&mut inner.outgoing)).unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(data);
        copy
    }

    /// Writes some of the data, at most 2 MiB; gives how much. Cancelled, it has written nothing.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the file has been closed; those of what is wrapped.
    pub async fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.opened()?;
        let data = self.outgoing(&data[..data.len().min(MOST)]);
        self.call(move |inner| inner.write(data)).await
    }

    /// Writes all of the data. Cancelled, it has written nothing: once it has begun, it goes on to the end.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the file has been closed; those of what is wrapped. Some of the data may have been written.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let mut file = trio::fs::wrap_file(Vec::new());
    ///     file.write_all(b"12345").await?;
    ///     assert_eq!(file.into_inner().await?, b"12345");
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.opened()?;
        let (first, rest) = data.split_at(data.len().min(MOST));
        let first = self.outgoing(first);
        self.call(move |inner| inner.write_all(first)).await?;
        if rest.is_empty() {
            return Ok(());
        }
        shield(async {
            for part in rest.chunks(MOST) {
                let part = self.outgoing(part);
                self.call(move |inner| inner.write_all(part)).await?;
            }
            Ok(())
        })
        .await
    }

    /// Has what is wrapped write what it has put off itself. A file of the system puts nothing off; see
    /// [`sync_all`](super::File::sync_all) for that.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the file has been closed; those of what is wrapped.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.call(|inner| inner.file().flush()).await
    }
}

impl<T: Seek + Send + 'static> AsyncFile<T> {
    /// Moves the position; gives the new one, from the beginning. Cancelled or failed, it has not moved.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the file has been closed; those of what is wrapped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::SeekFrom;
    /// trio::run(async {
    ///     let mut file = trio::fs::temp_file().await?;
    ///     file.write_all(b"hello").await?;
    ///     file.seek(SeekFrom::Current(-3)).await?;
    ///     let mut rest = String::new();
    ///     file.read_to_string(&mut rest).await?;
    ///     assert_eq!(rest, "llo");
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.call(move |inner| inner.seek(to)).await
    }

    /// Moves the position to the beginning. Cancelled or failed, it has not moved.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek).
    pub async fn rewind(&mut self) -> io::Result<()> {
        self.seek(SeekFrom::Start(0)).await.map(drop)
    }

    /// The position, from the beginning: Trio's `tell`.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek).
    pub async fn stream_position(&mut self) -> io::Result<u64> {
        self.call(Inner::position).await
    }

    /// Whether a small read asks for more than it needs, so that the next ones find it. Not a checkpoint.
    ///
    /// Only what can seek can do so without losing its position. `true` suits what nobody else uses at the same time.
    pub fn read_ahead(mut self, ahead: bool) -> Self {
        self.set_read_ahead(ahead);
        self
    }

    pub(super) fn set_read_ahead(&mut self, ahead: bool) {
        self.reading = Reading { ahead, rewind: Some(seek_back) };
    }
}

impl<T: Send + 'static> fmt::Debug for AsyncFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFile")
            .field("type", &std::any::type_name::<T>())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> AsyncResource for AsyncFile<T> {
    async fn aclose(&mut self) -> io::Result<()> {
        Self::aclose(self).await
    }
}

/// `send_all` is [`write_all`](AsyncFile::write_all), and never leaves anything half done.
impl<T: Write + Send + 'static> SendStream for AsyncFile<T> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.write_all(data).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.opened()?;
        free_checkpoint().await;
        Ok(())
    }
}

/// `receive_some` is [`read`](AsyncFile::read).
impl<T: Read + Send + 'static> ReceiveStream for AsyncFile<T> {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a buffer without room can't receive anything"));
        }
        self.read(buffer).await
    }
}

/// What an [`AsyncFile`] wraps: see [`AsyncFile::wrapped`].
pub struct Wrapped<'a, T>(MutexGuard<'a, Inner<T>>);

impl<T> Deref for Wrapped<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.file.as_ref().expect("an open handle has its file")
    }
}

impl<T> DerefMut for Wrapped<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.file()
    }
}

impl<T: fmt::Debug> fmt::Debug for Wrapped<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wrapped").field(&**self).finish()
    }
}
