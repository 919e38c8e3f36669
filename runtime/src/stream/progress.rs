//! How much of some data has been sent.

/// How much of some data has been sent: the account that [`send_counted`](super::SendStream::send_counted) keeps.
///
/// # Examples
///
/// ```
/// use trio::{SendProgress, SendStream};
/// /// Sends the rest of some data, of which a part may have been sent by calls that were cancelled.
/// async fn send_rest(stream: &mut impl SendStream, data: &[u8], progress: &mut SendProgress) -> std::io::Result<()> {
///     if !progress.is_known() {
///         return Err(std::io::Error::other("nobody knows where the rest begins"));
///     }
///     stream.send_counted(&data[progress.sent()..], progress).await
/// }
/// # trio::run(async {
/// let (mut here, there) = trio::testing::memory_stream_one_way_pair();
/// let mut progress = SendProgress::new();
/// send_rest(&mut here, b"hello", &mut progress).await.unwrap();
/// assert_eq!(progress.sent(), 5);
/// # drop(there);
/// # });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendProgress {
    sent: usize,
    lost: bool,
}

impl SendProgress {
    /// Nothing has been sent.
    pub const fn new() -> Self {
        Self { sent: 0, lost: false }
    }

    /// How many bytes have been sent, from the beginning; if that is [not known](Self::is_known), at least.
    pub const fn sent(&self) -> usize {
        self.sent
    }

    /// Whether it is known how much has been sent. It is not when a stream that can't count was interrupted or failed.
    pub const fn is_known(&self) -> bool {
        !self.lost
    }

    /// Counts bytes that have been sent. To be called by streams, as soon as that cannot be taken back any more.
    pub const fn add(&mut self, count: usize) {
        self.sent += count;
    }

    /// Says that from now on it is not known how much is sent, until it is [found](Self::find). To be called by
    /// streams.
    pub const fn lose(&mut self) {
        self.lost = true;
    }

    /// Says that this much has been sent since the account was [lost](Self::lose). To be called by streams.
    pub const fn find(&mut self, count: usize) {
        self.sent += count;
        self.lost = false;
    }
}
