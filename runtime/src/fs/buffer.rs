//! What a file keeps between its operations, and what a thread does with it.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

/// How much is read or written in one trip at most.
pub(super) const MOST: usize = 2 << 20;
/// How much is asked for at least where reading ahead is fine.
pub(super) const AHEAD: usize = 64 << 10;

/// Moves a file's position back by that many bytes.
pub(super) type Rewind<T> = fn(&mut T, u64) -> io::Result<()>;

/// Bytes that were read and not asked for yet.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Longer than what is in use, so that it need not be cleared each time.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Unread {
    pub(super) fn get(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        if self.bytes.len() > MOST {
            self.bytes = Vec::new();
        }
    }

    /// Takes out all, without copying it if possible.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.end);
        bytes.drain(..self.start);
        self.clear();
        bytes
    }

    fn put(&mut self, bytes: Vec<u8>) {
        (self.start, self.end) = (0, bytes.len());
        self.bytes = bytes;
    }

    /// Room for so many bytes more.
    fn room(&mut self, count: usize) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let needed = self.end + count;
        if self.bytes.len() < needed {
            self.bytes.resize(needed, 0);
        }
        &mut self.bytes[self.end..needed]
    }
}

/// A file, and what belongs to it. Locked by one thread at a time.
pub(super) struct Inner<T> {
    /// Gone once it was taken out.
    pub(super) file: Option<T>,
    pub(super) unread: Unread,
    /// An allocation for data on its way to the thread, while there is none.
    pub(super) outgoing: Vec<u8>,
    pub(super) reading: Reading<T>,
}

/// How a file is read.
pub(super) struct Reading<T> {
    /// How the file's position is put to where its user thinks that it is; without it, it is not known whether it has one,
    /// and it is not read ahead.
    pub(super) rewind: Option<Rewind<T>>,
    /// A read may ask for more than it was asked for.
    pub(super) ahead: bool,
}

impl<T> Reading<T> {
    /// What does for anything.
    pub(super) const fn exact() -> Self {
        Self { rewind: None, ahead: false }
    }
}

impl<T> Clone for Reading<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Reading<T> {}

/// The rewind of what can seek.
pub(super) fn seek_back<T: Seek>(file: &mut T, count: u64) -> io::Result<()> {
    file.seek(SeekFrom::Current(-(count as i64))).map(drop)
}

impl<T> Inner<T> {
    pub(super) fn new(file: T) -> Self {
        Self { file: Some(file), unread: Unread::default(), outgoing: Vec::new(), reading: Reading::exact() }
    }

    /// The file. It is there as long as somebody has the handle, and the handle goes with it.
    pub(super) fn file(&mut self) -> &mut T {
        self.file.as_mut().expect("an operation of a file comes before the one that takes it out")
    }

    /// Puts the file's own position to where the user's is.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let count = self.unread.len() as u64;
        if count == 0 {
            return Ok(());
        }
        let Some(rewind) = self.reading.rewind else { return Err(left(count)) };
        match rewind(self.file(), count) {
            Ok(()) => self.unread.clear(),
            // A pipe or terminal: reading and writing have nothing to do with each other.
            Err(error) if error.kind() == ErrorKind::NotSeekable => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The same before the file goes, and with it whatever is still unread.
    pub(super) fn settle_for_good(&mut self) -> io::Result<()> {
        self.settle()?;
        match self.unread.len() as u64 {
            0 => Ok(()),
            count => Err(left(count)),
        }
    }
}

/// What a read has left can't be given back to the file.
fn left(count: u64) -> io::Error {
    let message = format!(
        "{count} bytes that nobody has asked for yet were read from what may be unable to seek: read them first"
    );
    io::Error::new(ErrorKind::NotSeekable, message)
}

impl<T: Read> Inner<T> {
    /// Reads once; gives how much came.
    fn read_some(&mut self, count: usize) -> io::Result<usize> {
        loop {
            let Self { file, unread, .. } = self;
            let file = file.as_mut().expect("see `file`");
            match file.read(unread.room(count)) {
                Ok(count) => {
                    unread.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How much to ask for if so much is wanted.
    fn amount(&self, wanted: usize) -> usize {
        if self.reading.ahead { wanted.max(AHEAD) } else { wanted }.min(MOST)
    }

    /// Sees to it that there is something unread, unless the file is at its end.
    pub(super) fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.unread.len() == 0 {
            self.read_some(self.amount(wanted))?;
        }
        Ok(())
    }

    /// Sees to it that there are `wanted` unread bytes; false at the file's end.
    pub(super) fn fill_up(&mut self, wanted: usize) -> io::Result<bool> {
        while self.unread.len() < wanted {
            if self.read_some(self.amount(wanted - self.unread.len()))? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sees to it that all is there up to this byte, or to the file's end; gives how much that is.
    pub(super) fn fill_until(&mut self, byte: u8) -> io::Result<usize> {
        // What is read too much has to be given back to the file.
        let amount = if self.reading.rewind.is_some() { AHEAD } else { 1 };
        let mut searched = 0;
        loop {
            if let Some(at) = self.unread.get()[searched..].iter().position(|one| *one == byte) {
                return Ok(searched + at + 1);
            }
            searched = self.unread.len();
            if self.read_some(amount)? == 0 {
                return Ok(searched);
            }
        }
    }

    /// Reads to the end.
    pub(super) fn fill_to_end(&mut self) -> io::Result<()> {
        let mut bytes = self.unread.take();
        let result = self.file().read_to_end(&mut bytes);
        // What came before an error is not lost.
        self.unread.put(bytes);
        result.map(drop)
    }
}

impl<T: Write> Inner<T> {
    /// Writes all of it, and keeps the allocation.
    pub(super) fn write_all(&mut self, data: Vec<u8>) -> io::Result<()> {
        self.settle()?;
        let result = self.file().write_all(&data);
        self.outgoing = data;
        result
    }

    /// Writes some of it, and keeps the allocation.
    pub(super) fn write(&mut self, data: Vec<u8>) -> io::Result<usize> {
        self.settle()?;
        let result = loop {
            match self.file().write(&data) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.outgoing = data;
        result
    }
}

impl<T: Seek> Inner<T> {
    pub(super) fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let unread = self.unread.len() as i64;
        let to = match to {
            SeekFrom::Current(by) => match by.checked_sub(unread) {
                Some(by) => SeekFrom::Current(by),
                None => return Err(ErrorKind::InvalidInput.into()),
            },
            to => to,
        };
        let position = self.file().seek(to)?;
        self.unread.clear();
        Ok(position)
    }

    pub(super) fn position(&mut self) -> io::Result<u64> {
        let unread = self.unread.len() as u64;
        Ok(self.file().stream_position()?.saturating_sub(unread))
    }
}
