//! A task's wait for its thread.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use super::cache::Cache;
use super::calls::{Calls, Lent, give_back};
use super::link::{Answering, HostWaker, Link, Message, News};
use crate::kernel::attempt::{Attempt, attempt};
use crate::kernel::context;
use crate::kernel::header::{Node, NodeId};
use crate::kernel::run::{Run, wrong_run};
use crate::kernel::scope::follow;

/// What thread and task share.
pub(super) struct Shared<T> {
    pub(super) link: Arc<Link>,
    result: Mutex<Option<thread::Result<T>>>,
}

impl<T> Shared<T> {
    fn result(&self) -> std::sync::MutexGuard<'_, Option<thread::Result<T>>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Shared<T> {
    /// Leaves the result for the task; called on the thread, at the end of all.
    pub(super) fn put(&self, result: thread::Result<T>, cache: &'static Cache) {
        *self.result() = Some(result);
        if self.link.answer() {
            return;
        }
        let number = self.link.number;
        // If the run has ended, so has its limiter.
        let _ = self.link.address.call(move || give_back(number));
        // Nobody wants it any more. Its destructor is foreign code that may take its time: a job of its own. If there is
        // no thread for that, it is dropped here, with the job.
        let unwanted = self.result().take();
        let _ = cache.run(Box::new(move || {
            // The message of a panic has been printed, and nobody else is to know.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(unwanted))) {
                mem::forget(panic);
            }
            Box::new(|| ())
        }));
    }
}

/// Waits until the thread has answered, and does meanwhile what the thread wants done here.
pub(super) struct Wait<T: 'static, K: 'static> {
    // Dropped first: it is below the node.
    running: Option<Attempt<Answering>>,
    pub(super) shared: Arc<Shared<T>>,
    node: Option<NodeId>,
    calls: Rc<Calls>,
    /// What the call has borrowed, once the thread has been started.
    lent: Option<Lent<K>>,
}

impl<T: 'static, K: 'static> Wait<T, K> {
    pub(super) fn new(run: &Run, calls: Rc<Calls>, abandonable: bool) -> Self {
        let link = Arc::new(Link::new(run.address(), calls.number(), abandonable));
        calls.begin(Arc::clone(&link));
        let shared = Arc::new(Shared { link, result: Mutex::new(None) });
        Self { running: None, shared, node: None, calls, lent: None }
    }

    /// The thread has been given its work.
    pub(super) fn started(&mut self, token: K) {
        let counted = context::with(|run| {
            run.has_asked();
            run.outstanding.count()
        });
        self.lent = Some(Lent { _token: token, _counted: counted });
    }

    fn begin(&mut self, run: &Run) -> NodeId {
        let link = Arc::clone(&self.shared.link);
        let own = Rc::new(std::cell::Cell::new(None::<NodeId>));
        let node = Rc::clone(&own);
        let on_cancel: Rc<dyn Fn()> = Rc::new(move || {
            let reason = context::try_with(|run| run.tree.effective_reason(run.tree.get(node.get()?)?)).flatten();
            link.cancel(reason.map(|reason| (*reason).clone()));
        });
        let cancelled = run.tree.current.get().is_cancelled();
        let holds = !self.shared.link.abandonable;
        let id = run.change(|tree, effects| {
            let node = tree.insert_operation(run.current(), Some(Rc::clone(&on_cancel)));
            tree.set_guards(node, holds, effects);
            tree.id(node)
        });
        own.set(Some(id));
        self.node = Some(id);
        if cancelled {
            on_cancel();
        }
        id
    }

    /// Does what the thread wants done; whether that is done.
    fn work(&mut self, run: &Run, node: Node, context: &mut Context<'_>) -> bool {
        let Some(running) = &mut self.running else { return true };
        let _within = run.within(node);
        let done = Pin::new(running).poll(context).is_ready();
        if done {
            self.running = None;
        }
        done
    }

    fn poll_in(&mut self, run: &Run, context: &mut Context<'_>) -> Poll<thread::Result<T>> {
        let id = match self.node {
            Some(id) if run.has(id) => id,
            Some(_) => wrong_run("wait for a thread"),
            None => self.begin(run),
        };
        let node = follow(run, id, context, "wait for a thread");
        if !self.work(run, node, context) {
            return Poll::Pending;
        }
        let is_cancelled = run.is_cancelled_here();
        if is_cancelled {
            run.park_cancelled(context);
        }
        let (news, old) = self.shared.link.look(HostWaker::new(context.waker()), is_cancelled);
        // May be foreign code.
        drop(old);
        match news {
            News::None => return Poll::Pending,
            News::Answered => {}
            News::Message(message) => {
                match message {
                    Message::Sync(call) => {
                        let _within = run.within(node);
                        call();
                    }
                    Message::Async(make) => self.running = Some(attempt(make())),
                }
                // Looks again in the next pass: a thread that asks without end gets no more than its turn.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        self.leave();
        Poll::Ready(self.shared.result().take().expect("an answer comes with a result"))
    }

    /// Goes out of the tree, and out of the list of those who wait.
    fn leave(&mut self) {
        if let Some(id) = self.node.take() {
            context::try_with(|run| run.remove(id));
        }
        self.calls.end(self.shared.link.number);
        drop(self.lent.take());
    }
}

impl<T: 'static, K: 'static> Unpin for Wait<T, K> {}

impl<T: 'static, K: 'static> Future for Wait<T, K> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        context::with(|run| self.poll_in(run, context))
            .map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl<T: 'static, K: 'static> Drop for Wait<T, K> {
    fn drop(&mut self) {
        drop(mem::take(&mut self.running));
        if !self.shared.link.leave() {
            if let Some(lent) = self.lent.take() {
                self.calls.keep(self.shared.link.number, lent);
            }
        }
        self.leave();
    }
}
