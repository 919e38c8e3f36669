//! Files: reading, writing, lines, and one position whatever has been read ahead.

use std::io::{BufReader, BufWriter, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};

use trio::fs::{self, AsyncFile, File, Mode, OpenOptions, TempDir, open_file, wrap_file};
use trio::{AsyncResource, ClosedResourceError, ReceiveStream, SendStream};

fn is_closed_error(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<ClosedResourceError>())
}

// trio: _tests/test_file_io.py::test_wrapped_property
#[trio::test]
async fn what_is_wrapped_can_be_seen() {
    let mut file = wrap_file(Cursor::new(b"text".to_vec()));
    let place = file.wrapped().unwrap().get_ref().as_ptr();
    file.read_exact(&mut [0; 2]).await.unwrap();
    assert_eq!(file.wrapped().unwrap().position(), 2);
    assert_eq!(file.wrapped().unwrap().get_ref().as_ptr(), place, "the very same");
    file.wrapped().unwrap().set_position(0);
    let text = file.into_inner().await.unwrap().into_inner();
    assert_eq!(text.as_ptr(), place);
}

// trio: _tests/test_file_io.py::test_open, _tests/test_file_io.py::test_open_context_manager
#[trio::test]
async fn a_file_is_opened_and_closed() {
    let folder = TempDir::new().await.unwrap();
    let path = folder.path() / "file";
    let mut file = open_file(&path, Mode::Write).await.unwrap();
    assert!(!file.is_closed());
    file.aclose().await.unwrap();
    assert!(file.is_closed());
    // Again, and after that: nothing but an error that says so.
    AsyncResource::aclose(&mut file).await.unwrap();
    assert!(is_closed_error(&file.write_all(b"x").await.unwrap_err()));
    assert!(is_closed_error(&file.read(&mut [0]).await.unwrap_err()));
    assert!(is_closed_error(&file.wrapped().unwrap_err()));
    assert!(path.is_file().await.unwrap());
}

