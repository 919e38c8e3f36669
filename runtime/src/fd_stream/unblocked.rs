//! Descriptors that do not block, though not blocking is no property of theirs.
//!
//! It is one of the *open file description*, which duplicates share: those of this process, which this module knows if they
//! are streams, and those of others, which it can't know. So that one stream does not make another one block, what blocked
//! before does so again only when the last stream of the same description has gone.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};

/// A descriptor that does not block, until it is dropped or given back.
#[derive(Debug)]
pub(super) struct Unblocked {
    // Dropped before the file, while the description still can be changed through it.
    membership: Membership,
    pub(super) file: Arc<File>,
}

/// One of the streams of a description.
#[derive(Debug)]
struct Membership {
    inode: Inode,
    file: Arc<File>,
}

/// Device and number, which different descriptions can share.
type Inode = (i128, i128);

/// A description that does not block for the sake of streams.
struct Description {
    blocked_before: bool,
    /// Never empty. All of them live: one that goes leaves here first.
    streams: Vec<Weak<File>>,
}

/// Those of the whole process.
static DESCRIPTIONS: Mutex<BTreeMap<Inode, Vec<Description>>> = Mutex::new(BTreeMap::new());

fn descriptions() -> MutexGuard<'static, BTreeMap<Inode, Vec<Description>>> {
    DESCRIPTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unblocked {
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        let file = Arc::new(File::from(fd));
        let status = fstat(&file)?;
        let inode = (i128::from(status.st_dev), i128::from(status.st_ino));
        let mut descriptions = descriptions();
        let flags = fcntl_getfl(&file)?;
        let blocks = !flags.contains(OFlags::NONBLOCK);
        if blocks {
            fcntl_setfl(&file, flags | OFlags::NONBLOCK)?;
        }
        let known = descriptions.entry(inode).or_default();
        let stream = Arc::downgrade(&file);
        match known.iter_mut().find(|description| description.is_of(&file)) {
            Some(description) => description.streams.push(stream),
            None => known.push(Description { blocked_before: blocks, streams: vec![stream] }),
        }
        Ok(Self { membership: Membership { inode, file: Arc::clone(&file) }, file })
    }

    /// Gives the descriptor back, which blocks if it did so before and no other stream needs that it does not.
    pub(super) fn into_fd(self) -> io::Result<OwnedFd> {
        let Self { membership, file } = self;
        drop(membership);
        // Nobody else has it now: those who compare it do so while they hold the lock.
        Ok(Arc::try_unwrap(file).or_else(|file| file.try_clone())?.into())
    }
}

impl Description {
    fn is_of(&self, file: &File) -> bool {
        let stream = self.streams.iter().find_map(Weak::upgrade);
        stream.is_some_and(|stream| are_one(&stream, file).unwrap_or(false))
    }
}

/// Whether two descriptors of the same inode have one description: what is changed through one is seen through the other.
///
/// What is changed, for a moment, is whether writing appends, which is all that writing to anything but a plain file can do.
fn are_one(one: &File, other: &File) -> io::Result<bool> {
    let flags = fcntl_getfl(one)?;
    if fcntl_getfl(other)? != flags {
        return Ok(false);
    }
    fcntl_setfl(one, flags ^ OFlags::APPEND)?;
    let seen = fcntl_getfl(other);
    fcntl_setfl(one, flags)?;
    Ok(seen? != flags)
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut descriptions = descriptions();
        let Some(known) = descriptions.get_mut(&self.inode) else { return };
        let is_this = |stream: &Weak<File>| std::ptr::eq(stream.as_ptr(), Arc::as_ptr(&self.file));
        let Some(place) = known.iter().position(|description| description.streams.iter().any(is_this)) else { return };
        known[place].streams.retain(|stream| !is_this(stream));
        if known[place].streams.is_empty() {
            if known.swap_remove(place).blocked_before {
                // If it fails, nobody is left whom it could help.
                let _ = fcntl_getfl(&self.file).and_then(|flags| fcntl_setfl(&self.file, flags - OFlags::NONBLOCK));
            }
            if known.is_empty() {
                descriptions.remove(&self.inode);
            }
        }
    }
}
