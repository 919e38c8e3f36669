//! Where the checks have their streams from.

/// Makes pairs of streams for the checks, the first of which can't send: [`send_all`](crate::SendStream::send_all) and
/// [`wait_send_all_might_not_block`](crate::SendStream::wait_send_all_might_not_block) wait until something is received
/// on the second.
///
/// Any async closure that gives such pairs is one. [`NeverClogged`] stands for streams that can always send.
pub trait CloggedStreamMaker<S, R> {
    /// A new pair; `None` if there are none.
    fn make(&self) -> impl Future<Output = Option<(S, R)>>;
}

impl<F: AsyncFn() -> (S, R), S, R> CloggedStreamMaker<S, R> for F {
    async fn make(&self) -> Option<(S, R)> {
        Some(self().await)
    }
}

/// For the checks of streams that can always send: leaves out what is about others.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverClogged;

impl<S, R> CloggedStreamMaker<S, R> for NeverClogged {
    async fn make(&self) -> Option<(S, R)> {
        None
    }
}

/// The same pairs, the other way round.
pub(super) struct Flipped<'a, M>(pub(super) &'a M);

impl<M: CloggedStreamMaker<S, R>, S, R> CloggedStreamMaker<R, S> for Flipped<'_, M> {
    async fn make(&self) -> Option<(R, S)> {
        self.0.make().await.map(|(left, right)| (right, left))
    }
}
