//! Services of hyper's kind and of tower's.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::Service;
use hyper::{Request, Response};
use pin_project_lite::pin_project;

use crate::sync::Event;

/// What [`serve`](super::serve) can serve: a [`hyper::service::Service`], or a `tower` service that can be cloned, such as an
/// axum `Router`.
///
/// `Kind` says which of the two it is; the compiler finds out.
pub trait IntoService<Kind> {
    /// The service as hyper wants it.
    type Service: Service<Request<Incoming>, Response = Response<Self::Body>, Error: Into<Box<dyn Error + Send + Sync>>>;

    /// The body of its answers.
    type Body: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static;

    /// Makes it.
    fn into_service(self) -> Self::Service;
}

/// The kind of services that are hyper's.
#[derive(Debug)]
pub enum AsHyper {}

/// The kind of services that are tower's.
#[derive(Debug)]
pub enum AsTower {}

impl<S, B> IntoService<AsHyper> for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    type Service = S;
    type Body = B;

    fn into_service(self) -> S {
        self
    }
}

impl<S, B> IntoService<AsTower> for S
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>
        + Clone,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    type Service = Tower<S>;
    type Body = B;

    fn into_service(self) -> Tower<S> {
        Tower(self)
    }
}

/// A service of tower's as one of hyper's: each request goes to a clone of it, when that is ready.
#[derive(Clone, Copy, Debug)]
pub struct Tower<S>(pub S);

impl<S, R> Service<R> for Tower<S>
where
    S: tower_service::Service<R> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TowerFuture<S, R>;

    fn call(&self, request: R) -> TowerFuture<S, R> {
        TowerFuture { service: self.0.clone(), request: Some(request), answer: None }
    }
}

pin_project! {
    /// What a [`Tower`] service answers with.
    pub struct TowerFuture<S: tower_service::Service<R>, R> {
        service: S,
        request: Option<R>,
        #[pin]
        answer: Option<S::Future>,
    }
}

impl<S: tower_service::Service<R>, R> Future for TowerFuture<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.answer.is_none() {
            ready!(this.service.poll_ready(context))?;
            let request = this.request.take().expect("a service that has its request is not asked again");
            this.answer.set(Some(this.service.call(request)));
        }
        this.answer.as_pin_mut().map_or(Poll::Pending, |answer| answer.poll(context))
    }
}

impl<S: tower_service::Service<R>, R> fmt::Debug for TowerFuture<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerFuture").finish_non_exhaustive()
    }
}

/// A service that serves HTTP.
pub(super) trait HttpService:
    Service<Request<Incoming>, Response = Response<Self::Body>, Error: Into<Box<dyn Error + Send + Sync>>>
{
    type Body: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    type Body = B;
}

/// A service that says with its answers that the connection ends, once it is to.
pub(super) struct Answering<'a, S> {
    pub(super) service: &'a S,
    pub(super) stopping: &'a Event,
}

impl<'a, S: HttpService> Service<Request<Incoming>> for Answering<'a, S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<'a, S::Future>;

    fn call(&self, request: Request<Incoming>) -> Answer<'a, S::Future> {
        Answer { answer: self.service.call(request), stopping: self.stopping }
    }
}

pin_project! {
    pub(super) struct Answer<'a, F> {
        #[pin]
        answer: F,
        stopping: &'a Event,
    }
}

impl<F, B, E> Future for Answer<'_, F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(context));
        if let Ok(answer) = &mut answer
            && this.stopping.is_set()
        {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(answer)
    }
}
