//! The handshake.

use std::cell::RefCell;
use std::io;

use super::session::Session;
use super::wire::{Wire, fail, fill, flush};

/// Does the handshake, unless that is done. The caller sees to it that nobody else does so at the same time.
///
/// It can be dropped anywhere, and gone on with by another call.
pub(super) async fn handshake(session: &RefCell<Session>, wire: &mut impl Wire) -> io::Result<()> {
    // Somebody else may have done it, or failed.
    session.borrow().check_open()?;
    while !session.borrow().is_handshaken() {
        let advanced = session.borrow_mut().advance_handshake();
        let done = match advanced {
            Ok(done) => done,
            Err(error) => return Err(fail(session, wire, error).await),
        };
        let result = go_on(session, wire, done).await;
        if result.is_err() {
            session.borrow_mut().break_all();
        }
        result?;
    }
    Ok(())
}

/// Sends what has to be sent, then waits for more if there has to be more.
async fn go_on(session: &RefCell<Session>, wire: &mut impl Wire, done: bool) -> io::Result<()> {
    let must_send = session.borrow_mut().must_send_for_handshake();
    if must_send {
        let mut sender = wire.sender().await;
        flush(session, &mut *sender).await?;
    }
    if done {
        session.borrow_mut().finish_handshake();
        return Ok(());
    }
    fill(session, wire).await
}
