//! The lines of a file.

use std::io::{self, ErrorKind, Read};

use super::handle::AsyncFile;

impl<T: Read + Send + 'static> AsyncFile<T> {
    /// The rest of the file line by line, without the lines' ends. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let mut file = trio::fs::wrap_file(&b"one\ntwo"[..]);
    ///     let mut lines = file.lines();
    ///     assert_eq!(lines.next().await.unwrap()?, "one");
    ///     assert_eq!(lines.next().await.unwrap()?, "two");
    ///     assert!(lines.next().await.is_none());
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn lines(&mut self) -> Lines<'_, T> {
        Lines { file: self }
    }
}

/// The lines of a file: see [`AsyncFile::lines`].
#[derive(Debug)]
pub struct Lines<'a, T: Send + 'static> {
    file: &'a mut AsyncFile<T>,
}

impl<T: Read + Send + 'static> Lines<'_, T> {
    /// The next line, without its end (`\n` or `\r\n`); `None` at the end of the file.
    ///
    /// A checkpoint. Cancelled or failed, it has read nothing: the next call gives the same line.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](ErrorKind::InvalidData) if the line is not UTF-8 (it stays there:
    /// [`read_until`](AsyncFile::read_until) reads it); otherwise as [`AsyncFile::read`].
    pub async fn next(&mut self) -> Option<io::Result<String>> {
        let line = self.file.take_until(b'\n', |line| {
            if line.is_empty() {
                return Ok(None);
            }
            let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
            let text = String::from_utf8(line.to_vec());
            text.map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
        });
        line.await.transpose()
    }
}
