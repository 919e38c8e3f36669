//! What a TLS stream and its halves do.

use std::cell::RefCell;
use std::io;

use rustls::ProtocolVersion;

use super::error::TlsError;
use super::session::Session;
use super::wire::{Wire, fail, fill, flush};
use crate::kernel::checkpoint::{checkpoint_if_cancelled, free_checkpoint};
use crate::stream::{SendProgress, SendStream};

pub(super) async fn do_handshake(session: &RefCell<Session>, wire: &mut impl Wire) -> io::Result<()> {
    session.borrow().check_open()?;
    if session.borrow().is_handshaken() {
        free_checkpoint().await;
        return Ok(());
    }
    wire.ensure_handshake(session).await
}

pub(super) async fn send_all(
    session: &RefCell<Session>,
    wire: &mut impl Wire,
    data: &[u8],
    progress: &mut SendProgress,
) -> io::Result<()> {
    session.borrow().check_sending()?;
    wire.ensure_handshake(session).await?;
    if data.is_empty() {
        free_checkpoint().await;
    }
    checkpoint_if_cancelled().await;
    let mut sender = wire.sender().await;
    let (is_clogged, is_interrupted) = (session.borrow().is_clogged(), session.borrow().is_interrupted());
    // Calls that are cancelled again and again don't pile up what they could not send. A call without data has nothing
    // to add, and so has no use for a server's tickets either.
    if is_clogged || (is_interrupted && data.is_empty()) {
        flush(session, &mut *sender).await?;
    }
    let mut rest = data;
    while !rest.is_empty() {
        session.borrow().check_sending()?;
        let count = session.borrow_mut().encrypt(rest)?;
        progress.add(count);
        rest = &rest[count..];
        flush(session, &mut *sender).await?;
    }
    Ok(())
}

pub(super) async fn wait_send_all_might_not_block(session: &RefCell<Session>, wire: &mut impl Wire) -> io::Result<()> {
    session.borrow().check_sending()?;
    wire.ensure_handshake(session).await?;
    wire.sender().await.wait_send_all_might_not_block().await
}

pub(super) async fn receive_some(
    session: &RefCell<Session>,
    wire: &mut impl Wire,
    buffer: &mut [u8],
) -> io::Result<usize> {
    if buffer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a buffer without room can't receive anything"));
    }
    if session.borrow().ended_before_handshake && !session.borrow().is_closed() {
        free_checkpoint().await;
        return Ok(0);
    }
    let allowed = session.borrow().check_receiving();
    let ready = match allowed {
        Ok(()) => wire.ensure_handshake(session).await,
        refused => refused,
    };
    if let Err(error) = ready {
        let is_truncated = TlsError::of(&error) == Some(&TlsError::Truncated);
        let is_fine = is_truncated && session.borrow().https_compatible;
        session.borrow_mut().ended_before_handshake = is_fine;
        return if is_fine { Ok(0) } else { Err(error) };
    }
    let mut has_waited = false;
    loop {
        let advanced = session.borrow_mut().advance();
        match advanced {
            Ok(true) if has_waited => return session.borrow_mut().read(buffer),
            Ok(true) => {
                // What is there stays there if this is cancelled.
                free_checkpoint().await;
                return session.borrow_mut().read(buffer);
            }
            Ok(false) => {
                fill(session, wire).await?;
                has_waited = true;
            }
            Err(error) => return Err(fail(session, wire, error).await),
        }
    }
}

pub(super) async fn send_eof(session: &RefCell<Session>, wire: &mut impl Wire) -> io::Result<()> {
    session.borrow().check_open()?;
    if !session.borrow().has_said_end() {
        session.borrow().check_transport_sends()?;
        wire.ensure_handshake(session).await?;
        if !can_half_close(&session.borrow()) {
            let why = "TLS 1.2 can't end one direction alone: the other side would close both";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
    }
    end_sending(session, wire).await?;
    free_checkpoint().await;
    Ok(())
}

fn can_half_close(session: &Session) -> bool {
    session.connection().is_ok_and(|connection| connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
}

/// Whether a [`send_eof`] is known to fail.
pub(super) fn can_not_end_sending(session: &Session) -> bool {
    session.is_broken() || session.is_sending_broken() || (session.is_handshaken() && !can_half_close(session))
}

/// Says that nothing more will come, unless that was said, and sends that, and what there is to send before it.
pub(super) async fn end_sending(session: &RefCell<Session>, wire: &mut impl Wire) -> io::Result<()> {
    checkpoint_if_cancelled().await;
    let mut sender = wire.sender().await;
    session.borrow_mut().send_close_notify();
    flush(session, &mut *sender).await?;
    session.borrow_mut().end_is_sent();
    Ok(())
}

/// Ends the TLS session on both sides. What follows it stays where it came.
pub(super) async fn unwrap(session: &RefCell<Session>, wire: &mut impl Wire) -> io::Result<()> {
    session.borrow().check_open()?;
    wire.ensure_handshake(session).await?;
    end_sending(session, wire).await?;
    loop {
        let advanced = session.borrow_mut().advance();
        match advanced {
            Ok(true) => return session.borrow_mut().check_ended(),
            Ok(false) => fill(session, wire).await?,
            Err(error) => return Err(error.into()),
        }
    }
}
