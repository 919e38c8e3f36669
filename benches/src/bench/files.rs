//! Files: 1 GiB copied, in one call and through a buffer of the program's own, and many small reads and writes.
//!
//! Everything stays in the system's page cache, so that it is the runtimes that are compared, and not a disk; the files
//! are in the system's folder for temporary files. All runtimes use worker threads for files.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Benchmark, Sample};
use crate::hosts::{self, Hosted};
use crate::options::Scale;

/// How much is copied.
const AMOUNT: u64 = 1 << 30;
/// How much a program that copies by hand takes at a time.
const BUFFER: usize = 1 << 20;
/// A small piece.
const PIECE: usize = 100;

/// A folder that goes when it is dropped, with a file of some size in it.
struct Folder(PathBuf);

impl Folder {
    fn new(size: u64) -> Result<Rc<Self>, String> {
        let name = format!("trio-bench-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&folder.0).map_err(|error| error.to_string())?;
        let piece = vec![b'x'; BUFFER];
        let mut file = std::fs::File::create(folder.from()).map_err(|error| error.to_string())?;
        let mut left = size;
        while left > 0 {
            let count = left.min(BUFFER as u64);
            std::io::Write::write_all(&mut file, &piece[..count as usize]).map_err(|error| error.to_string())?;
            left -= count;
        }
        Ok(Rc::new(folder))
    }

    fn from(&self) -> PathBuf {
        self.0.join("from")
    }

    fn to(&self) -> PathBuf {
        self.0.join("to")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What one round does with the files.
#[derive(Clone, Copy)]
enum Work {
    Copy,
    CopyByHand,
    ReadPieces,
    WritePieces,
}

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 4] {
    let amount = scale.of(AMOUNT >> 10) << 10;
    let pieces = scale.of(20_000);
    [
        (Work::Copy, amount, "file copy", "1 GiB copied with the runtime's `fs::copy`; time per KiB."),
        (Work::CopyByHand, amount, "file copy by hand", "1 GiB copied with a buffer of 1 MiB; time per KiB."),
        (Work::ReadPieces, pieces * PIECE as u64, "small reads", "20,000 reads of 100 bytes; time per read."),
        (
            Work::WritePieces,
            pieces * PIECE as u64,
            "small writes",
            "20,000 writes of 100 bytes, flushed at the end; time per write.",
        ),
    ]
    .map(|(work, size, name, what)| {
        Benchmark::new(name, what)
            .at_most(5)
            .contender("trio fs", move || with(size, |folder| hosts::trio(on_trio(work, size, folder))))
            .contender("tokio LocalRuntime, fs", move || {
                with(size, |folder| hosts::tokio_local_runtime(on_tokio(work, size, folder)))
            })
            .goal("trio fs", "tokio LocalRuntime, fs", 1.0)
    })
}

/// Runs a body with a file of that size; making and removing it is not measured.
fn with(size: u64, body: impl FnOnce(Rc<Folder>) -> Hosted<Result<Sample, String>>) -> Hosted<Sample> {
    body(Folder::new(size)?)?
}

async fn on_trio(work: Work, size: u64, folder: Rc<Folder>) -> Result<Sample, String> {
    use trio::fs::{self, File};
    let (start, operations) = (Instant::now(), operations(work, size));
    let done: std::io::Result<()> = async {
        match work {
            Work::Copy => assert_eq!(fs::copy(folder.from(), folder.to()).await?, size),
            Work::CopyByHand => {
                let (mut from, mut to) = (File::open(folder.from()).await?, File::create(folder.to()).await?);
                let mut buffer = vec![0; BUFFER];
                loop {
                    match from.read(&mut buffer).await? {
                        0 => break,
                        count => to.write_all(&buffer[..count]).await?,
                    }
                }
                to.flush().await?;
            }
            Work::ReadPieces => {
                let (mut from, mut piece) = (File::open(folder.from()).await?, [0; PIECE]);
                for _ in 0..operations {
                    from.read_exact(&mut piece).await?;
                }
            }
            Work::WritePieces => {
                let mut to = File::create(folder.to()).await?;
                for _ in 0..operations {
                    to.write_all(&[7; PIECE]).await?;
                }
                to.flush().await?;
            }
        }
        Ok(())
    }
    .await;
    done.map_err(|error| error.to_string())?;
    Ok(Sample::new(start.elapsed(), operations))
}

async fn on_tokio(work: Work, size: u64, folder: Rc<Folder>) -> Result<Sample, String> {
    use tokio::fs::{self, File};
    let (start, operations) = (Instant::now(), operations(work, size));
    let done: std::io::Result<()> = async {
        match work {
            Work::Copy => assert_eq!(fs::copy(folder.from(), folder.to()).await?, size),
            Work::CopyByHand => {
                let (mut from, mut to) = (File::open(folder.from()).await?, File::create(folder.to()).await?);
                let mut buffer = vec![0; BUFFER];
                loop {
                    match from.read(&mut buffer).await? {
                        0 => break,
                        count => to.write_all(&buffer[..count]).await?,
                    }
                }
                to.flush().await?;
            }
            Work::ReadPieces => {
                let (mut from, mut piece) = (File::open(folder.from()).await?, [0; PIECE]);
                for _ in 0..operations {
                    from.read_exact(&mut piece).await?;
                }
            }
            Work::WritePieces => {
                let mut to = File::create(folder.to()).await?;
                for _ in 0..operations {
                    to.write_all(&[7; PIECE]).await?;
                }
                to.flush().await?;
            }
        }
        Ok(())
    }
    .await;
    done.map_err(|error| error.to_string())?;
    Ok(Sample::new(start.elapsed(), operations))
}

/// What the time is divided by.
fn operations(work: Work, size: u64) -> u64 {
    match work {
        Work::Copy | Work::CopyByHand => size >> 10,
        Work::ReadPieces | Work::WritePieces => size / PIECE as u64,
    }
}