#[trio::test]
async fn modes_are_those_of_trio() {
    let folder = TempDir::new().await.unwrap();
    let path = folder.path() / "file";
    let write = async |mode, text: &'static str| open_file(&path, mode).await?.write_all(text.as_bytes()).await;
    assert_eq!(write(Mode::ReadWrite, "a").await.unwrap_err().kind(), ErrorKind::NotFound);
    write(Mode::CreateNew, "12345").await.unwrap();
    assert_eq!(write(Mode::CreateNew, "a").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    write(Mode::ReadWrite, "ab").await.unwrap();
    write(Mode::Append, "6").await.unwrap();
    assert_eq!(path.read_to_string().await.unwrap(), "ab3456");
    write(Mode::Write, "new").await.unwrap();
    assert_eq!(path.read().await.unwrap(), b"new");
    assert!(write(Mode::Read, "a").await.is_err());
}

// trio: _tests/test_file_io.py::test_async_iter
#[trio::test]
async fn lines_are_those_that_the_blocking_file_has() {
    use std::io::BufRead;
    for text in ["test\nfoo\nbar", "", "\n", "\n\n", "a\r\nb\r", "one\ntwo\n"] {
        let expected: Vec<String> = text.as_bytes().lines().map(Result::unwrap).collect();
        let mut file = wrap_file(text.as_bytes());
        let (mut found, mut lines) = (Vec::new(), file.lines());
        while let Some(line) = lines.next().await {
            found.push(line.unwrap());
        }
        assert_eq!(found, expected);
        // With their ends.
        let (mut file, mut whole, mut line) = (wrap_file(text.as_bytes()), String::new(), String::new());
        while file.read_line(&mut line).await.unwrap() > 0 {
            assert!(line.ends_with('\n') || whole.len() + line.len() == text.len());
            whole.push_str(&std::mem::take(&mut line));
        }
        assert_eq!(whole, text);
    }
}

#[trio::test]
async fn long_files_have_their_lines_too() {
    let folder = TempDir::new().await.unwrap();
    let text: String = (0..50_000).map(|number| format!("line {number}\n")).collect();
    fs::write(folder.path() / "long", text).await.unwrap();
    let mut file = File::open(folder.path() / "long").await.unwrap();
    let mut lines = file.lines();
    for number in 0..50_000 {
        assert_eq!(lines.next().await.unwrap().unwrap(), format!("line {number}"));
    }
    assert!(lines.next().await.is_none());
    assert!(lines.next().await.is_none());
}

#[trio::test]
async fn a_line_that_is_no_text_stays() {
    let mut file = wrap_file(&b"good\n\xff\n"[..]);
    let mut text = String::new();
    file.read_line(&mut text).await.unwrap();
    assert_eq!(file.lines().next().await.unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(file.read_line(&mut text).await.unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(file.read_to_string(&mut text).await.unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(text, "good\n");
    let mut bytes = Vec::new();
    assert_eq!(file.read_until(b'\n', &mut bytes).await.unwrap(), 2);
    assert_eq!(bytes, b"\xff\n");
}

// trio: _tests/test_file_io.py::test_detach_rewraps_asynciobase
#[trio::test]
async fn what_is_detached_is_wrapped_again() {
    let raw = Cursor::new(b"text".to_vec());
    let place = raw.get_ref().as_ptr();
    let buffered = wrap_file(BufReader::new(raw));
    let mut raw = buffered.detach(|buffered| Ok(buffered.into_inner())).await.unwrap();
    assert_eq!(raw.wrapped().unwrap().get_ref().as_ptr(), place);

    // An error of taking it apart comes out.
    let mut full = wrap_file(BufWriter::new(&mut [][..] as &'static mut [u8]));
    full.write_all(b"x").await.unwrap();
    let failed = full.detach(|buffered| buffered.into_inner().map_err(|error| error.into_error())).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::WriteZero);
}

/// The same steps on a blocking file without a buffer and on ours: everything must agree at each.
#[trio::test]
async fn there_is_one_position_whatever_was_read_ahead() {
    let folder = TempDir::new().await.unwrap();
    let text: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let (ours, theirs) = (folder.path() / "ours", folder.path() / "theirs");
    for path in [&ours, &theirs] {
        path.write(text.clone()).await.unwrap();
    }
    let mut file = OpenOptions::new().read(true).write(true).open(&ours).await.unwrap();
    let mut plain = std::fs::OpenOptions::new().read(true).write(true).open(&theirs).unwrap();
    let mut seed = 12345_u32;
    for step in 0..400 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let amount = (seed >> 8) as usize % 5000;
        match seed >> 28 {
            0..=6 => {
                let (mut one, mut other) = (vec![0; amount], vec![0; amount]);
                let outcome = plain.read_exact(&mut other);
                if outcome.is_err() {
                    plain.seek(SeekFrom::Start(7)).unwrap();
                    assert_eq!(file.read_exact(&mut one).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
                    file.seek(SeekFrom::Start(7)).await.unwrap();
                } else {
                    file.read_exact(&mut one).await.unwrap();
                    assert_eq!(one, other, "step {step}");
                }
            }
            7..=10 => {
                let data = vec![step as u8; amount];
                plain.write_all(&data).unwrap();
                file.write_all(&data).await.unwrap();
            }
            11..=13 => {
                let to = SeekFrom::Current(amount as i64 - 2500);
                let (one, other) = (file.seek(to).await, plain.seek(to));
                assert_eq!(one.ok(), other.ok(), "step {step}");
            }
            14 => assert_eq!(file.stream_position().await.unwrap(), plain.stream_position().unwrap(), "step {step}"),
            _ => {
                let seen = file.with(|file| file.stream_position()).await.unwrap();
                assert_eq!(seen.unwrap(), plain.stream_position().unwrap(), "step {step}");
            }
        }
    }
    let position = plain.stream_position().unwrap();
    assert_eq!(file.into_std().await.unwrap().stream_position().unwrap(), position);
    assert_eq!(ours.read().await.unwrap(), theirs.read().await.unwrap());
}

#[trio::test]
async fn clones_share_a_position() {
    let mut file = fs::temp_file().await.unwrap();
    file.write_all(b"0123456789").await.unwrap();
    file.rewind().await.unwrap();
    let mut two = [0; 2];
    file.read_exact(&mut two).await.unwrap();
    let mut clone = file.try_clone().await.unwrap();
    clone.read_exact(&mut two).await.unwrap();
    assert_eq!(&two, b"23");
    file.read_exact(&mut two).await.unwrap();
    assert_eq!(&two, b"45");
    // A file that was taken over may have clones that we know nothing of.
    let mut plain = file.into_std().await.unwrap();
    let mut taken = File::from(plain.try_clone().unwrap());
    taken.read_exact(&mut two).await.unwrap();
    assert_eq!(plain.stream_position().unwrap(), 8);
}

#[trio::test]
async fn the_rest_is_read_in_one_piece() {
    let mut file = fs::temp_file().await.unwrap();
    let text = vec![b'x'; 5 << 20];
    file.write_all(&text).await.unwrap();
    file.rewind().await.unwrap();
    file.read_exact(&mut [0; 10]).await.unwrap();
    let (mut rest, mut none) = (Vec::new(), vec![1]);
    assert_eq!(file.read_to_end(&mut rest).await.unwrap(), text.len() - 10);
    assert_eq!(rest.len(), text.len() - 10);
    assert_eq!(file.read_to_end(&mut none).await.unwrap(), 0);
    assert_eq!(none, [1]);
    file.seek(SeekFrom::End(-3)).await.unwrap();
    let mut end = String::from("a");
    assert_eq!(file.read_to_string(&mut end).await.unwrap(), 3);
    assert_eq!(end, "axxx");
}

#[trio::test]
async fn the_system_s_side_of_a_file() {
    let mut file = fs::temp_file().await.unwrap();
    file.write_all(b"12345").await.unwrap();
    file.flush().await.unwrap();
    file.sync_all().await.unwrap();
    file.sync_data().await.unwrap();
    assert_eq!(file.metadata().await.unwrap().len(), 5);
    file.set_len(3).await.unwrap();
    assert_eq!(file.metadata().await.unwrap().len(), 3);
    let when = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    file.set_times(std::fs::FileTimes::new().set_modified(when)).await.unwrap();
    assert_eq!(file.metadata().await.unwrap().modified().unwrap(), when);
    let mut permissions = file.metadata().await.unwrap().permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions).await.unwrap();
    assert!(file.metadata().await.unwrap().permissions().readonly());
}

#[trio::test]
async fn a_file_is_a_stream() {
    async fn copy(from: &mut impl ReceiveStream, to: &mut impl SendStream) -> std::io::Result<()> {
        let mut buffer = [0; 10_000];
        loop {
            to.wait_send_all_might_not_block().await?;
            match from.receive_some(&mut buffer).await? {
                0 => return to.aclose().await,
                count => to.send_all(&buffer[..count]).await?,
            }
        }
    }
    let folder = TempDir::new().await.unwrap();
    let text = vec![7; 100_001];
    fs::write(folder.path() / "one", text.clone()).await.unwrap();
    let mut one = File::open(folder.path() / "one").await.unwrap();
    assert_eq!(one.receive_some(&mut []).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    copy(&mut one, &mut File::create(folder.path() / "two").await.unwrap()).await.unwrap();
    assert_eq!(fs::read(folder.path() / "two").await.unwrap(), text);
}

#[trio::test]
async fn a_pipe_is_two_streams_and_no_position() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"one\ntwo").unwrap();
    let mut file = File::from_std(std::fs::File::from(std::os::fd::OwnedFd::from(reader)));
    let mut line = String::new();
    file.read_line(&mut line).await.unwrap();
    assert_eq!(line, "one\n");
    // What was read ahead stays, although others look at the file.
    assert!(!file.metadata().await.unwrap().is_file());
    let mut three = [0; 3];
    file.read_exact(&mut three).await.unwrap();
    assert_eq!(&three, b"two");
}

#[trio::test]
async fn what_was_read_ahead_of_a_pipe_does_not_get_lost_with_it() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"one\ntwo").unwrap();
    let pipe = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
    let mut file = File::from_std(pipe.try_clone().unwrap());
    let mut line = String::new();
    file.read_line(&mut line).await.unwrap();
    assert_eq!(file.into_std().await.unwrap_err().kind(), ErrorKind::NotSeekable);

    writer.write_all(b"three\nfour").unwrap();
    let mut file = File::from_std(pipe);
    file.read_line(&mut line).await.unwrap();
    file.read_exact(&mut [0; 4]).await.unwrap();
    writer.write_all(b"five").unwrap();
    // Nothing of it is unread, so it can go.
    let mut rest = [0; 4];
    file.into_std().await.unwrap().read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"five");
}

