//! Datagrams in pieces.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use rustix::net::{RecvAncillaryBuffer, RecvFlags, recvmsg};
use socket2::SockRef;

use super::address::ToSocketAddrs;
use super::address::sealed::Sealed;
use super::resolve::resolve;
use super::{UdpSocket, UnixDatagram};
use crate::kernel::reactor::Direction;

impl UdpSocket {
    /// As [`recv`](Self::recv), but the datagram is left there for the next call.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.peek_from(buffer).await?.0)
    }

    /// Sends one datagram that is made of several pieces. Otherwise as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As `send`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{IoSlice, IoSliceMut};
    /// use trio::net::UdpSocket;
    /// trio::run(async {
    ///     let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    ///     a.connect(b.local_addr()?).await?;
    ///     a.send_vectored(&[IoSlice::new(b"head"), IoSlice::new(b"body")]).await?;
    ///     let (mut head, mut body) = ([0; 4], [0; 100]);
    ///     assert_eq!(b.recv_vectored(&mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)]).await?, 8);
    ///     assert_eq!((&head, &body[..4]), (b"head", &b"body"[..]));
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let system = |socket: &std::net::UdpSocket| SockRef::from(socket).send_vectored(pieces);
        self.open()?.io(Direction::Write, system, |socket| socket.send(&joined(pieces), None)).await
    }

    /// Sends one datagram that is made of several pieces to an address. Otherwise as [`send_to`](Self::send_to).
    ///
    /// # Errors
    ///
    /// As `send_to`.
    pub async fn send_to_vectored(&self, pieces: &[IoSlice<'_>], address: impl ToSocketAddrs) -> io::Result<usize> {
        let open = self.open()?;
        let to = match address.address() {
            Some(address) => address,
            None => resolve(&Sealed::target(&address)).await?[0],
        };
        let system = |socket: &std::net::UdpSocket| SockRef::from(socket).send_to_vectored(pieces, &to.into());
        open.io(Direction::Write, system, |socket| socket.send(&joined(pieces), Some(to))).await
    }

    /// Receives one datagram into several buffers, which are filled one after the other. Otherwise as [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// As `recv`.
    pub async fn recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let buffers = std::cell::RefCell::new(buffers);
        let system = |socket: &std::net::UdpSocket| receive(socket, &mut buffers.borrow_mut());
        let other = |socket: &(dyn super::seam::DatagramSocket + 'static)| {
            let mut buffers = buffers.borrow_mut();
            let mut all = vec![0; buffers.iter().map(|buffer| buffer.len()).sum()];
            let (count, _) = socket.receive(&mut all, false)?;
            spread(&all[..count], &mut buffers);
            Ok(count)
        };
        self.open()?.io(Direction::Read, system, other).await
    }
}

impl UnixDatagram {
    /// Sends one datagram that is made of several pieces. Otherwise as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As `send`.
    pub async fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.io(Direction::Write, |socket| SockRef::from(socket).send_vectored(pieces)).await
    }

    /// Receives one datagram into several buffers, which are filled one after the other. Otherwise as [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// As `recv`.
    pub async fn recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.io(Direction::Read, |socket| receive(socket, buffers)).await
    }
}

fn receive(socket: &impl AsFd, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    // Descriptors that may come along are closed.
    Ok(recvmsg(socket, buffers, &mut RecvAncillaryBuffer::default(), RecvFlags::empty())?.bytes)
}

fn joined(pieces: &[IoSlice<'_>]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| piece.iter().copied()).collect()
}

fn spread(mut data: &[u8], buffers: &mut [IoSliceMut<'_>]) {
    for buffer in buffers {
        let (here, rest) = data.split_at(data.len().min(buffer.len()));
        buffer[..here.len()].copy_from_slice(here);
        data = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_and_spread() {
        let all = joined(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")]);
        assert_eq!(all, b"abcde");
        let (mut a, mut b, mut c) = ([0; 1], [0; 3], [9; 3]);
        spread(&all, &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b), IoSliceMut::new(&mut c)]);
        assert_eq!((&a, &b, &c), (b"a", b"bcd", &[b'e', 9, 9]));
    }
}
