//! What one error must be.

use std::any::{Any, type_name};
use std::error::Error;
use std::fmt;
use std::io;

use crate::kernel::group::BoxError;

/// Says what one error of an [`ErrorGroup`](crate::ErrorGroup) must be: Trio's `Matcher`.
///
/// Made by [`any`](Self::any) or [`of`](Self::of), and narrowed down by the other methods; the error must pass them all.
///
/// # Examples
///
/// ```
/// use std::io;
/// use trio::testing::ErrorMatcher;
/// let missing = ErrorMatcher::any().check_as(|error: &io::Error| error.kind() == io::ErrorKind::NotFound);
/// let error: trio::BoxError = io::Error::from(io::ErrorKind::NotFound).into();
/// assert!(missing.matches(&error));
/// assert!(!missing.text_contains("database").matches(&error));
/// ```
pub struct ErrorMatcher<E = BoxError> {
    wants: Vec<Want<E>>,
}

/// One condition, and how it is called.
struct Want<E> {
    description: String,
    holds: Box<dyn Fn(&E) -> bool>,
}

impl<E: fmt::Display + 'static> ErrorMatcher<E> {
    /// Any error, a nested group included.
    pub fn any() -> Self {
        Self { wants: Vec::new() }
    }

    /// An error of this type. It is looked for in the error itself, in a [`BoxError`], and in an [`io::Error`], where
    /// streams have theirs.
    pub fn of<X: Error + 'static>() -> Self {
        Self::any().and(format!("of type {}", type_name::<X>()), |error| find::<X, E>(error).is_some())
    }

    fn and(mut self, description: String, holds: impl Fn(&E) -> bool + 'static) -> Self {
        self.wants.push(Want { description, holds: Box::new(holds) });
        self
    }

    /// And its text (its `Display`) must be this.
    #[must_use]
    pub fn text_is(self, text: impl Into<String>) -> Self {
        let text = text.into();
        self.and(format!("with the text {text:?}"), move |error| error.to_string() == text)
    }

    /// And its text (its `Display`) must contain this.
    #[must_use]
    pub fn text_contains(self, part: impl Into<String>) -> Self {
        let part = part.into();
        self.and(format!("with {part:?} in its text"), move |error| error.to_string().contains(&part))
    }

    /// And it must pass a check.
    #[must_use]
    pub fn check(self, check: impl Fn(&E) -> bool + 'static) -> Self {
        self.and("that passes the check".to_owned(), check)
    }

    /// And it must be of the type that a check takes, found as [`of`](Self::of) finds it, and pass that.
    #[must_use]
    pub fn check_as<X: Error + 'static>(self, check: impl Fn(&X) -> bool + 'static) -> Self {
        let description = format!("of type {} that passes the check", type_name::<X>());
        self.and(description, move |error| find::<X, E>(error).is_some_and(&check))
    }

    /// Whether an error is as it must be.
    pub fn matches(&self, error: &E) -> bool {
        self.wants.iter().all(|want| (want.holds)(error))
    }
}

impl<E> fmt::Display for ErrorMatcher<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.wants.is_empty() { "any error" } else { "an error" })?;
        for (number, want) in self.wants.iter().enumerate() {
            write!(f, "{}{}", if number == 0 { " " } else { " and " }, want.description)?;
        }
        Ok(())
    }
}

impl<E> fmt::Debug for ErrorMatcher<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorMatcher({self})")
    }
}

/// The error as an `X`, wherever it is wrapped.
fn find<X: Error + 'static, E: 'static>(error: &E) -> Option<&X> {
    let any: &dyn Any = error;
    if let Some(found) = any.downcast_ref::<X>() {
        return Some(found);
    }
    let boxed = any.downcast_ref::<BoxError>();
    let in_box = boxed.and_then(|boxed| boxed.downcast_ref::<X>());
    let io = any.downcast_ref::<io::Error>().or_else(|| boxed?.downcast_ref::<io::Error>());
    in_box.or_else(|| io?.get_ref()?.downcast_ref::<X>())
}
