//! Descriptors as streams: pipes of one direction, what blocks and what does not, and closing at bad moments.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use trio::FdStream;
use trio::testing::check_one_way_stream;

use crate::support::{alone, descriptors, settle};

fn pipe() -> (PipeReader, PipeWriter) {
    io::pipe().unwrap()
}

fn is_blocking(fd: &impl AsFd) -> bool {
    !rustix::fs::fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::NONBLOCK)
}

// trio: _tests/test_unix_pipes.py::test_send_pipe
#[trio::test]
async fn the_writing_end_of_a_pipe_sends() {
    let (mut reader, writer) = pipe();
    let number = writer.as_raw_fd();
    let mut sender = FdStream::new(writer).unwrap();
    assert_eq!(sender.as_fd().as_raw_fd(), number);
    sender.send_all(b"123").await.unwrap();
    let mut buffer = [0; 8];
    assert_eq!(reader.read(&mut buffer).unwrap(), 3);
    assert_eq!(&buffer[..3], b"123");
}

// trio: _tests/test_unix_pipes.py::test_receive_pipe
#[trio::test]
async fn the_reading_end_of_a_pipe_receives() {
    let (reader, mut writer) = pipe();
    let number = reader.as_raw_fd();
    let mut receiver = FdStream::new(reader).unwrap();
    assert_eq!(receiver.as_fd().as_raw_fd(), number);
    writer.write_all(b"123").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(receiver.receive_some(&mut buffer).await.unwrap(), 3);
    assert_eq!(&buffer[..3], b"123");
    drop(writer);
    assert_eq!(receiver.receive_some(&mut buffer).await.unwrap(), 0);
}

// trio: _tests/test_unix_pipes.py::test_pipes_combined
#[trio::test]
async fn more_than_a_pipe_holds_goes_through() {
    const AMOUNT: usize = 1 << 20;
    let (reader, writer) = pipe();
    let (mut receiver, mut sender) = (FdStream::new(reader).unwrap(), FdStream::new(writer).unwrap());
    trio::nursery! { |n|
        n.start_soon(async {
            sender.send_all(&vec![7; AMOUNT]).await.unwrap();
            sender.aclose().await.unwrap();
        });
        settle().await;
        let (mut total, mut buffer) = (0, [0; 4096]);
        loop {
            match receiver.receive_some(&mut buffer).await.unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, AMOUNT);
    }
}

