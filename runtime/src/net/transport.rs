//! What the system's descriptors have to offer that a byte stream can be made of.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvFlags, recv};

/// A descriptor of the system that does not block, as the core of a stream. In the types of what is public, but not to be
/// named.
pub trait Transport: AsRawFd {
    /// How the names of its streams begin.
    const NAME: &'static str;

    /// A read that gives less than was asked for has taken all there is for now; otherwise that is only likely.
    const SHORT_READ_DRAINS: bool;

    #[doc(hidden)]
    fn send(&self, data: &[u8]) -> io::Result<usize>;
    #[doc(hidden)]
    fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
    #[doc(hidden)]
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;
    #[doc(hidden)]
    fn receive_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
    /// As `receive`, but what it gives stays there.
    #[doc(hidden)]
    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Tells the other side that no more comes, if the kind of descriptor has a way to.
    #[doc(hidden)]
    fn end_sending(&self) -> io::Result<()>;
}

/// One whose other side can be told that no more comes.
pub trait HalfCloseable: Transport {}

impl HalfCloseable for TcpStream {}
impl HalfCloseable for UnixStream {}

macro_rules! socket {
    ($socket:ty, $name:literal, $short_read_drains:literal) => {
        impl Transport for $socket {
            const NAME: &'static str = $name;
            const SHORT_READ_DRAINS: bool = $short_read_drains;

            #[inline]
            fn send(&self, data: &[u8]) -> io::Result<usize> {
                let mut socket = self;
                socket.write(data)
            }

            fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
                let mut socket = self;
                socket.write_vectored(pieces)
            }

            #[inline]
            fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
                let mut socket = self;
                socket.read(buffer)
            }

            fn receive_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let mut socket = self;
                socket.read_vectored(buffers)
            }

            fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
                Ok(recv(self, buffer, RecvFlags::PEEK)?.0)
            }

            fn end_sending(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    };
}

socket!(TcpStream, "Tcp", true);
// A read stops behind data that descriptors were sent with, however much has come after it.
socket!(UnixStream, "Unix", false);
