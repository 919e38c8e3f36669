//! What the streams of the system's sockets have in common, whatever their family.
#![forbid(unsafe_code)]

/// The state of a stream (the fields `open`, `eof_sent` and `receiving_closed`), and the traits, whose methods give the
/// stream's own futures: one that only waits for another would be polled as well, each time.
///
/// `$descriptor` says when there is no descriptor.
macro_rules! socket_stream {
    ($stream:ident, $receive_half:ident, $send_half:ident, $descriptor:literal) => {
        impl $stream {
            fn close(&mut self) {
                if let Some(open) = self.open.take() {
                    open.close();
                }
            }

            pub(in crate::net) fn open(&self) -> std::io::Result<&Open> {
                self.open.as_ref().ok_or_else($crate::net::socket::closed)
            }

            fn open_for_sending(&self) -> std::io::Result<&Open> {
                if self.eof_sent { Err($crate::net::socket::closed()) } else { self.open() }
            }

            fn open_for_receiving(&self) -> std::io::Result<&Open> {
                if self.receiving_closed { Err($crate::net::socket::closed()) } else { self.open() }
            }
        }

        #[cfg(feature = "__poll")]
        $crate::stream::poll::poll_receive! { [] $stream, open_for_receiving }
        #[cfg(feature = "__poll")]
        $crate::stream::poll::poll_send! { [] $stream, open_for_sending, end_sending }

        #[cfg(feature = "__poll")]
        impl $stream {
            /// Says that no more data will come. A stream that was closed has said so.
            fn end_sending(&mut self) -> std::io::Result<()> {
                self.open.as_ref().map_or(Ok(()), |open| open.say_eof(&mut self.eof_sent))
            }
        }

        impl Drop for $stream {
            fn drop(&mut self) {
                self.close();
            }
        }

        impl std::fmt::Debug for $stream {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match &self.open {
                    Some(open) => open.fmt(f),
                    None => f.write_str(concat!(stringify!($stream), "(closed)")),
                }
            }
        }

        /// For options that have no method here, and for [`lowlevel`](crate::lowlevel).
        ///
        /// # Panics
        ///
        #[doc = $descriptor]
        impl std::os::fd::AsFd for $stream {
            #[track_caller]
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.open.as_ref().expect("a stream that was closed has no descriptor").as_fd()
            }
        }

        impl $crate::stream::AsyncResource for $stream {
            fn aclose(&mut self) -> impl Future<Output = std::io::Result<()>> {
                Self::aclose(self)
            }
        }

        impl $crate::stream::SendStream for $stream {
            fn send_all(&mut self, data: &[u8]) -> impl Future<Output = std::io::Result<()>> {
                Self::send_all(self, data)
            }

            async fn send_counted(
                &mut self,
                data: &[u8],
                progress: &mut $crate::stream::SendProgress,
            ) -> std::io::Result<()> {
                self.open_for_sending()?.send_counted(data, progress).await
            }

            fn wait_send_all_might_not_block(&mut self) -> impl Future<Output = std::io::Result<()>> {
                Self::wait_send_all_might_not_block(self)
            }
        }

        impl $crate::stream::ReceiveStream for $stream {
            fn receive_some(&mut self, buffer: &mut [u8]) -> impl Future<Output = std::io::Result<usize>> {
                Self::receive_some(self, buffer)
            }
        }

        impl $crate::stream::ByteStream for $stream {}

        impl $crate::stream::SplitStream for $stream {
            type ReceiveHalf<'a> = $receive_half<'a>;
            type SendHalf<'a> = $send_half<'a>;

            fn split(&mut self) -> ($receive_half<'_>, $send_half<'_>) {
                self.split()
            }
        }

        impl $crate::stream::HalfCloseableStream for $stream {
            fn send_eof(&mut self) -> impl Future<Output = std::io::Result<()>> {
                Self::send_eof(self)
            }
        }
    };
}

pub(super) use socket_stream;
