//! Why sending or receiving failed. Who could not send gets the value back.

use std::fmt;

/// Sending failed: every receiver is closed. Has the value that was not sent. Trio's `BrokenResourceError`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every receiver of the channel is closed")
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Sending without waiting failed. Has the value that was not sent.
///
/// # Examples
///
/// ```
/// use trio::{TrySendError, open_memory_channel};
/// let (sender, receiver) = open_memory_channel(1);
/// sender.try_send("first").unwrap();
/// let error = sender.try_send("second").unwrap_err();
/// assert_eq!(error, TrySendError::WouldBlock("second"));
/// drop(receiver);
/// assert_eq!(sender.try_send("third").unwrap_err().into_inner(), "third");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// There is no room, and no receiver waits.
    WouldBlock(T),
    /// Every receiver is closed.
    Broken(T),
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::WouldBlock(value) | Self::Broken(value) => value,
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock(_) => "WouldBlock(..)",
            Self::Broken(_) => "Broken(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock(_) => "the channel is full",
            Self::Broken(_) => "every receiver of the channel is closed",
        })
    }
}

impl<T> std::error::Error for TrySendError<T> {}

/// Receiving failed: the channel is empty, and every sender is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndOfChannel;

impl fmt::Display for EndOfChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel is empty and every sender is closed")
    }
}

impl std::error::Error for EndOfChannel {}

/// Receiving without waiting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryReceiveError {
    /// The channel is empty.
    WouldBlock,
    /// The channel is empty, and every sender is closed.
    EndOfChannel,
}

impl fmt::Display for TryReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("the channel is empty"),
            Self::EndOfChannel => EndOfChannel.fmt(f),
        }
    }
}

impl std::error::Error for TryReceiveError {}
