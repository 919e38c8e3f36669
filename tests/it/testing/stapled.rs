//! Two streams that make one.

use std::cell::RefCell;
use std::io;

use trio::testing::{CloseHook, MemoryReceiveStream, MemorySendStream};
use trio::{
    AsyncResource, ClosedResourceError, HalfCloseableStream, ReceiveStream, SendStream, SplitStream, StapledStream,
};

/// A half that says what is called, and fails or not.
struct Half<'a> {
    name: &'static str,
    log: &'a RefCell<Vec<String>>,
    close_error: Option<&'static str>,
}

impl<'a> Half<'a> {
    fn new(name: &'static str, log: &'a RefCell<Vec<String>>) -> Self {
        Self { name, log, close_error: None }
    }

    fn say(&self, what: &str) {
        self.log.borrow_mut().push(format!("{}: {what}", self.name));
    }
}

impl AsyncResource for Half<'_> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.say("aclose");
        trio::checkpoint().await;
        self.close_error.map_or(Ok(()), |error| Err(io::Error::other(error)))
    }
}

impl SendStream for Half<'_> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.say(&format!("send_all {}", data.len()));
        Ok(())
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.say("wait_send_all_might_not_block");
        Ok(())
    }
}

impl ReceiveStream for Half<'_> {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.say(&format!("receive_some {}", buffer.len()));
        Ok(0)
    }
}

// trio: _tests/test_highlevel_generic.py::test_StapledStream
#[trio::test]
async fn each_operation_is_that_of_its_half() {
    let log = RefCell::default();
    let mut stream = StapledStream { send_stream: Half::new("s", &log), receive_stream: Half::new("r", &log) };
    stream.send_all(b"foo").await.unwrap();
    stream.wait_send_all_might_not_block().await.unwrap();
    assert_eq!(stream.receive_some(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(log.take(), ["s: send_all 3", "s: wait_send_all_might_not_block", "r: receive_some 10"]);
    stream.send_eof().await.unwrap();
    assert_eq!(log.take(), ["s: aclose"]);
    stream.aclose().await.unwrap();
    assert_eq!(log.take(), ["s: aclose", "r: aclose"]);
    let (from, to) = stream.split();
    to.send_all(b"ab").await.unwrap();
    from.receive_some(&mut [0; 1]).await.unwrap();
    assert_eq!(log.take(), ["s: send_all 2", "r: receive_some 1"]);
}

// trio: _tests/test_highlevel_generic.py::test_StapledStream_with_erroring_close
#[trio::test]
async fn both_halves_are_closed_whatever_one_of_them_says() {
    let log = RefCell::default();
    let mut stream = StapledStream { send_stream: Half::new("s", &log), receive_stream: Half::new("r", &log) };
    for (send_error, receive_error) in [(Some("s fails"), None), (None, Some("r fails")), (Some("s fails"), Some("r"))]
    {
        stream.send_stream.close_error = send_error;
        stream.receive_stream.close_error = receive_error;
        let error = stream.aclose().await.unwrap_err();
        assert_eq!(error.to_string(), send_error.or(receive_error).unwrap());
        assert_eq!(log.take(), ["s: aclose", "r: aclose"]);
    }
}

#[trio::test]
async fn a_cancelled_close_closes_both_halves() {
    let mut stream = StapledStream { send_stream: MemorySendStream::new(), receive_stream: MemoryReceiveStream::new() };
    stream.send_stream.set_close_hook(Some(CloseHook::new(|_| ())));
    let closed = trio::cancel_scope! { |scope|
        scope.cancel();
        stream.aclose().await
    };
    assert!(closed.is_none());
    let is_closed = |error: io::Error| error.get_ref().is_some_and(|inner| inner.is::<ClosedResourceError>());
    assert!(is_closed(stream.send_all(b"x").await.unwrap_err()));
    assert!(is_closed(stream.receive_some(&mut [0; 1]).await.unwrap_err()));
}