#[trio::test]
async fn reading_lines_takes_no_more_than_lines_from_what_is_wrapped() {
    // What can't seek at all.
    let mut file = wrap_file(&b"one\ntwo\nthree"[..]);
    assert_eq!(file.lines().next().await.unwrap().unwrap(), "one");
    assert_eq!(file.with(|rest| *rest).await.unwrap(), b"two\nthree");
    let mut file = file.detach(Ok).await.unwrap();
    file.read_until(b'w', &mut Vec::new()).await.unwrap();
    assert_eq!(file.into_inner().await.unwrap(), b"o\nthree");
    // What can, though nobody has said so, also in the middle of writing.
    let mut file = wrap_file(Cursor::new(b"one\ntwo\nthree".to_vec()));
    file.read_line(&mut String::new()).await.unwrap();
    file.write_all(b"TWO").await.unwrap();
    assert_eq!(file.wrapped().unwrap().position(), 7);
    assert_eq!(file.stream_position().await.unwrap(), 7);
    assert_eq!(file.into_inner().await.unwrap().into_inner(), b"one\nTWO\nthree");
}

#[trio::test]
async fn what_a_failed_read_has_left_is_neither_lost_nor_overtaken() {
    let text = || Cursor::new(b"text".to_vec());
    let left = async |file: &mut AsyncFile<Cursor<Vec<u8>>>| {
        assert_eq!(file.read_exact(&mut [0; 6]).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    };
    // Whether it can seek, nobody knows: so all that would lose the four bytes, or put something behind them, fails.
    let mut file = wrap_file(text());
    left(&mut file).await;
    assert_eq!(file.write_all(b"x").await.unwrap_err().kind(), ErrorKind::NotSeekable);
    assert_eq!(file.write(b"x").await.unwrap_err().kind(), ErrorKind::NotSeekable);
    assert_eq!(file.with(|_| ()).await.unwrap_err().kind(), ErrorKind::NotSeekable);
    let mut two = [0; 2];
    file.read_exact(&mut two).await.unwrap();
    assert_eq!(&two, b"te");
    assert_eq!(file.with(|_| ()).await.unwrap_err().kind(), ErrorKind::NotSeekable);
    // Once they have been read, or a seek has left them, all is well again.
    assert_eq!(file.seek(SeekFrom::Current(1)).await.unwrap(), 3);
    file.write_all(b"x").await.unwrap();
    assert_eq!(file.into_inner().await.unwrap().into_inner(), b"texx");

    for apart in [false, true] {
        let mut file = wrap_file(text());
        left(&mut file).await;
        let gone = if apart { file.detach(Ok).await.map(drop) } else { file.into_inner().await.map(drop) };
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotSeekable);
    }
    // One that is known to seek is put to where its user is.
    for ahead in [false, true] {
        let mut file = wrap_file(text()).read_ahead(ahead);
        left(&mut file).await;
        assert_eq!(file.with(|file| file.position()).await.unwrap(), 0);
        left(&mut file).await;
        assert_eq!(file.into_inner().await.unwrap().position(), 0);
    }
}

#[trio::test]
async fn a_panic_of_what_is_wrapped_comes_out_and_the_file_goes_on() {
    struct Panics(bool);
    impl Read for Panics {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            assert!(std::mem::replace(&mut self.0, false), "the first fails");
            buffer[0] = 1;
            Ok(1)
        }
    }
    let mut file = wrap_file(Panics(false));
    let caught = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(file.read(&mut [0]))).await;
    assert!(caught.is_err());
    file.wrapped().unwrap().0 = true;
    assert_eq!(file.read(&mut [0]).await.unwrap(), 1);
}

#[trio::test]
async fn small_reads_need_no_thread_each() {
    struct Counting(u32);
    impl Read for Counting {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    impl Seek for Counting {
        fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
            unreachable!("nobody asked for that")
        }
    }
    for (ahead, reads) in [(true, 1), (false, 1000)] {
        let mut file = wrap_file(Counting(0)).read_ahead(ahead);
        for _ in 0..1000 {
            file.read_exact(&mut [0; 60]).await.unwrap();
        }
        assert_eq!(file.wrapped().unwrap().0, reads);
    }
}