// trio: _tests/test_unix_pipes.py::test_pipe_errors
#[trio::test]
async fn what_makes_no_sense_is_refused() {
    let (reader, writer) = pipe();
    let mut receiver = FdStream::new(reader).unwrap();
    assert_eq!(receiver.receive_some(&mut []).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    // The wrong direction.
    assert!(receiver.send_all(b"x").await.is_err());
    let mut sender = FdStream::new(writer).unwrap();
    drop(receiver);
    assert_eq!(sender.send_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    // A plain file is always ready, so the system has no readiness of it.
    let error = FdStream::new(File::open("/proc/self/exe").unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

// trio: _tests/test_unix_pipes.py::test_async_with
#[trio::test]
async fn a_closed_stream_is_closed() {
    let (reader, writer) = pipe();
    let mut ends = [FdStream::new(OwnedFd::from(reader)).unwrap(), FdStream::new(OwnedFd::from(writer)).unwrap()];
    for end in &mut ends {
        end.aclose().await.unwrap();
        end.aclose().await.unwrap();
        let is_closed = |error: io::Error| error.get_ref().unwrap().is::<trio::ClosedResourceError>();
        assert!(is_closed(end.receive_some(&mut [0]).await.unwrap_err()));
        assert!(is_closed(end.send_all(b"x").await.unwrap_err()));
        assert!(is_closed(end.wait_send_all_might_not_block().await.unwrap_err()));
        assert!(is_closed(end.try_clone().unwrap_err()));
        assert_eq!(format!("{end:?}"), "FdStream(closed)");
    }
}

// The number of a closed descriptor is soon another one's.
// trio: _tests/test_unix_pipes.py::test_misdirected_aclose_regression
#[trio::test]
async fn closing_again_does_not_touch_whoever_has_the_number_now() {
    let (reader, _writer) = pipe();
    let number = reader.as_raw_fd();
    let mut old = FdStream::new(reader).unwrap();
    old.aclose().await.unwrap();
    // Tests run side by side, so the number may have gone to another one: any new descriptor will do then.
    let (reader, mut writer) = pipe();
    let mut new = FdStream::new(reader).unwrap();
    if new.as_fd().as_raw_fd() != number {
        println!("the number was not given out again");
    }
    trio::nursery! { |n|
        n.start_soon(async {
            let mut buffer = [0; 8];
            assert_eq!(new.receive_some(&mut buffer).await.unwrap(), 1);
        });
        settle().await;
        old.aclose().await.unwrap();
        settle().await;
        writer.write_all(b"x").unwrap();
    }
}

// Readiness was reported, and the stream is closed before the task goes on: its halves are separate streams here.
// trio: _tests/test_unix_pipes.py::test_close_at_bad_time_for_receive_some
#[trio::test]
async fn a_receiver_is_not_misled_by_a_close_after_readiness() {
    let (reader, mut writer) = pipe();
    let mut receiver = FdStream::new(reader).unwrap();
    let mut other = receiver.try_clone().unwrap();
    trio::nursery! { |n|
        n.start_soon(async {
            let mut buffer = [0; 8];
            // What it has of its own stays open, whatever becomes of the other.
            assert_eq!(receiver.receive_some(&mut buffer).await.unwrap(), 1);
            receiver.aclose().await.unwrap();
        });
        settle().await;
        writer.write_all(b"x").unwrap();
        other.aclose().await.unwrap();
    }
    drop(receiver);
    assert_eq!(writer.write_all(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe, "now it is closed");
}

// trio: _tests/test_unix_pipes.py::test_close_at_bad_time_for_send_all
#[trio::test]
async fn a_sender_is_not_misled_by_a_close_after_readiness() {
    let (mut reader, writer) = pipe();
    let mut sender = FdStream::new(writer).unwrap();
    let mut other = sender.try_clone().unwrap();
    trio::nursery! { |n|
        n.start_soon(async {
            sender.send_all(&vec![0; 1 << 20]).await.unwrap();
            sender.aclose().await.unwrap();
        });
        settle().await;
        // Makes it writable.
        let mut total = reader.read(&mut vec![0; 1 << 16]).unwrap();
        other.aclose().await.unwrap();
        let mut receiver = FdStream::new(reader).unwrap();
        loop {
            match receiver.receive_some(&mut [0; 4096]).await.unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, 1 << 20, "the last of them closes it");
    }
}

// Python puts a folder behind the number of the stream's pipe; nobody can do that to a descriptor that is owned.
// trio: _tests/test_unix_pipes.py::test_bizarro_OSError_from_receive
#[trio::test]
async fn an_error_that_nobody_expects_comes_out() {
    let (_reader, writer) = pipe();
    let mut sender = FdStream::new(writer).unwrap();
    let error = sender.receive_some(&mut [0]).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
}

#[trio::test]
async fn what_blocked_before_blocks_again() {
    let (reader, _writer) = pipe();
    let second = reader.try_clone().unwrap();
    assert!(is_blocking(&second));
    let stream = FdStream::new(reader).unwrap();
    assert!(!is_blocking(&second));
    let third = stream.try_clone().unwrap();
    drop(stream);
    assert!(!is_blocking(&second), "the clone still needs it");
    drop(third);
    assert!(is_blocking(&second));

    let stream = FdStream::new(second).unwrap();
    assert!(!is_blocking(&stream));
    assert!(is_blocking(&stream.into_fd().unwrap()));

    let (socket, _other) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    let stream = FdStream::new(socket).unwrap();
    assert!(!is_blocking(&stream.into_fd().unwrap()), "as it was");
}

#[trio::test]
async fn a_clone_receives_while_the_stream_sends() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut ours, mut theirs) = (FdStream::new(ours).unwrap(), FdStream::new(theirs).unwrap());
    let mut receiving = ours.try_clone().unwrap();
    let mut third = ours.try_clone().unwrap();
    trio::nursery! { |n, scope|
        n.start_soon(async {
            let mut buffer = [0; 8];
            assert_eq!(receiving.receive_some(&mut buffer).await.unwrap(), 4);
        });
        settle().await;
        let error = third.receive_some(&mut [0]).await.unwrap_err();
        assert!(error.get_ref().unwrap().is::<trio::BusyResourceError>());
        ours.send_all(b"ping").await.unwrap();
        assert_eq!(theirs.receive_some(&mut [0; 8]).await.unwrap(), 4);
        theirs.send_all(b"pong").await.unwrap();
        let _ = scope;
    };
}

#[trio::test]
async fn a_cancelled_receive_has_received_nothing() {
    let (reader, mut writer) = pipe();
    let mut receiver = FdStream::new(reader).unwrap();
    let mut buffer = [0; 8];
    assert!(trio::move_on_after(Duration::ZERO, receiver.receive_some(&mut buffer)).await.is_none());
    writer.write_all(b"x").unwrap();
    assert!(
        trio::cancel_scope! { |scope|
            scope.cancel();
            receiver.receive_some(&mut buffer).await
        }
        .is_none()
    );
    assert_eq!(receiver.receive_some(&mut buffer).await.unwrap(), 1);
}

#[trio::test]
async fn a_pipe_is_a_one_way_stream() {
    let make = async || {
        let (reader, writer) = pipe();
        (FdStream::new(writer).unwrap(), FdStream::new(reader).unwrap())
    };
    check_one_way_stream(make, trio::testing::NeverClogged).await;
}

#[test]
fn streams_leave_no_descriptors() {
    alone(module_path!(), "streams_leave_no_descriptors", || {
        let before = descriptors();
        trio::run(async {
            for _ in 0..100 {
                let (reader, writer) = pipe();
                let mut receiver = FdStream::new(reader).unwrap();
                let clone = receiver.try_clone().unwrap();
                let sender = FdStream::new(writer).unwrap();
                trio::move_on_after(Duration::ZERO, receiver.receive_some(&mut [0])).await;
                drop(sender.into_fd());
                drop(FdStream::new(File::open("/proc/self/exe").unwrap()));
                drop((receiver, clone));
            }
            assert_eq!(trio::lowlevel::current_statistics().io_registrations, 0);
        });
        assert_eq!(descriptors(), before);
    });
}

// Duplicates have one property of blocking, which the streams must not take away from one another.
#[trio::test]
async fn streams_of_duplicates_do_not_make_one_another_block() {
    let (reader, _writer) = pipe();
    let outside = reader.try_clone().unwrap();
    let first = FdStream::new(reader.try_clone().unwrap()).unwrap();
    let mut second = FdStream::new(reader.try_clone().unwrap()).unwrap();
    let third = FdStream::new(reader).unwrap();
    drop(first);
    assert!(!is_blocking(&outside), "the others need it");
    // It would hang here.
    assert!(trio::move_on_after(Duration::ZERO, second.receive_some(&mut [0])).await.is_none());
    let given_back = third.into_fd().unwrap();
    assert!(!is_blocking(&given_back), "the second still needs it");
    second.aclose().await.unwrap();
    assert!(is_blocking(&outside) && is_blocking(&given_back), "now nobody does");
    // Again, after all of that.
    drop(FdStream::new(given_back).unwrap());
    assert!(is_blocking(&outside));
}

#[trio::test]
async fn streams_of_one_file_that_was_opened_twice_have_nothing_to_do_with_one_another() {
    let path = std::env::temp_dir().join(format!("trio-test-{}-fifo", std::process::id()));
    let status = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(status.success());
    let [first, second] = [(); 2].map(|()| File::options().read(true).write(true).open(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    let [first_outside, second_outside] = [&first, &second].map(|file| file.try_clone().unwrap());
    let flags = rustix::fs::fcntl_getfl(&first).unwrap();
    let first = FdStream::new(first).unwrap();
    let second = FdStream::new(second).unwrap();
    drop(first);
    assert!(is_blocking(&first_outside) && !is_blocking(&second_outside));
    drop(second);
    assert!(is_blocking(&second_outside));
    for file in [first_outside, second_outside] {
        assert_eq!(rustix::fs::fcntl_getfl(&file).unwrap(), flags, "all is as it was");
    }
}

#[trio::test]
async fn a_descriptor_is_given_back_while_a_clone_goes_on() {
    let (reader, mut writer) = pipe();
    let number = reader.as_raw_fd();
    let stream = FdStream::new(reader).unwrap();
    let mut clone = stream.try_clone().unwrap();
    let duplicate = stream.into_fd().unwrap();
    assert_ne!(duplicate.as_raw_fd(), number);
    assert!(!is_blocking(&duplicate), "the clone needs it");
    writer.write_all(b"x").unwrap();
    assert_eq!(clone.receive_some(&mut [0; 8]).await.unwrap(), 1);
    let original = clone.into_fd().unwrap();
    assert_eq!(original.as_raw_fd(), number, "the last one gives back the descriptor itself");
    assert!(is_blocking(&duplicate) && is_blocking(&original));
}
