//! Transports for the tests, of one type whatever they can hold.

use std::io;

use trio::testing::{
    LockstepReceiveStream, LockstepSendStream, MemoryReceiveStream, MemorySendStream, lockstep_stream_one_way_pair,
    memory_stream_one_way_pair,
};
use trio::{AsyncResource, ReceiveStream, SendProgress, SendStream, StapledStream};

/// Sends into memory of any size, or waits until all is received.
#[derive(Clone, Debug)]
pub(crate) enum LineSender {
    Memory(MemorySendStream),
    Lockstep(LockstepSendStream),
}

#[derive(Clone, Debug)]
pub(crate) enum LineReceiver {
    Memory(MemoryReceiveStream),
    Lockstep(LockstepReceiveStream),
}

pub(crate) type Line = StapledStream<LineSender, LineReceiver>;

/// Two ends between which anything fits.
pub(crate) fn wide() -> (Line, Line) {
    crosswise(|| {
        let (sender, receiver) = memory_stream_one_way_pair();
        (LineSender::Memory(sender), LineReceiver::Memory(receiver))
    })
}

/// Two ends between which nothing fits.
pub(crate) fn narrow() -> (Line, Line) {
    crosswise(|| {
        let (sender, receiver) = lockstep_stream_one_way_pair();
        (LineSender::Lockstep(sender), LineReceiver::Lockstep(receiver))
    })
}

fn crosswise(one_way: impl Fn() -> (LineSender, LineReceiver)) -> (Line, Line) {
    let ((to_right, from_left), (to_left, from_right)) = (one_way(), one_way());
    (
        StapledStream { send_stream: to_right, receive_stream: from_right },
        StapledStream { send_stream: to_left, receive_stream: from_left },
    )
}

impl AsyncResource for LineSender {
    async fn aclose(&mut self) -> io::Result<()> {
        match self {
            Self::Memory(stream) => stream.aclose().await,
            Self::Lockstep(stream) => stream.aclose().await,
        }
    }
}

impl SendStream for LineSender {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.send_counted(data, &mut SendProgress::new()).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        match self {
            Self::Memory(stream) => stream.send_counted(data, progress).await,
            Self::Lockstep(stream) => stream.send_counted(data, progress).await,
        }
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        match self {
            Self::Memory(stream) => stream.wait_send_all_might_not_block().await,
            Self::Lockstep(stream) => stream.wait_send_all_might_not_block().await,
        }
    }
}

impl AsyncResource for LineReceiver {
    async fn aclose(&mut self) -> io::Result<()> {
        match self {
            Self::Memory(stream) => stream.aclose().await,
            Self::Lockstep(stream) => stream.aclose().await,
        }
    }
}

impl ReceiveStream for LineReceiver {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(stream) => stream.receive_some(buffer).await,
            Self::Lockstep(stream) => stream.receive_some(buffer).await,
        }
    }
}

/// A transport that can't say how much it has sent.
pub(crate) struct Uncounted(pub(super) Line);

impl AsyncResource for Uncounted {
    async fn aclose(&mut self) -> io::Result<()> {
        self.0.aclose().await
    }
}

impl SendStream for Uncounted {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.send_all(data).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.0.wait_send_all_might_not_block().await
    }
}

impl ReceiveStream for Uncounted {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive_some(buffer).await
    }
}

impl trio::ByteStream for Uncounted {}
